"""The order in which `default` and `strict` look for an answer. The package's docstring lists the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ssl4rl_bench.extract import letters, options, statements, tags
from ssl4rl_bench.types import Status

Verdict = tuple[str | None, Status, str]
"""The answer, how it was read, and the rule."""

_REFUSAL = re.compile(
    r"(?:sorry|apologi[sz]e)[^.\n]{0,60}(?:can['’]?t|cannot|can not|unable|not able|won['’]t)\b"
    r"|\bi(?:['’]m| am) (?:unable|not able|not allowed) to\b|\bas an ai\b|\bcannot determine the answer\b"
    r"|\bi (?:can['’]?t|cannot|can not|won['’]t|will not) (?:help|assist|identify|answer|process|determine"
    r"|provide|recogni[sz]e|comply|do that|(?:see|view) (?:the|this|any|an) (?:image|picture|photo))"
    r"|(?:抱歉|对不起)[^。\n]{0,20}(?:无法|不能)|我(?:无法|不能)(?:回答|确定|识别|提供|查看|看到图)",
    re.IGNORECASE,
)
_REFUSAL_HINTS = (
    "sorry",
    "apolog",
    "unable",
    "not able",
    "not allowed",
    "can",
    "i w",
    "as an ai",
    "无法",
    "不能",
)
"""Every refusal has one; looked for first because it is ten times as fast."""
_REFUSAL_WITHIN = 400
"""Characters at the start of a reply that are searched for a refusal."""

_ITEM = re.compile(r"[ \t*(\[（-]{0,6}(?:option )?([A-ZＡ-Ｚ])[*_]{0,2}(?:[.):：、）\]]|\Z)", re.IGNORECASE)


def read_default(text: str, choices: Mapping[str, str], cut: bool) -> Verdict:
    """Tag, then lenient rules, then thinking that nothing follows. `cut`: the reply hit the token limit."""
    text = tags.clip(text)
    if cut and len(text.strip()) > 3:
        # The last word may go on ("A" in "Animal"). A letter and little more was asked for with one token.
        text += "\N{REPLACEMENT CHARACTER}"
    parts = tags.split(text)
    if parts.tag is not None:
        answer, rule = letters.content(parts.tag, choices)
        if answer is None:
            answer, _ = statements.last(parts.tag, choices)
        if answer is not None:
            return _verdict(answer, Status.TAG, rule)
    answer, rule = _lenient(parts.visible.strip("` \t\r\n"), choices)
    if answer is None and parts.open_tag is not None:
        answer, rule = letters.content(parts.open_tag.partition("<")[0], choices)[0], "open-tag"
    if answer is None and parts.thought and not cut:
        answer, rule = _thought(parts.thought, choices)
    return _verdict(answer, Status.LENIENT, rule) if answer is not None else _nothing(parts.visible)


def read_strict(text: str, choices: Mapping[str, str], cut: bool) -> Verdict:
    """Only a well-formed tag that holds a letter of the choices, with no thinking after it."""
    parts = tags.split(tags.clip(text))
    if parts.tag is not None and parts.ordered and (answer := parts.tag.strip()) in choices:
        return answer, Status.TAG, "tag-letter"
    return _nothing(parts.visible)


def _verdict(answer: str, status: Status, rule: str) -> Verdict:
    return (None, Status.NONE, "conflict") if answer == letters.CONFLICT else (answer, status, rule)


def _nothing(visible: str) -> Verdict:
    start = visible[:_REFUSAL_WITHIN].lower()
    if any(hint in start for hint in _REFUSAL_HINTS) and _REFUSAL.search(start):
        return None, Status.REFUSAL, "refusal"
    return None, Status.NONE, "no-answer"


def _lenient(text: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    """A letter, `letters.CONFLICT` or None, and the rule; `text` is what is visible, stripped."""
    if not text:
        return None, "no-answer"
    first, _, more = text.partition("\n")
    if not more:
        if (letter := letters.only_letter(text)) and (answer := letters.choice(letter, choices)):
            return answer, "only-letter"
        if answer := options.named_by(text, choices):
            return answer, "only-text"
    *before, final = text.rsplit("\n", 3)
    answer = letters.line(final, choices)
    if answer and not _listed(before, answer, choices):
        return answer, "last-line"
    answer, rule = statements.last(text, choices)
    if answer:
        return answer, rule
    answer = letters.opening(first, choices) or (letters.line(first, choices) if more else None)
    if answer and not _listed(more.split("\n", 3)[:3], answer, choices):
        return answer, "opening"
    return None, "no-answer"


def _listed(lines: list[str], answer: str, choices: Mapping[str, str]) -> bool:
    """Whether neighbouring lines begin with other letters: then the options are only listed."""
    items = (match[1] for line in lines if (match := _ITEM.match(line)))
    return any(letters.choice(item, choices) not in (None, answer) for item in items)


def _thought(thought: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    tag = tags.closing_tag(thought)
    if tag is not None and (answer := letters.content(tag, choices)[0]):
        return answer, "thought-tag"
    return statements.last(thought, choices)[0], "thought-statement"
