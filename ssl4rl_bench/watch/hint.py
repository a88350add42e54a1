"""Detects negative transfer, where a probe rises while abilities fall, so that further training does harm."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import ALPHA, Difference
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.score.headline import headline_of
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.watch.history import Change

NAMED = 3
"""The maximum number of probes, and of abilities, that the hint names."""


def find_changes(
    baseline: Evaluated, candidate: Evaluated, allow: Collection[str] = ()
) -> tuple[Change, ...]:
    """Compares each probe's accuracy and each ability of every common benchmark with the baseline.

    Abilities are the categories of level "l2", scored as the benchmark publishes its number (`score.headline`).

    Raises:
        UsageError: if the runs are not comparable.
    """
    differences: list[tuple[str, bool, Difference]] = []
    for task, outcomes in candidate.outcomes.items():
        if task not in baseline.outcomes:
            continue
        probe = outcomes.probe is not None
        (made,) = compare_task(
            baseline,
            [candidate],
            task,
            by="overall" if probe else "l2",
            aggregation="row_micro" if probe else headline_of([baseline.result, candidate.result], task),
            correction="none",
            allow=allow,
        )
        differences += [(task, probe, cell) for cell in made.cells if probe or cell.level == "l2"]
    corrected = holm(np.array([cell.p for _, _, cell in differences]))
    return tuple(
        Change(
            task=task,
            name=cell.name,
            probe=probe,
            n=cell.n,
            baseline=cell.baseline,
            candidate=cell.candidate,
            value=cell.value,
            ci95=cell.ci95,
            p_corrected=float(p),
        )
        for (task, probe, cell), p in zip(differences, corrected, strict=True)
    )


def hint(changes: Sequence[Change]) -> str | None:
    """Returns a sentence with evidence if a probe rose and an ability fell, both significantly; else None."""
    sure = sorted(
        (change for change in changes if change.p_corrected < ALPHA), key=lambda change: change.p_corrected
    )
    up = [change for change in sure if change.probe and change.value > 0.0]
    down = [change for change in sure if not change.probe and change.value < 0.0]
    if not up or not down:
        return None
    return (
        f"negative transfer, consider stopping: {_listed(up)} rose while {_listed(down)} fell "
        "(against the baseline; p corrected for every ability and probe)"
    )


def _listed(changes: Sequence[Change]) -> str:
    texts = [
        f"{short_name(change.task)}{'' if change.probe else ' ' + change.name} {100 * change.value:+.2f} points "
        + (f"[{100 * change.ci95[0]:+.2f}, {100 * change.ci95[1]:+.2f}], " if change.ci95 else "")
        + f"n {change.n}, p {'<0.001' if change.p_corrected < 0.001 else f'{change.p_corrected:.3f}'}"
        for change in changes[:NAMED]
    ]
    more = len(changes) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more else "")
