"""What tables of a benchmark show by default: the aggregation that it publishes, in the words for its groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ssl4rl_bench.score.aggregate import AGGREGATIONS, DEFAULT_AGGREGATION
from ssl4rl_bench.score.scores import Scores

GroupKind = Literal["single", "copies", "rows"]
"""What the groups of a benchmark are: single rows; copies of one question, circular or in cycles; or several
rows that are no copies, such as the two pictures of a pair or the questions on one figure."""


def headline_of(results: Iterable[Mapping[str, Any]], task: str) -> str:
    """Returns the aggregation that a benchmark publishes, which is the default of its tables.

    Args:
        results: contents of result.json; the first one that names a known aggregation decides.
    """
    for result in results:
        tasks = result.get("tasks")
        of_task = tasks.get(task) if isinstance(tasks, Mapping) else None
        name = of_task.get("headline") if isinstance(of_task, Mapping) else None
        if name in AGGREGATIONS:
            return str(name)
    return DEFAULT_AGGREGATION


def is_corpus_only(task_result: object) -> bool:
    """Checks whether an entry in result.json has only metrics of the whole corpus, such as CIDEr.

    Its replies have no scores, so its aggregates are empty.
    """
    metrics = task_result.get("metrics") if isinstance(task_result, Mapping) else None
    if not isinstance(metrics, Mapping) or not metrics:
        return False
    return all(isinstance(metric, Mapping) and metric.get("of") == "corpus" for metric in metrics.values())


def group_kind(scores: Scores) -> GroupKind:
    """Returns what the groups of a benchmark are."""
    if bool((scores.sizes == 1).all()):
        return "single"
    return "copies" if bool((scores.rolls > 0).any()) else "rows"


def group_kind_of(task_result: Mapping[str, Any]) -> GroupKind:
    """Returns what the groups of a benchmark are, from its entry in result.json (`groups`)."""
    if task_result.get("n_samples") == task_result.get("n_groups"):
        return "single"
    return "rows" if task_result.get("groups") == "rows" else "copies"


def distinct_aggregations(names: Iterable[str], kind: GroupKind) -> list[str]:
    """Leaves out aggregations that equal an earlier one for groups of this kind, in the given order."""
    same = {
        "copies": (),
        "rows": (("row_micro", "vanilla0_micro"),),
        "single": (("circular_micro", "row_micro", "vanilla0_micro"),),
    }[kind]
    out: list[str] = []
    for name in dict.fromkeys(names):
        if not any(name in alike and other in alike for alike in same for other in out):
            out.append(name)
    return out
