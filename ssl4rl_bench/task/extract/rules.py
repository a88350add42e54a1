"""Applies the rules of `default` and `strict` in order. The docstring of the package lists the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ssl4rl_bench.core.types import Status
from ssl4rl_bench.task.extract import letters, option_texts, options, statements, tags, walks
from ssl4rl_bench.task.extract.clean import clean_reply
from ssl4rl_bench.task.extract.moods import Strength
from ssl4rl_bench.task.extract.resolve import CONFLICT, Statement
from ssl4rl_bench.task.extract.sentences import Sentences

RuleResult = tuple[str | None, Status, str]
"""The answer, its status, and the rule that decided."""

_REFUSAL = re.compile(
    r"(?:sorry|apologi[sz]e)[^.\n]{0,60}(?:can['’]?t|cannot|can not|unable|not able|won['’]t)\b"
    r"|\bi(?:['’]m| am) (?:unable|not able|not allowed) to\b|\bas an ai\b|\bcannot determine the answer\b"
    r"|\bi (?:can['’]?t|cannot|can not|won['’]t|will not) (?:help|assist|identify|answer|process|determine"
    r"|provide|recogni[sz]e|comply|do that|(?:see|view) (?:the|this|any|an) (?:image|picture|photo))"
    r"|(?:抱歉|对不起)[^。\n]{0,20}(?:无法|不能)|我(?:无法|不能)(?:回答|确定|识别|提供|查看|看到图)",
    re.IGNORECASE,
)
_REFUSAL_WITHIN = 400
"""The number of characters at the start of a reply that are searched for a refusal."""


def read_default(text: str, choices: Mapping[str, str], cut: bool) -> RuleResult:
    """Reads the tag, else applies the lenient rules, else reads the thinking if nothing follows it.

    `cut` says that the reply reached the token limit.
    """
    text = clean_reply(tags.clip(text))
    if cut and len(text.strip()) > 3 and text.rstrip()[-1] not in ".!。！":
        # The last word may be incomplete ("A" of "Animal"). Shorter replies are what a limit of one token asks for.
        text += "\N{REPLACEMENT CHARACTER}"
    parts = tags.split(text)
    if parts.tag is not None and not tags.shows_form(parts):
        if parts.rivals:
            return None, Status.NONE, "conflict"
        answer, rule = letters.content(parts.tag, choices)
        if answer is None:
            answer, _ = statements.last(parts.tag, choices)
        if answer is not None:
            return _verdict(answer, Status.TAG, rule)
    visible = _WRAPPING.sub("\n", parts.visible).strip("` \n")
    answer, rule = _lenient(visible, choices, cut)
    if answer is None and parts.open_tag is not None:
        answer, rule = letters.content(parts.open_tag.partition("<")[0], choices)[0], "open-tag"
    if answer is None and parts.thought and not cut:
        answer, rule = _thought(parts.thought, choices)
    return _verdict(answer, Status.LENIENT, rule) if answer is not None else _nothing(parts.visible)


def read_strict(text: str, choices: Mapping[str, str], cut: bool) -> RuleResult:  # noqa: ARG001
    """Reads only a well-formed tag that contains a letter of the choices, with no thinking after it."""
    parts = tags.split(tags.clip(text))
    if (
        parts.tag is not None
        and parts.ordered
        and not parts.rivals
        and (answer := parts.tag.strip()) in choices
    ):
        return answer, Status.TAG, "tag-letter"
    return _nothing(parts.visible)


def _verdict(answer: str, status: Status, rule: str) -> RuleResult:
    return (None, Status.NONE, "conflict") if answer == CONFLICT else (answer, status, rule)


def _nothing(visible: str) -> RuleResult:
    if _REFUSAL.search(visible[:_REFUSAL_WITHIN].lower()):
        return None, Status.REFUSAL, "refusal"
    return None, Status.NONE, "no-answer"


_WRAPPING = re.compile(r"</?(?!(?i:answer|think)>)(?:[a-z]|[A-Za-z_]{2,20})>|\[/?[A-Z]{2,12}\]")
"""Tags of other formats, such as <CONCLUSION>, which are replaced by line breaks."""


def _lenient(text: str, choices: Mapping[str, str], cut: bool) -> tuple[str | None, str]:
    """Returns a letter, `CONFLICT` or None, and the rule; `text` is the visible part of a reply, stripped."""
    if not text:
        return None, "no-answer"
    first, _, more = text.partition("\n")
    if not more:
        if (letter := letters.only_letter(text)) and (answer := options.choice(letter, choices)):
            return answer, "only-letter"
        if answer := options.named_by(text, choices):
            return answer, "only-text"
    if not cut and (answer := _last_line(text, choices)):
        return answer, "last-line"
    sentences = Sentences(text)
    opening = None if cut else _opening(first, more, choices)
    held, stated = statements.holding(sentences, choices, opening, cut=cut)
    if held is not None:
        return held.verdict, held.rule
    if cut or stated:
        return None, "no-answer"
    return option_texts.by_text(sentences, choices)


def _last_line(text: str, choices: Mapping[str, str]) -> str | None:
    """Reads the last line, which must be a letter or the text of an option; None if it ends a list."""
    lines = text.split("\n")
    final = lines.pop()
    answer = letters.line(final, choices)
    if answer and answer != CONFLICT:
        bare = letters.only_letter(final) is not None
        return None if walks.continues(lines, walks.Item(answer, bare), choices) else answer
    before = next((line for line in reversed(lines) if line.strip()), "")
    if answer is None and lines and not options.named_by(_unmarked(before), choices):
        named = option_texts.exact_option(final, choices)
        listed = walks.read_item(before, choices) or (
            len(before) < 40 and options.mentions(options.fold(before), options.other_choices(choices, named))
        )
        return None if named and listed else named
    return None


def _unmarked(line: str) -> str:
    return line.strip(" *_`>#-•·\t")


def _opening(first: str, more: str, choices: Mapping[str, str]) -> Statement | None:
    """Reads the answer of the first line, unless it begins a walk through the options or a list of them."""
    letter = letters.line(first, choices)
    if letter == CONFLICT:
        return Statement(0, len(first), CONFLICT, Strength.WEAK, "opening")
    answer = letter or letters.opening(first, choices)
    if answer is None:
        return None
    if letter:
        item = walks.Item(answer, letters.only_letter(first) is not None)
        lines = more.split("\n")[:24]
        if walks.begins(lines, item, choices) or letters.crowded(first, answer, choices):
            return None
        if any(walks.trails(line, answer, choices) for line in lines):
            return None
    elif letters.crowded(f"{first}\n{more}" if more else first, answer, choices):
        return None
    return Statement(0, len(first), answer, Strength.FIRM, "opening")


def _thought(thought: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    tag = tags.closing_tag(thought)
    if tag is not None and (answer := letters.content(tag, choices)[0]):
        return answer, "thought-tag"
    return statements.last(thought, choices)[0], "thought-statement"
