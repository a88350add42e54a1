"""Right answers: which can be scored without a judge, the parser of each, and replies that must score 1 and 0."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache

from ssl4rl_bench.task.answers.numbers import number_target
from ssl4rl_bench.task.answers.texts import LONGEST, MOST_WORDS, SEPARATOR, normalised, text_target
from ssl4rl_bench.task.answers.yes_no import parse_yes_no

KINDS = ("number", "yes_no", "text")
"""The names of the kinds of answers."""

Parser = Callable[[str], str | None]
"""Returns the canonical form of an answer, or None if the whole text is not one."""

_FORMS = (
    "<think>I look at the image.</think> <answer>{answer}</answer>",
    "The answer is {answer}.",
    "\\boxed{{{answer}}}",
    "{answer}",
)
_TWO = ("The answer is {answer} or {other}.", "<answer>{answer}</answer> or <answer>{other}</answer>")
_OTHER_TEXTS = ("zebra", "quartz", "harpsichord")
_MARKUP = re.compile(r"[<>|\n\v\f\r\x1c-\x1e\x85\u2028\u2029\\~{}\ufffd]|\.\.|…")
_SEVERAL = re.compile(r"[\[\];]|[0-9],\s|[0-9] ?(?:and|or|to|-|–|~) ?[0-9]|[0-9]:[0-9]|±|\\pm|[<>≤≥]|\\[lg]e")


@lru_cache(maxsize=4096)
def make_parser(
    kind: str,
    target: str,
    unit: str | None = None,
    tolerance: float | None = None,
    decimals: int | None = None,
) -> Parser | None:
    """Returns a parser of replies that maps every right answer to the target, or None for an unusable target."""
    if kind == "yes_no":
        return parse_yes_no if len(target) <= LONGEST and parse_yes_no(target) in ("yes", "no") else None
    if kind == "number":
        number = number_target(target, unit, tolerance, decimals)
        return number.parse if number else None
    text = text_target(target)
    return text.parse if text else None


def right_answer(kind: str, target: str) -> str:
    """Returns the answer that the parser of a target gives for it: the target's text, or "yes" or "no"."""
    if kind == "yes_no":
        return parse_yes_no(target) or ""
    return (target.partition(SEPARATOR)[0] if kind == "text" else target).strip()


@lru_cache(maxsize=4096)
def check_target(kind: str, target: str) -> str | None:
    """Returns why a target cannot be scored without a judge, or None if it can.

    A target is accepted only if its own text, in the forms of `gold_replies`, is read as right.
    """
    if not target.strip():
        return "it is empty"
    if make_parser(kind, target) is None:
        return _REASONS[kind](target)
    if kind == "text" and _MARKUP.search(target.replace(SEPARATOR, "")):
        return "it has markup, several lines or an ellipsis"
    from ssl4rl_bench.core.types import Completion
    from ssl4rl_bench.task.answers import score_answer

    for reply in gold_replies(kind, target):
        if score_answer(kind, target, Completion(reply, "stop")).value != 1.0:
            return f"a reply that states it would not be read: {reply[:60]!r}"
    return None


def gold_replies(kind: str, target: str) -> tuple[str, ...]:
    """Returns replies that must score 1.0: the target in the forms that models write."""
    answers = [part.strip() for part in target.split(SEPARATOR)] if kind == "text" else [target.strip()]
    return tuple(form.format(answer=answer) for answer in answers for form in _FORMS)


def wrong_replies(kind: str, target: str) -> tuple[str, ...]:
    """Returns replies that must score 0.0: another answer, and the right one together with another."""
    other = _another(kind, target)
    right = right_answer(kind, target)
    alone = tuple(form.format(answer=other) for form in _FORMS)
    return alone + tuple(form.format(answer=right, other=other) for form in _TWO)


def _another(kind: str, target: str) -> str:
    """Returns an answer that is wrong, whatever tolerance is usual."""
    if kind == "yes_no":
        return "no" if parse_yes_no(target) == "yes" else "yes"
    if kind == "number":
        number = number_target(target)
        size = abs(number.quantity.value.approximate()) if number else 0.0
        return str(2 * math.ceil(size) + 1001)
    accepted = {normalised(part) for part in target.split(SEPARATOR)}
    return next(word for word in _OTHER_TEXTS if word not in accepted)


def _number_reason(target: str) -> str:
    if _SEVERAL.search(target):
        return "it is several numbers, an interval, a ratio or a time"
    return "it is not one number in a form that is read"


def _text_reason(target: str) -> str:
    if any(not normalised(part[: 4 * LONGEST]) for part in target.split(SEPARATOR)):
        return "an accepted answer is empty"
    return f"it has more than {MOST_WORDS} words or {LONGEST} characters"


_REASONS: dict[str, Callable[[str], str]] = {
    "number": _number_reason,
    "yes_no": lambda _: "it is neither yes nor no",
    "text": _text_reason,
}
