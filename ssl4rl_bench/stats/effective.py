"""Effective sample sizes: represents means of bounded scores as counts of independent answers.

Intervals and tests that are valid for few questions and near 0% and 100% exist for independent 0/1 answers
(Wilson, Clopper-Pearson) and for their paired differences (McNemar, Tango). Rows of a question, repeats,
graded scores and means over leaves are neither. For such a mean, n is replaced by the number of independent
0/1 answers, or of differences of -1, 0 and 1, whose mean would have the same variance. Korn and Graubard,
Survey Methodology 24 (1998) 193-201, do this for proportions of clustered samples; this module also does it
for paired differences and for scores between 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl4rl_bench.stats.estimates import wilson

_Floats = NDArray[np.float64]

SMALL = 8
"""Leaves with fewer groups do not get a separate variance (see `mean_variance`)."""
_UNSEEN = 0.25
"""Weight, in groups, of an unobserved change of full size. A variance that is estimated from one or two small
changes would exclude larger ones; without this term the intervals of sparse differences cover 20 to 90%
instead of 95% (benchmarks/stats_calibration.py)."""


@dataclass(frozen=True, slots=True)
class Effective:
    """A mean, represented by shares of `n` independent answers or differences. All shares are fractions."""

    up: float
    """Mean gain: the mean of max(d, 0) for a difference d; the accuracy for an accuracy."""
    down: float
    """Mean loss: the mean of max(-d, 0) for a difference d; 0 for an accuracy."""
    n: float
    """The number of independent answers or differences with the same variance. It need not be an integer, and
    it can exceed the number of groups."""
    df: float | None
    """Degrees of freedom of the variance from which `n` was estimated; None if `n` was counted."""

    @property
    def changed(self) -> float:
        """The share that was gained or lost."""
        return min(1.0, self.up + self.down)

    def counts(self, level: float) -> tuple[float, float, float]:
        """Returns the gained count, the lost count and n for a one-sided bound at `level`.

        n is multiplied by (z / t)², which replaces the normal quantile by one of Student's t (Korn and
        Graubard).
        """
        n = self.n
        if self.df is not None:
            from scipy.special import (
                stdtrit,
            )  # imported here, as the aggregation of 0/1 scores does not need scipy

            n *= (NormalDist().inv_cdf(level) / float(stdtrit(self.df, level))) ** 2
        return self.up * n, self.down * n, n


def accuracy_interval(right: Effective) -> tuple[float, float]:
    """Computes the 95% interval of an accuracy: the Wilson interval for its effective number of answers."""
    up, _, n = right.counts(0.975)
    return wilson(min(1.0, max(0.0, up / n)), n)


@dataclass(frozen=True, slots=True)
class Variance:
    """The variance of a mean over groups."""

    value: float
    df: float
    """Degrees of freedom."""
    pooled: float
    """The share of the variance that was pooled over leaves with few groups."""


def counted(up: int, down: int, n: int) -> Effective:
    """Creates the representation of n independent answers, or differences of -1, 0 and 1, one per group."""
    return Effective(up / n, down / n, float(n), None)


def difference(
    weights: ArrayLike, d: ArrayLike, units: ArrayLike, leaf: ArrayLike | None = None
) -> Effective:
    """Represents a mean difference, sum w d, by an effective number of differences.

    Args:
        weights: w, shape (groups,), with sum w m = 1.
        d: differences of the groups' sums over their units, shape (groups,), |d| <= m.
        units: m > 0, the number of units of each group, shape (groups,).
        leaf: the leaf of each group, shape (groups,), if the value is an unweighted mean over leaves.

    Raises:
        ValueError: there are fewer than two groups.
    """
    x = np.asarray(d, np.float64)
    return _effective(np.maximum(x, 0.0), np.maximum(-x, 0.0), weights, units, leaf)


def accuracy(
    weights: ArrayLike, sums: ArrayLike, units: ArrayLike, leaf: ArrayLike | None = None
) -> Effective:
    """Represents a mean, sum w y, of scores in [0, 1] likewise. Arguments and errors: see `difference`."""
    y = np.asarray(sums, np.float64)
    return _effective(y, np.zeros_like(y), weights, units, leaf)


def mean_variance(
    weights: ArrayLike, sums: ArrayLike, units: ArrayLike, leaf: ArrayLike | None = None
) -> Variance:
    """Computes the variance of sum w y over groups.

    Without leaves, this is the linearised variance of a ratio: n/(n-1) sum w² (y - p m)² (Cochran, Sampling
    Techniques, 3rd ed. 1977, section 2.11). With leaves, groups are taken as draws within their leaf:

    - A leaf with at least `SMALL` groups has a separate variance.
    - Leaves with 2 to 7 groups share a variance around the means of their leaves, if it has at least `SMALL`
      degrees of freedom.
    - The groups of all other leaves have the variance around a common mean: that of the small leaves if these
      have at least `SMALL` groups, otherwise that of all. It is too large if leaves differ, which leaves of
      one group cannot show (collapsed strata: Cochran, section 5A.12).

    The degrees of freedom of the sum are Satterthwaite's.

    Args: as in `difference`, with sums y instead of d.

    Raises:
        ValueError: there are fewer than two groups.
    """
    w, y, m = (np.asarray(array, np.float64) for array in (weights, sums, units))
    n = len(y)
    if n < 2:
        raise ValueError("the variance of a mean needs two groups or more")
    if leaf is None:
        residual = w * (y - m * (y.sum() / m.sum()))
        return Variance(n / (n - 1) * float(residual @ residual), n - 1.0, 0.0)
    leaf_index = np.unique(np.asarray(leaf), return_inverse=True)[1]
    size = np.bincount(leaf_index)
    inside = y - m * (np.bincount(leaf_index, y) / np.bincount(leaf_index, m))[leaf_index]
    leaf_variance = np.bincount(leaf_index, (w * inside) ** 2) * size / np.maximum(size - 1.0, 1.0)
    parts = [(float(leaf_variance[number]), size[number] - 1.0) for number in np.flatnonzero(size >= SMALL)]
    small = size[leaf_index] < SMALL
    df = float((size[size < SMALL] - 1.0).sum())
    within = small & (size[leaf_index] > 1) if df >= SMALL else np.zeros(n, bool)
    alone = small & ~within
    if within.any():
        square = float(inside[within] @ inside[within]) / df * within.sum() / float(m[within] @ m[within])
        parts.append((square * float(((w * m)[within] ** 2).sum()), df))
    if alone.any():
        pool = small if small.sum() >= SMALL else np.ones(n, bool)
        k = int(pool.sum())
        around = y[pool] - m[pool] * (y[pool].sum() / m[pool].sum())
        square = k / (k - 1) * float(around @ around) / float(m[pool] @ m[pool])
        parts.append((square * float(((w * m)[alone] ** 2).sum()), k - 1.0))
    variance = math.fsum(part for part, _ in parts)
    spread = math.fsum(part * part / freedom for part, freedom in parts)
    freedom = variance * variance / spread if spread > 0.0 else n - 1.0
    pooled = math.fsum(part for part, _ in parts[int((size >= SMALL).sum()) :])
    return Variance(variance, freedom, pooled / variance if variance > 0.0 else 0.0)


def _effective(
    gained: _Floats, lost: _Floats, weights: ArrayLike, units: ArrayLike, leaf: ArrayLike | None
) -> Effective:
    w, m = np.asarray(weights, np.float64), np.asarray(units, np.float64)
    variance = mean_variance(w, gained - lost, m, leaf)
    up, down = (min(1.0, max(0.0, float(w @ part))) for part in (gained, lost))
    spread = _spread(up, down)
    if variance.pooled > 0.5:
        # The variance is that of all groups, but the mean depends on few of them and may be far from theirs.
        total = float(m.sum())
        spread = min(spread, _spread(float(gained.sum()) / total, float(lost.sum()) / total))
    independent = 1.0 / float((w * m) @ (w * m))  # Kish's number of equal groups
    spread += _UNSEEN / independent
    return Effective(up, down, spread / (variance.value + _UNSEEN / independent**2), variance.df)


def _spread(up: float, down: float) -> float:
    """Computes the variance of one difference of -1, 0 or 1 with these shares."""
    return up + down - (up - down) ** 2
