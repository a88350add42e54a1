"""Estimates with their uncertainty, as pure functions of numbers.

The unit is the group (one question). Groups are taken as independent draws; what shares a group (circular
copies, repeats) is not independent, so every standard error here is computed from one number per group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

Z95 = NormalDist().inv_cdf(0.975)
"""1.95996..., the two-sided 95% quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its uncertainty. Fractions, not percent."""

    value: float | None
    """None without data."""
    n: int
    """How many units the mean is over."""
    se: float | None
    """Standard error. None with fewer than two independent units, never NaN."""
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Where the variance of repeated measurements comes from, in squared units of the score."""

    between: float | None
    """Of the true group means: questions differ. Unbiased, so it can come out below 0. None with fewer than
    two groups or without a repeat."""
    within: float | None
    """Of one group from repeat to repeat: sampling noise. None without a repeat."""
    repeats: int
    """The most repeats that a group has."""


def wilson(value: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Score interval of a proportion, inside [0, 1] and of positive width at 0 and 1 too.

    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.

    Args:
        value: the proportion p in [0, 1].
        n: trials; an effective number need not be whole.

    Raises:
        ValueError: if `value` is outside [0, 1] or `n` is not above 0.
    """
    if not (0.0 <= value <= 1.0 and n > 0.0):
        raise ValueError(f"no Wilson interval for proportion {value} of {n} trials")
    scale = 1.0 + z * z / n
    centre = (value + z * z / (2.0 * n)) / scale
    half = z * math.sqrt(value * (1.0 - value) / n + z * z / (4.0 * n * n)) / scale
    # At 0 and 1 one end equals the value exactly; rounding must not put it on the wrong side.
    return max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half))


def exact_lower(right: float, n: float, level: float) -> float:
    """One-sided lower bound of a proportion: the p at which `right` or more of n have probability 1 - level.

    Clopper and Pearson, Biometrika 26 (1934) 404-413: its error is at most 1 - level for every p and n, where
    Wilson's is up to 18% instead of 5% for rare events.

    Args:
        right, n: counts, or effective ones, which need not be whole.
    """
    from scipy.special import betaincinv  # here: the aggregation of results does not load scipy

    return 0.0 if right <= 0.0 else float(betaincinv(right, n - right + 1.0, 1.0 - level))


def exact_below(right: float, n: float, floor: float) -> float:
    """One-sided p of a proportion of at least `floor`: the probability of `right` or fewer of n at the floor.

    Args: as of `exact_lower`.
    """
    from scipy.special import betainc

    return 1.0 if right >= n else float(betainc(n - right, right + 1.0, 1.0 - floor))


def variance_components(values: ArrayLike, groups: ArrayLike) -> VarianceComponents:
    """One-way random-effects analysis of variance: x_gr = mean + group effect + noise.

    within = MSW = sum (x_gr - x_g)² / (N - G);  between = (MSB - MSW) / k0,
    MSB = sum k_g (x_g - x)² / (G - 1),  k0 = (N - sum k_g² / N) / (G - 1), x the mean of all N values.
    Unbiased for unequal numbers of repeats k_g too (Searle, Casella and McCulloch, Variance Components, 1992,
    chapter 3).

    Args:
        values: x_gr, shape (N,), one per group and repeat.
        groups: each value's group as a number from 0, shape (N,).
    """
    x, g = np.asarray(values, dtype=np.float64), np.asarray(groups, dtype=np.intp)
    if x.size == 0:
        return VarianceComponents(None, None, 0)
    counts = np.bincount(g).astype(np.float64)
    means = np.bincount(g, x) / np.maximum(counts, 1.0)
    n, n_groups = x.size, int((counts > 0).sum())
    repeats = int(counts.max())
    if n == n_groups:
        return VarianceComponents(None, None, repeats)
    within = float(((x - means[g]) ** 2).sum()) / (n - n_groups)
    if n_groups == 1:
        return VarianceComponents(None, within, repeats)
    ms_between = float((counts * (means - x.mean()) ** 2).sum()) / (n_groups - 1)
    k0 = (n - float(counts @ counts) / n) / (n_groups - 1)
    return VarianceComponents((ms_between - within) / k0, within, repeats)
