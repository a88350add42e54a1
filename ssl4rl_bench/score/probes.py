"""Computes the summary of a probe in result.json, in addition to its aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ssl4rl_bench.core.types import ProbeInfo, ScoredSample, Task
from ssl4rl_bench.score.aggregate import overall
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.task.ssl.probe import in_order


def probe_summary(
    task: Task, probe: ProbeInfo, outcomes: Outcomes, scored: Sequence[ScoredSample]
) -> dict[str, Any]:
    """Computes the summary of a probe in result.json, as JSON values.

    Keys: `kind`, `difficulty`, `chance`; `accuracy` and `chance_corrected` = (accuracy - chance) / (1 -
    chance), both as {value, ci95}; `parts`, with {value, n, ci95} for each sub-metric; `by_target`, with
    {value, n} for each right answer (not for a jigsaw). The samples are those of `row_micro`, and intervals
    are clustered by image.

    Args:
        probe: the properties of the task (`types.Task.probe`).
        outcomes: the outcomes of all replies.
        scored: the same replies, with the parts of their scores.
    """
    row_of = {id: row for row, id in enumerate(outcomes.ids)}

    def cell(part: str | None = None) -> dict[str, Any]:
        values = outcomes.values.copy()
        for item in scored:
            if part is not None and item.score.value is not None:
                values[row_of[item.id], item.repeat] = item.score.parts[part]
        overall_cell = overall(replace(outcomes, values=values), "row_micro")
        return {key: overall_cell[key] for key in ("value", "n", "ci95")}

    def corrected(value: float | None) -> float | None:
        return None if value is None else (value - probe.chance) / (1 - probe.chance)

    names = next((list(item.score.parts) for item in scored if item.score.parts), [])
    accuracy = cell()
    out: dict[str, Any] = {
        "kind": probe.kind,
        "difficulty": probe.difficulty,
        "chance": probe.chance,
        "accuracy": accuracy,
        "chance_corrected": {
            "value": corrected(accuracy["value"]),
            "ci95": accuracy["ci95"] and [corrected(end) for end in accuracy["ci95"]],
        },
        "parts": {name: cell(name) for name in names},
    }
    if probe.by_target:
        targets = {sample.id: sample.target for sample in task.samples}
        values: dict[str, list[float]] = {}
        for item in scored:
            if item.score.value is not None:
                values.setdefault(targets[item.id], []).append(item.score.value)
        out["by_target"] = {
            target: {"value": sum(got) / len(got), "n": len(got)} for target, got in in_order(values).items()
        }
    return out
