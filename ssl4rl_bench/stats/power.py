"""Power of comparisons: minimum detectable effects, and the number of groups needed to find an effect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ssl4rl_bench.stats.paired import assumed_variance, mcnemar
from ssl4rl_bench.stats.roots import brentq

_Floats = NDArray[np.float64]

POWER = 0.8
"""The power for which the minimum detectable effect is reported."""

_QUANTILE = NormalDist().inv_cdf


def mcnemar_power(n: int, share: float, difference: float, alpha: float = 0.05) -> float:
    """Computes the probability that McNemar's two-sided mid-p is at most `alpha`.

    The number of groups that change is Binomial(n, share), and the number of gains among them is
    Binomial(changes, (share + difference) / (2 share)). The result is exact, without a normal approximation
    (the unconditional power of Duffy, Biometrics 40 (1984) 1005-1015, for the mid-p test).

    Args:
        n: number of groups.
        share: share of groups that change, in [|difference|, 1].
        difference: share gained minus share lost.
    """
    return sum(drop_power(n, share, drop, alpha / 2.0) for drop in (difference, -difference))


def drop_power(n: int, share: float, drop: float, alpha: float, least: float = 0.0) -> float:
    """Computes the probability that McNemar's test finds a drop of at least `least`.

    The test finds a drop if its one-sided mid-p is at most `alpha` and the measured drop is at least `least`.

    Args:
        n: number of groups.
        share: share of groups that change, in [|drop|, 1].
        drop: true share lost minus share gained.
        least: smallest measured share lost minus share gained.
    """
    if share <= 0.0:
        return 0.0
    drops = _drops(n, share, alpha, least)
    if drops is None:
        return 0.0
    lost = min(1.0, (share + drop) / (2.0 * share))
    gained = 1.0 - lost
    log_gained, log_lost = (math.log(max(chance, 1e-300)) for chance in (gained, lost))
    exactly = np.exp(drops.log_ways + drops.gains * log_gained + drops.losses * log_lost)
    first = float(special.betainc(drops.first[0], drops.first[1], lost))
    return max(
        0.0, drops.total * first + float(exactly @ (lost * drops.with_gain - gained * drops.with_loss))
    )


def detectable_change(n: int, share: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Computes the smallest difference of 0/1 group scores that McNemar's mid-p test finds with `power`.

    Solves `mcnemar_power` for the difference. A difference above `share` is assumed to have a share of the
    same size, with all changes in the same direction. Returns 1 if nothing would be found.

    Args:
        n: number of groups, or their rounded effective number (`stats.effective`).
        share: share of groups that change, from the data.
        alpha: level of this single test; for one of a family of m tests, alpha / m.

    Raises:
        ValueError: there are no groups, or a level or power is outside (0, 1).
    """
    _check(n, alpha, power)
    return _smallest(lambda d: mcnemar_power(n, max(share, d), d, alpha), power)


def detectable_drop(
    n: int, share: float, alpha: float = 0.05, least: float = 0.0, power: float = POWER
) -> float:
    """Computes the smallest drop that `drop_power` finds with `power`. Returns 1 if nothing would be found.

    Args:
        n, share: as in `detectable_change`.
        alpha, least: as in `drop_power`.

    Raises:
        ValueError: as `detectable_change`.
    """
    _check(n, alpha, power)
    return _smallest(lambda d: drop_power(n, max(share, d), d, alpha, least), power)


def detectable_shortfall(
    n: int, share: float, margin: float, alpha: float = 0.05, power: float = POWER
) -> float:
    """Computes the smallest shortfall of a difference below `margin` that a one-sided score test finds.

    It is the x at which (z_a s0 + z_b s1) / sqrt(n) = x. s1² is the variance of one group's difference of -1,
    0 or 1 with mean margin - x, if the given share of groups changes, or |margin - x| if that is larger. s0²
    is the variance that Tango's score then assumes at the margin. If nothing would be found, the result is
    the largest possible shortfall, 1 + margin.

    Args: as in `detectable_drop`; margin in [0, 1).

    Raises:
        ValueError: as `detectable_change`.
    """
    _check(n, alpha, power)
    za, zb = _QUANTILE(1.0 - alpha), _QUANTILE(power)

    def lacking(x: float) -> float:
        true = margin - x
        changed = max(share, abs(true))
        s0 = math.sqrt(assumed_variance((changed + true) / 2.0, (changed - true) / 2.0, margin))
        s1 = math.sqrt(max(0.0, changed - true**2))
        return x - (za * s0 + zb * s1) / math.sqrt(n)

    most = 1.0 + margin
    if lacking(most) < 0.0:
        return most
    return brentq(lacking, 0.0, most, xtol=1e-8)


