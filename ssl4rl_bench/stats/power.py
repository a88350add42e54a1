"""What a comparison could have shown: the minimum detectable effect, and the groups that an effect needs."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from scipy import optimize, special

from ssl4rl_bench.stats.paired import mcnemar

POWER = 0.8
"""Power that the minimum detectable effect is stated for."""

_QUANTILE = NormalDist().inv_cdf


def detectable(n: int, variance: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Smallest difference of means that a two-sided test at `alpha` finds with `power`, in units of the scores.

    (z_a + z_b) sqrt(v / n), by the normal approximation. For 0/1 scores, see `detectable_change`.

    Args:
        n: groups.
        variance: v, mean square of the groups' differences.
        alpha: level of this one test: of a family of m, alpha / m.

    Raises:
        ValueError: without groups, or for a level or power outside (0, 1).
    """
    _check(n, alpha, power)
    return (_QUANTILE(1.0 - alpha / 2.0) + _QUANTILE(power)) * math.sqrt(variance / n)


def mcnemar_power(n: int, share: float, difference: float, alpha: float = 0.05) -> float:
    """Probability that McNemar's mid-p is at most `alpha`.

    The groups that change are Binomial(n, share), gains among them Binomial(changes, (share + difference) / 2 share):
    exact, without a normal approximation (the unconditional power of Duffy, Biometrics 40 (1984) 1005-1015, for the
    mid-p test).

    Args:
        n: groups.
        share: of groups that change, in [|difference|, 1].
        difference: share gained minus share lost.
    """
    if share <= 0.0:
        return 0.0
    spread = 8.0 * math.sqrt(n * share * (1.0 - share)) + 8.0
    changes = np.arange(max(0, math.floor(n * share - spread)), min(n, math.ceil(n * share + spread)) + 1)
    log_chance = (
        special.gammaln(n + 1)
        - special.gammaln(changes + 1)
        - special.gammaln(n - changes + 1)
        + special.xlogy(changes, share)
        + special.xlog1py(n - changes, -share)
    )
    limit = np.array([_limit(int(m), alpha) for m in changes], np.float64)
    gains = min(1.0, (share + difference) / (2.0 * share))
    at = limit >= 0.0
    reach = np.zeros(len(changes))
    for chance in (gains, 1.0 - gains):
        reach[at] += special.betainc(changes[at] - limit[at], limit[at] + 1.0, 1.0 - chance)
    return float(np.exp(log_chance) @ reach)


def detectable_change(n: int, share: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Smallest difference of 0/1 group scores that McNemar's mid-p at `alpha` finds with `power`.

    `mcnemar_power` solved for the difference; where it is above the share that changed, all changes go one way and
    the share is as large. 1 where nothing would be found.

    Args:
        n: groups.
        share: of groups that change, from the data.
        alpha: level of this one test: of a family of m, alpha / m.

    Raises:
        ValueError: without groups, or for a level or power outside (0, 1).
    """
    _check(n, alpha, power)

    def lacking(difference: float) -> float:
        return mcnemar_power(n, max(share, difference), difference, alpha) - power

    if lacking(1.0) < 0.0:
        return 1.0
    # The root that is found may lie short of the true one, by the tolerance.
    return min(1.0, float(optimize.brentq(lacking, 0.0, 1.0, xtol=1e-8)) + 1e-8)


def groups_needed(difference: float, variance: float, alpha: float = 0.05, power: float = POWER) -> int:
    """How many groups it takes to find a difference.

    n = (z_a sqrt(v) + z_b sqrt(v - d²))² / d², for 0/1 scores with v the share of groups that change: Miettinen,
    Biometrics 24 (1968) 339-352; Connor, Biometrics 43 (1987) 207-211.

    Args:
        difference: d, not 0; its sign does not matter.
        variance: v, mean square of the groups' differences; at least d².

    Raises:
        ValueError: for a difference of 0.
    """
    if difference == 0.0:
        raise ValueError("no number of groups shows a difference of 0")
    d = abs(difference)
    v = max(variance, d * d)
    za, zb = _QUANTILE(1.0 - alpha / 2.0), _QUANTILE(power)
    return max(1, math.ceil(((za * math.sqrt(v) + zb * math.sqrt(v - d * d)) / d) ** 2 - 1e-9))


@lru_cache(maxsize=1 << 16)
def _limit(changes: int, alpha: float) -> int:
    """The most losses among so many changes whose mid-p is at most `alpha`; -1 if there is none."""
    low, high = -1, changes // 2
    while low < high:
        middle = (low + high + 1) // 2
        if float(mcnemar(changes - middle, middle)) <= alpha:
            low = middle
        else:
            high = middle - 1
    return low


def _check(n: int, alpha: float, power: float) -> None:
    if n < 1 or not (0.0 < alpha < 1.0 and 0.0 < power < 1.0):
        raise ValueError(f"no detectable effect with {n} groups at level {alpha} and power {power}")
