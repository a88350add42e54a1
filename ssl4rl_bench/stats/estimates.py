"""Estimates with their uncertainty, as pure functions of numbers.

The unit is the group (one question). Groups are taken as independent draws. Circular copies and repeats of
the same question are not independent, so every standard error here is computed from one number per group.
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
    """The number of units in the mean."""
    se: float | None
    """The standard error; None with fewer than two independent units, never NaN."""
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """The components of the variance of repeated measurements, in squared units of the score."""

    between: float | None
    """Variance of the true group means, as questions differ. The estimate is unbiased, so it can be negative.
    None with fewer than two groups or without repeats."""
    within: float | None
    """Variance between the repeats of a group: sampling noise. None without repeats."""
    repeats: int
    """The largest number of repeats of a group."""


def wilson(value: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Computes the score interval of a proportion. It lies in [0, 1] and has positive width even at 0 and 1.

    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.

    Args:
        value: the proportion p in [0, 1].
        n: the number of trials; an effective number need not be an integer.

    Raises:
        ValueError: `value` is outside [0, 1] or `n` is not above 0.
    """
    if not (0.0 <= value <= 1.0 and n > 0.0):
        raise ValueError(f"no Wilson interval for proportion {value} of {n} trials")
    scale = 1.0 + z * z / n
    centre = (value + z * z / (2.0 * n)) / scale
    half = z * math.sqrt(value * (1.0 - value) / n + z * z / (4.0 * n * n)) / scale
    # At 0 and 1 one end equals the value exactly; rounding must not move it past the value.
    return max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half))


def exact_lower(right: float, n: float, level: float) -> float:
    """Computes a one-sided lower bound of a proportion: the p at which P(X >= right) = 1 - level.

    X is Binomial(n, p). Clopper and Pearson, Biometrika 26 (1934) 404-413: the error is at most 1 - level for
    every p and n, whereas Wilson's is up to 18% instead of 5% for rare events.

    Args:
        right, n: counts, or effective counts, which need not be integers.
    """
    from scipy.special import betaincinv  # imported here, as the aggregation of results does not need scipy

    return 0.0 if right <= 0.0 else float(betaincinv(right, n - right + 1.0, 1.0 - level))


def exact_below(right: float, n: float, floor: float) -> float:
    """Computes the one-sided p of a proportion of at least `floor`: P(X <= right) for X Binomial(n, floor).

    Args: as in `exact_lower`.
    """
    from scipy.special import betainc

    return 1.0 if right >= n else float(betainc(n - right, right + 1.0, 1.0 - floor))


def variance_components(values: ArrayLike, groups: ArrayLike) -> VarianceComponents:
    """Estimates variance components by a one-way random-effects model: x_gr = mean + group effect + noise.

    within = MSW = sum (x_gr - x_g)² / (N - G);  between = (MSB - MSW) / k0,
    MSB = sum k_g (x_g - x)² / (G - 1),  k0 = (N - sum k_g² / N) / (G - 1), x the mean of all N values.
    The estimates are unbiased also for unequal numbers of repeats k_g (Searle, Casella and McCulloch,
    Variance Components, 1992, chapter 3).

    Args:
        values: x_gr, shape (N,), one per group and repeat.
        groups: the index of each value's group, from 0, shape (N,).
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