def detectable_below(n: float, floor: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Computes the smallest shortfall of an accuracy below `floor` that an exact binomial test finds.

    Args:
        n: number of answers, or their effective number, which need not be an integer.
        floor: in (0, 1).
        alpha, power: level of the test, and probability with which it finds the shortfall.

    Returns:
        The shortfall; 1 if not even an accuracy of 0 would be found.
    """
    _check(math.ceil(n), alpha, power)
    if special.bdtr(0, max(1, round(n)), floor) > alpha:
        return 1.0
    size = max(1, round(n))
    right = np.arange(size + 1)
    most = int(np.flatnonzero(special.bdtr(right, size, floor) <= alpha)[-1])
    # P(X <= most) = I(size - most, most + 1; 1 - p) = power, solved for p.
    return floor - (1.0 - float(special.betaincinv(size - most, most + 1.0, power)))


def _smallest(power_of: Callable[[float], float], power: float) -> float:
    if power_of(1.0) < power:
        return 1.0
    # The computed root may be below the true one by the tolerance.
    return min(1.0, brentq(lambda d: power_of(d) - power, 0.0, 1.0, xtol=1e-8) + 1e-8)


def groups_needed(difference: float, variance: float, alpha: float = 0.05, power: float = POWER) -> int:
    """Computes the number of groups needed to find a difference.

    n = (z_a sqrt(v) + z_b sqrt(v - d²))² / d²; for 0/1 scores, v is the share of groups that change.
    Miettinen, Biometrics 24 (1968) 339-352; Connor, Biometrics 43 (1987) 207-211.

    Args:
        difference: d, not 0; its sign does not matter.
        variance: v, the mean square of the groups' differences; at least d².

    Raises:
        ValueError: the difference is 0.
    """
    if difference == 0.0:
        raise ValueError("no number of groups shows a difference of 0")
    d = abs(difference)
    v = max(variance, d * d)
    za, zb = _QUANTILE(1.0 - alpha / 2.0), _QUANTILE(power)
    return max(1, math.ceil(((za * math.sqrt(v) + zb * math.sqrt(v - d * d)) / d) ** 2 - 1e-9))


@dataclass(frozen=True, slots=True, eq=False)
class _Drops:
    """The numbers m of changes with which a drop can be found, if at most k_m of them are gains.

    With q the chance of a gain, F(m, k) = P(Binomial(m, q) <= k) and f(m, k) = P(Binomial(m, q) = k), the power is
    the mean of F(m, k_m) over m. Only the first F is computed as a beta function: with one more change, k_m stays,
    and F(m + 1, k) = F(m, k) - q f(m, k), or it grows by 1, and F(m + 1, k + 1) = F(m, k) + (1 - q) f(m, k + 1).
    """

    first: tuple[float, float]
    """m - k_m and k_m + 1 of the first m."""
    total: float
    """The probability of all m."""
    gains: _Floats
    """k of each f, shape (m - 1,)."""
    losses: _Floats
    """m - k of each f, shape (m - 1,)."""
    log_ways: _Floats
    """Logarithm of the binomial coefficient of each f, shape (m - 1,)."""
    with_gain: _Floats
    """The probability of a larger m if the limit grows with m, else 0, shape (m - 1,)."""
    with_loss: _Floats
    """The probability of a larger m if the limit stays, else 0, shape (m - 1,)."""


@lru_cache(maxsize=64)
def _drops(n: int, share: float, alpha: float, least: float) -> _Drops | None:
    """Returns what `drop_power` needs for any drop; None if no drop can be found."""
    changes, chance = _changes(n, share)
    limit = _limits(changes, 2.0 * alpha)
    if least > 0.0:
        limit = np.minimum(limit, np.floor((changes - least * n) / 2.0 + 1e-9))
    reachable = limit >= 0.0
    if not reachable.any():
        return None
    changes, limit, chance = changes[reachable], limit[reachable], chance[reachable]
    later = np.cumsum(chance[:0:-1])[::-1]
    grows, gains = limit[1:] > limit[:-1], limit[1:]
    losses = changes[:-1] - gains
    log_ways = (
        special.gammaln(changes[:-1] + 1.0) - special.gammaln(gains + 1.0) - special.gammaln(losses + 1.0)
    )
    return _Drops(
        first=(float(changes[0] - limit[0]), float(limit[0]) + 1.0),
        total=float(chance.sum()),
        gains=gains,
        losses=losses,
        log_ways=log_ways,
        with_gain=np.where(grows, later, 0.0),
        with_loss=np.where(grows, 0.0, later),
    )


def _changes(n: int, share: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Returns the likely numbers of groups that change, in order, and the probability of each."""
    spread = 8.0 * math.sqrt(n * share * (1.0 - share)) + 8.0
    changes = np.arange(max(0, math.floor(n * share - spread)), min(n, math.ceil(n * share + spread)) + 1)
    log_chance = (
        special.gammaln(n + 1)
        - special.gammaln(changes + 1)
        - special.gammaln(n - changes + 1)
        + special.xlogy(changes, share)
        + special.xlog1py(n - changes, -share)
    )
    return changes, np.exp(log_chance)


def _limits(changes: NDArray[np.intp], alpha: float) -> NDArray[np.float64]:
    """Returns the largest k <= m / 2 with mcnemar(m - k, k) <= `alpha` for each m; -1 where there is none."""
    return _all_limits(1 << int(changes[-1]).bit_length(), alpha)[changes]


@lru_cache(maxsize=256)
def _all_limits(end: int, alpha: float) -> NDArray[np.float64]:
    """Computes `_limits` for 0, ..., end - 1 by bisection."""
    changes = np.arange(end)
    low, high = np.full(end, -1), changes // 2
    while (low < high).any():
        middle = (low + high + 1) // 2
        small = mcnemar(changes - middle, middle) <= alpha
        low, high = np.where(small, middle, low), np.where(small, high, middle - 1)
    return low.astype(np.float64)


def _check(n: int, alpha: float, power: float) -> None:
    if n < 1 or not (0.0 < alpha < 1.0 and 0.0 < power < 1.0):
        raise ValueError(f"no detectable effect with {n} groups at level {alpha} and power {power}")
