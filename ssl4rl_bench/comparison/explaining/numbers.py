"""Computes the number of a run, or a gap between two, over some of its questions. Used by `effects`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.differences import differences
from ssl4rl_bench.comparison.explaining.explanation import Estimated, Gap
from ssl4rl_bench.score.aggregate import OVERALL, cells_of, group_sums, overall, unit_counts
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.score.scores import ABSENT
from ssl4rl_bench.stats.estimates import Z95

Flags = NDArray[np.bool_]


def restricted(outcomes: Outcomes, groups: Flags) -> Outcomes:
    """Returns outcomes in which only some groups count, as if the others had no replies.

    Args:
        groups: a mask of shape (groups,).
    """
    if groups.all():
        return outcomes
    rows = np.repeat(groups, outcomes.sizes)[:, None]
    return replace(
        outcomes,
        values=np.where(rows, outcomes.values, np.nan),
        status=np.where(rows, outcomes.status, ABSENT).astype(np.int8),
    )


def estimated(outcomes: Outcomes, aggregation: str) -> tuple[Estimated, float | None] | None:
    """Computes the number and its standard error; None if no question counts."""
    cell = overall(outcomes, aggregation)
    if cell["value"] is None:
        return None
    ends = cell["ci95"]
    return Estimated(cell["value"], cell["n"], None if ends is None else (ends[0], ends[1])), cell["se"]


def gap_of(
    one: Outcomes,
    two: Outcomes,
    aggregations: tuple[str, str],
    shared: NDArray[np.intp],
) -> Gap | None:
    """Computes the gap between two outcomes, each over its questions that count; None if one has none.

    Args:
        shared: indices of the same questions in both, shape (questions, 2).
    """
    mine, theirs = estimated(one, aggregations[0]), estimated(two, aggregations[1])
    if mine is None or theirs is None:
        return None
    counted, also = one.counted, two.counted
    both = counted[shared[:, 0]] & also[shared[:, 1]]
    n = int(both.sum())
    if aggregations[0] == aggregations[1] and n == counted.sum() == also.sum():
        ends = paired_interval(one, two, aggregations[0], shared[both])
    else:
        ends = unpaired_interval(mine[0].value - theirs[0].value, mine[1], theirs[1])
    return Gap(mine[0], theirs[0], ends)


def paired_interval(
    one: Outcomes, two: Outcomes, aggregation: str, pairs: NDArray[np.intp]
) -> tuple[float, float] | None:
    """Computes the interval of `one` minus `two` over the same questions, as `compare` does."""
    left, right = pairs.T
    units = unit_counts(one, aggregation)[left]
    after, before = group_sums(one, aggregation)[left], group_sums(two, aggregation)[right]
    cells = cells_of([one.places[index] for index in left], units, aggregation).of((OVERALL,))
    return differences(before, after, units, cells, aggregation, replicates=2)[0].ci95  # no p is used


def unpaired_interval(value: float, se: float | None, other: float | None) -> tuple[float, float] | None:
    """Computes the normal 95% interval of the difference of two independent numbers with standard errors."""
    if se is None or other is None:
        return None
    half = Z95 * math.hypot(se, other)
    return max(-1.0, value - half), min(1.0, value + half)
