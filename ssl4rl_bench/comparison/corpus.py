"""Compares the metrics that exist only for a whole corpus, such as CIDEr, by a paired bootstrap of documents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated, check_settings
from ssl4rl_bench.comparison.settings import check_allowed
from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.stats.bootstrap import percentiles, unpacked

OTHER_DOCUMENTS = "the runs answered other documents"
NOT_RESAMPLED = "a run has no resamples of it"


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """The difference of candidate minus baseline in a metric, in the metric's units."""

    task: str
    metric: str
    baseline: str
    """The baseline's label."""
    candidate: str
    n: int
    """The number of documents of the candidate."""
    higher_is_better: bool
    baseline_value: float | None
    candidate_value: float | None
    value: float | None
    ci95: tuple[float, float] | None
    """Percentiles of the differences of both runs' resamples, which are of the same documents. They are not
    corrected for the number of metrics."""
    why: str
    """Why there is no interval; empty if there is one."""


def shared_corpus(runs: Sequence[Evaluated], wanted: Sequence[str] = ()) -> list[str]:
    """Returns the tasks with metrics of the whole corpus only that all runs have, or the `wanted` among them."""
    names = [name for name in runs[0].without_scores if all(name in run.without_scores for run in runs)]
    return [name for name in names if not wanted or name in map(full_name, wanted)]


def compare_metrics(
    baseline: Evaluated, candidates: Sequence[Evaluated], task: str, allow: Collection[str] = ()
) -> tuple[list[MetricDifference], list[str]]:
    """Compares the metrics of a task of `shared_corpus`.

    Args:
        allow: as `pairing.pair`.

    Returns:
        The differences, by candidate and then by metric, and notes for readers.

    Raises:
        UsageError: the runs must not be compared.
    """
    allowed = check_allowed(allow)
    out: list[MetricDifference] = []
    notes: list[str] = []
    for candidate in candidates:
        notes += check_settings(baseline, candidate, task, allowed)
        for name, before in baseline.corpus[task].items():
            after = candidate.corpus[task].get(name)
            if after is not None:
                out.append(_difference(baseline, candidate, task, name, before, after))
    return out, list(dict.fromkeys(notes))


def _difference(
    baseline: Evaluated, candidate: Evaluated, task: str, name: str, before: Any, after: Any
) -> MetricDifference:
    one, two = number(before["value"]), number(after["value"])
    stored = [metric.get("bootstrap") for metric in (before, after)]
    left, right = (None if part is None else unpacked(part["replicates"]) for part in stored)
    same = baseline.asked(task).data_sha256 == candidate.asked(task).data_sha256
    interval: tuple[float, float] | None = None
    why = ""
    if left is None or right is None or left.shape != right.shape:
        why = NOT_RESAMPLED
    elif not same or before["bootstrap"]["documents"] != after["bootstrap"]["documents"]:
        why = OTHER_DOCUMENTS
    else:
        interval = percentiles(right - left)
    return MetricDifference(
        task=task,
        metric=name,
        baseline=baseline.label,
        candidate=candidate.label,
        n=int(after["n"]),
        higher_is_better=bool(after["higher_is_better"]),
        baseline_value=one,
        candidate_value=two,
        value=None if one is None or two is None else two - one,
        ci95=interval,
        why=why,
    )
