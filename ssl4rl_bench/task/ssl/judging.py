"""From a reply to a score, the part that all SSL tasks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ssl4rl_bench.core.types import Completion, Score, Status
from ssl4rl_bench.task.extract.free import read_free


def judge(
    completion: Completion,
    extractor: str,
    parse: Callable[[str], str | None],
    grade: Callable[[str], Mapping[str, float]],
    nothing: Mapping[str, float],
) -> Score:
    """Reads the answer and grades it. `exact` of the grades is the score's value.

    Args:
        parse: from a short text to the canonical answer that all of it is, or None.
        grade: from a canonical answer to the sub-metrics.
        nothing: the sub-metrics of a reply without an answer.
    """
    if completion.has_no_content:
        return Score(value=None, answer=None, status=Status.NO_CONTENT)
    reading = read_free(completion.text, parse, completion.finish_reason, extractor)
    if reading.status is Status.ERROR:
        return Score(value=None, answer=None, status=Status.ERROR)
    parts = nothing if reading.answer is None else grade(reading.answer)
    return Score(value=parts["exact"], answer=reading.answer, status=reading.status, parts=dict(parts))
