"""Means of numbers without bounds, such as nats, over questions that share pictures: interval, test and power."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from ssl4rl_bench.stats.effective import mean_variance
from ssl4rl_bench.stats.paired import t_interval
from ssl4rl_bench.stats.power import POWER
from ssl4rl_bench.stats.resampling import sign_flip


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A mean over questions, with its uncertainty clustered by picture."""

    value: float
    ci95: tuple[float, float] | None
    """Student's t; None with fewer than two pictures, or without any variation."""
    p: float
    """Two-sided mid-p of the sign-flip permutation test of a mean of 0, over pictures; 1 if all values are 0."""
    n: int
    n_clusters: int
    """The number of pictures."""
    se: float | None
    """The standard error; None with fewer than two pictures."""

    def detectable(self, alpha: float = 0.05) -> float | None:
        """Returns the mean that a two-sided test at `alpha` finds with 80% power: (z(1 - alpha/2) + z(0.8)) se."""
        if self.se is None:
            return None
        quantile = NormalDist().inv_cdf
        return (quantile(1.0 - alpha / 2.0) + quantile(POWER)) * self.se

    def needed(self, effect: float, alpha: float = 0.05) -> int | None:
        """Returns the number of questions with which a mean of `effect` is found with 80% power.

        The standard deviation is the measured one, and pictures have as many questions as here.
        """
        least = self.detectable(alpha)
        return None if least is None else math.ceil(self.n * (least / effect) ** 2)


def clustered_mean(values: ArrayLike, clusters: ArrayLike) -> ClusteredMean:
    """Computes the mean of values of shape (questions,) whose clusters (pictures) are independent.

    The variance is the linearised variance of a ratio (`effective.mean_variance`). The test flips the signs of the
    sums of the clusters, which is exact if these are symmetric around 0, as differences of two exchangeable
    conditions are.

    Raises:
        ValueError: there is no value, one is not finite, or the shapes differ.
    """
    x, names = np.asarray(values, np.float64), np.asarray(clusters)
    if x.ndim != 1 or x.shape != names.shape or not x.size or not np.isfinite(x).all():
        raise ValueError("a mean needs finite values with one cluster each, at least one")
    index = np.unique(names, return_inverse=True)[1]
    sums, sizes = np.bincount(index, x), np.bincount(index).astype(np.float64)
    n, value = len(x), float(x.mean())
    p = float(sign_flip(sums[:, None])[0])
    if len(sums) < 2:
        return ClusteredMean(value, None, p, n, len(sums), None)
    variance = mean_variance(np.full(len(sums), 1.0 / n), sums, sizes)
    se = math.sqrt(variance.value)
    ci95 = t_interval(value, se, variance.df) if se > 1e-12 else None
    return ClusteredMean(value, ci95, p, n, len(sums), se)


def p_beyond(values: ArrayLike, clusters: ArrayLike, least: float) -> float:
    """Computes the p-value of a mean whose size is at most `least`: that of the values moved by `least` towards 0.

    It is 1 if the observed mean is not larger than `least`. With `least` 0 it is the p of `clustered_mean`. A test of
    exactly 0 detects, with enough questions, differences that are real and without interest, such as those between
    two seeds of a training (a minimum-effect test: Murphy and Myors, J. Appl. Psychol. 84 (1999) 234-248).

    Raises:
        ValueError: as `clustered_mean`.
    """
    x = np.asarray(values, np.float64)
    mean = clustered_mean(x, clusters).value
    if abs(mean) <= least and least > 0.0:
        return 1.0
    return clustered_mean(x - math.copysign(least, mean), clusters).p
