"""Unweighted means of independent estimates, such as the accuracies of a run on several benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from ssl4rl_bench.stats.power import POWER

Interval = tuple[float, float]


def mean_se(errors: Sequence[float | None]) -> float | None:
    """Computes the standard error of the mean of k independent estimates, sqrt(sum se²) / k.

    None if one of them is not known.
    """
    known = [error for error in errors if error is not None]
    return math.hypot(*known) / len(known) if known and len(known) == len(errors) else None


def mean_interval(values: Sequence[float], intervals: Sequence[Interval | None]) -> Interval | None:
    """Computes an interval of the mean of k independent estimates from their intervals of the same level.

    The lower end is m - sqrt(sum (v - low)²) / k, and the upper one likewise (the method of variance estimates
    recovery: Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702). With intervals v ± z se it is
    m ± z sqrt(sum se²) / k. Unlike that, it has a width if every estimate is 0 or 1.

    Returns:
        The interval, or None if one of the intervals is not known.
    """
    known = [interval for interval in intervals if interval is not None]
    if not known or len(known) != len(values):
        return None
    k, mean = len(values), math.fsum(values) / len(values)
    below = math.hypot(*(value - low for value, (low, _) in zip(values, known, strict=True))) / k
    above = math.hypot(*(high - value for value, (_, high) in zip(values, known, strict=True))) / k
    return mean - below, mean + above


def detectable_mean(interval: Interval | None, alpha: float) -> float:
    """Computes the smallest mean difference that a two-sided z-test finds with 80% power.

    It is (z(1 - alpha / 2) + z(0.8)) se, at most 1, where se is half the width of the mean's 95% interval over
    z(0.975): the standard error of many questions, and not 0 where few questions of a benchmark happen to agree.
    Returns 1 without an interval.
    """
    if interval is None:
        return 1.0
    quantile = NormalDist().inv_cdf
    se = (interval[1] - interval[0]) / (2.0 * quantile(0.975))
    return min(1.0, (quantile(1.0 - alpha / 2.0) + quantile(POWER)) * se)
