"""Applies the rules of `default` and `strict` in order. The docstring of the package lists the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ssl4rl_bench.core.types import Status
from ssl4rl_bench.task.extract import letters, tags
from ssl4rl_bench.task.extract.clean import clean_reply
from ssl4rl_bench.task.extract.resolve import CONFLICT

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
            from ssl4rl_bench.task.extract import statements

            answer, _ = statements.last(parts.tag, choices)
        if answer is not None:
            return _verdict(answer, Status.TAG, rule)
    # Imported here, as most replies have a tag, and compiling the patterns of the other rules takes 0.1 seconds.
    from ssl4rl_bench.task.extract import lenient

    visible = _WRAPPING.sub("\n", parts.visible).strip("` \n")
    answer, rule = lenient.read(visible, choices, cut)
    if answer is None and parts.open_tag is not None:
        answer, rule = letters.content(parts.open_tag.partition("<")[0], choices)[0], "open-tag"
    if answer is None and parts.thought and not cut:
        answer, rule = lenient.read_thought(parts.thought, choices)
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
