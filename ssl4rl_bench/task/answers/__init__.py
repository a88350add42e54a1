r"""Scores answers that are not letters, without a judge: numbers, yes or no, and short texts.

`extract.free` finds where a reply states its answer; the parser of a kind decides what counts as one. A reply
with two different final answers, or with none that a careful person would read, has no answer and scores 0.

| kind | right is | also read |
|---|---|---|
| `number` | an equal number (`numbers`: rounding, units) | 1,234; 3/4; \frac{3}{4}; 2\sqrt{3}; 5 cm |
| `yes_no` | the same side (`yes_no`) | true, false, correct, "not true"; "Yes, there is." |
| `text` | equal after normalisation (`texts`) | other case, articles, quotes; in "a || b", a and b |

Equal answers are one answer: a reply that states 1/2 and 0.5 does not contradict itself if 0.5 is right. An
answer that is right is reported as the target's text, another one in the canonical form of its kind. The
extractor "strict" reads only a tag whose whole content is an answer.
"""

from __future__ import annotations

import re

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.types import Completion, Score, Status
from ssl4rl_bench.task.answers.targets import (
    KINDS,
    check_target,
    gold_replies,
    make_parser,
    right_answer,
    wrong_replies,
)
from ssl4rl_bench.task.extract.resolve import CONFLICT

__all__ = ["KINDS", "check_target", "gold_replies", "score_answer", "wrong_replies"]

_LINE_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)


def score_answer(
    kind: str,
    target: str,
    completion: Completion,
    *,
    unit: str | None = None,
    tolerance: float | None = None,
    decimals: int | None = None,
    extractor: str = "default",
) -> Score:
    """Reads and scores a reply. The value is 1.0, 0.0, or None for an error or reasoning without a reply. Pure.

    Args:
        kind: one of `KINDS`.
        target: the right answer, in any form that `check_target` accepts.
        unit: for a number: the expected unit, such as "cm"; by default the target's.
        tolerance: for a number: the largest accepted difference.
        decimals: for a number: the digits after the point that must agree; by default those of the target.
        extractor: a name of `extract.EXTRACTORS`. All except "strict" work like "default".

    Raises:
        UsageError: if the kind or the extractor is unknown, or the target is not of the kind.
    """
    from ssl4rl_bench.task.extract import free  # here, because its patterns take 30 ms to compile

    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise UsageError(
            f"There is no kind of answer {kind!r}{did_you_mean(kind, KINDS)}; there are {known}."
        )
    parse = make_parser(kind, target, unit, tolerance, decimals)
    if parse is None:
        raise UsageError(f"The target {target[:60]!r} is not a {kind} answer: {check_target(kind, target)}.")
    if completion.has_no_content:
        return Score(value=None, answer=None, status=Status.NO_CONTENT)
    parser = (
        (lambda text: text if parse(text) not in (None, CONFLICT) else None)
        if extractor == "strict"
        else parse
    )
    text = _LINE_BREAK.sub("\n", completion.text)
    reading = free.read_free(text, parser, completion.finish_reason, extractor)
    if reading.status is Status.ERROR:
        return Score(value=None, answer=None, status=Status.ERROR)
    answer = parse(reading.answer) if reading.answer is not None else None
    return Score(value=float(answer == right_answer(kind, target)), answer=answer, status=reading.status)
