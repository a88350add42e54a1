"""Checks that the parts of a finished run agree: result.json, spec.json, the outcomes and the journals.

One program derives all parts from the journal, so parts that disagree were edited by hand, damaged, or
combined from several runs. Such a run is refused, and the message names the parts. Intervals are not
recomputed, as a later version may improve their computation while the values of a run stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.run import journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.score.aggregate import OVERALL
from ssl4rl_bench.score.cell_values import cell_values
from ssl4rl_bench.score.outcomes import Outcomes, read_outcomes

_NEAR = 1e-9


def finished(run: RunDir) -> dict[str, Any]:
    """Returns the result of a complete, consistent run, with the engine added (`RunDir.shown`).

    Raises:
        StoreError: as `finished_outcomes`.
    """
    return finished_outcomes(run)[0]


def finished_outcomes(run: RunDir) -> tuple[dict[str, Any], dict[str, Outcomes] | None]:
    """Returns `finished` and the stored outcomes by task, None if there are none (`read_outcomes`).

    Raises:
        StoreError: the run is not complete, or its parts contradict each other; names the parts.
    """
    result = run.result
    if result is None:
        raise StoreError(f"run {run.path} is not complete: repeat its `run` command to resume it")
    stored = read_outcomes(run)
    check_consistent(run.path, run.spec, result, stored or {})
    for name, task_result in result["tasks"].items():
        damaged = journal.damaged(run.journal_path(name))
        if len(damaged) != task_result.get("n_corrupt", len(damaged)):
            raise StoreError(
                f"{run.journal_path(name)} contradicts result.json: {len(damaged)} lines are damaged or were edited "
                f"(first: line {(damaged or [0])[0]}), and {task_result['n_corrupt']} were when the run was scored; "
                "restore it, or repeat the run's command, which asks them again"
            )
    return run.shown(result), stored


def check_consistent(
    where: Path, spec: RunSpec, result: Mapping[str, Any], outcomes: Mapping[str, Outcomes]
) -> None:
    """Compares the parts of a run with each other.

    Args:
        where: the run or the baseline file, for messages.
        outcomes: outcomes by task; tasks without outcomes are not compared with them.

    Raises:
        StoreError: two parts contradict each other; names the first.
    """
    try:
        problem = next(_contradictions(spec, result, outcomes), None)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        problem = (
            f"result.json does not have the form that this program writes ({type(error).__name__}: {error})"
        )
    if problem:
        raise StoreError(
            f"{where} contradicts itself: {problem}; it was edited or damaged: restore it, or create result.json and "
            "outcomes.json again with `ssl4rl-bench score`"
        )


def _contradictions(
    spec: RunSpec, result: Mapping[str, Any], outcomes: Mapping[str, Outcomes]
) -> Iterator[str]:
    if "spec_sha256" in result and result["spec_sha256"] != spec.sha256:
        yield "the result belongs to another spec"
    reasons = result.get("partial_reasons", [])
    if result.get("partial", bool(reasons)) is not bool(reasons):
        yield f"partial is {result['partial']}, with {len(reasons)} reasons"
    for name, task_result in result.get("tasks", {}).items():
        asked = spec.tasks[name]
        for key in ("version", "prompt", "data_sha256"):
            if key in task_result and task_result[key] != getattr(asked, key):
                yield f"{name} has {key} {task_result[key]} in its result and {getattr(asked, key)} in its spec"
        if task_result.get("image", "real") != asked.image:
            yield f"{name} has image {task_result.get('image', 'real')} in its result and {asked.image} in its spec"
        yield from (
            f"{name}: {problem}" for problem in _of_task(task_result, task_result["n_samples"] * spec.repeats)
        )
        if name in outcomes:
            yield from (f"{name}: {problem}" for problem in _recomputed(task_result, outcomes[name], spec))


def _of_task(task_result: Mapping[str, Any], n_requests: int) -> Iterator[str]:
    """Yields contradictions within result.json."""
    replies = sum(task_result["status"].values())
    if replies + task_result.get("n_missing", n_requests - replies) != n_requests:
        missing = task_result["n_missing"]
        yield f"the status counts add up to {replies} of {n_requests} replies, with {missing} missing"
    for aggregation, levels in task_result["aggregates"].items():
        cells = {("overall", ""): levels["overall"]} | {
            (level, name): cell
            for level in ("l1", "l2", "l3")
            for name, cell in levels.get(level, {}).items()
        }
        for (level, name), cell in cells.items():
            where = f"{aggregation} {name or level}"
            value, ends = cell["value"], cell.get("ci95")
            if value is not None and not -_NEAR <= value <= 1.0 + _NEAR:
                yield f"{where} is {value}, which is not a fraction"
            elif value is not None and ends and not ends[0] - _NEAR <= value <= ends[1] + _NEAR:
                yield f"{where} is {value}, outside of its interval {ends[0]} to {ends[1]}"
    for name, metric in task_result.get("metrics", {}).items():
        if "cell" in metric:
            aggregation, level, category = metric["cell"]
            same = task_result["aggregates"][aggregation][level]
            same = same if level == OVERALL else same[category]
            if not _close(metric["value"], same["value"]):
                yield f"the metric {name} is {metric['value']}, and {aggregation} {category} {same['value']}"
    probe = task_result.get("probe")
    if probe and "row_micro" in task_result["aggregates"]:
        printed, value = (
            probe["accuracy"]["value"],
            task_result["aggregates"]["row_micro"]["overall"]["value"],
        )
        if not _close(printed, value):
            yield f"the probe's accuracy is {printed}, and row_micro {value}"


def _recomputed(task_result: Mapping[str, Any], derived: Outcomes, spec: RunSpec) -> Iterator[str]:
    """Yields contradictions between a task's result and its outcomes."""
    for key in ("version", "prompt", "data_sha256", "extractor"):
        if key in task_result and task_result[key] != getattr(derived, key):
            yield f"{key} is {task_result[key]} in result.json and {getattr(derived, key)} in outcomes.json"
    if task_result.get("reader", 1) != derived.reader:
        reader = task_result.get("reader", 1)
        yield f"the extractor's version is {reader} in result.json and {derived.reader} in outcomes.json"
    if derived.values.shape != (task_result["n_samples"], spec.repeats):
        yield f"outcomes.json has {derived.values.shape[0]} samples in {derived.values.shape[1]} repeats"
    counts = derived.status_counts
    if counts != dict(task_result["status"]):
        yield f"status counts are {dict(task_result['status'])} in result.json and {counts} in outcomes.json"
    if probe := task_result.get("probe"):
        yield from _margin(probe, derived)
    for aggregation, level, cells in cell_values(derived):
        known = task_result["aggregates"][aggregation][level]
        known = {OVERALL: known} if level == OVERALL else known
        if set(cells) != set(known):
            yield f"{aggregation} has other {level} categories in result.json and in outcomes.json"
        for name, cell in cells.items():
            for key, value in cell.items():
                if not _close(known[name][key], value):
                    yield (
                        f"{aggregation} {name}: {key} is {known[name][key]} in result.json, and "
                        f"{value if value is None or key == 'value' else round(value)} by outcomes.json"
                    )


def _margin(probe: Mapping[str, Any], derived: Outcomes) -> Iterator[str]:
    """Yields a contradiction between a probe's margin and the margins of its samples."""
    printed = (probe.get("margin") or {}).get("value")
    margins = np.empty(0) if derived.margins is None else derived.margins
    values = margins[~np.isnan(margins)]
    mean = float(np.mean(values)) if len(values) else None
    if not _close(printed, mean):
        yield f"the probe's margin is {printed} in result.json and {mean} by outcomes.json"


def _close(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return abs(one - two) <= _NEAR
