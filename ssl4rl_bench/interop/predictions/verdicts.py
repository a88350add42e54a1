"""Compares the scores of imported replies with those that the other tool gave them."""

from __future__ import annotations

from collections.abc import Mapping

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import Completion, Task
from ssl4rl_bench.interop.predictions.rows import Prediction
from ssl4rl_bench.run.journal import Place

_SHOWN = 3
"""The number of replies that the line names."""


def completion_of(row: Prediction) -> Completion:
    """Returns a prediction as what an engine returns. An unstated finish reason counts as "stop"."""
    if row.error is not None:
        return Completion("", "error", error=row.error)
    return Completion(row.text, row.finish_reason or "stop", reasoning=row.reasoning)


def agreement_line(
    task: Task, placed: Mapping[Place, Prediction], tool: str, extractor: str = "default"
) -> str | None:
    """Returns how many replies are scored as by the other tool, and the first others; None without its scores.

    VLMEvalKit's `hit` of a circular question is that of all its copies, so tasks with copies are not compared.
    """
    if any(sample.roll for sample in task.samples):
        return None
    n, others = 0, []
    for sample in task.samples:
        row = placed.get((sample.id, 0))
        if row is None or row.verdict is None:
            continue
        n += 1
        score = task.score(sample, completion_of(row), extractor)
        if score.value is None or abs(score.value - row.verdict) > 1e-6:
            ours = "no score" if score.value is None else f"{score.value:g}"
            others.append(f"{clean(sample.id, 40)} ({row.verdict:g} there, {ours} here: {score.status})")
    if not n:
        return None
    first = f"; the first others: {', '.join(others[:_SHOWN])}" if others else ""
    return f"scored as by {tool or 'the file'} in {n - len(others)} of {n} rows{first}"
