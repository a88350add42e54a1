"""Tests and intervals for the difference of two runs on the same groups."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ssl4rl_bench.stats.estimates import Z95
from ssl4rl_bench.stats.roots import brentq

_Floats = NDArray[np.float64]


def mcnemar(gained: ArrayLike, lost: ArrayLike, *, mid: bool = True) -> _Floats:
    """Computes the two-sided p-value of equal proportions (McNemar's test).

    Given the number n of groups that changed, the gains are Binomial(n, 1/2). The exact p is 2 P(X <= min).
    The mid-p subtracts P(X = min), which brings the size of the test closer to its level (McNemar,
    Psychometrika 12 (1947) 153-157; Fagerland, Lydersen and Laake, BMC Med. Res. Methodol. 13:91, 2013). p is
    1 if nothing changed.

    Args:
        gained, lost: numbers of groups that went from wrong to right and from right to wrong; integers in
            arrays of the same shape.
        mid: whether to compute the mid-p instead of the exact p.

    Returns:
        p in [0, 1], of the same shape.
    """
    b, c = np.broadcast_arrays(np.asarray(gained, np.float64), np.asarray(lost, np.float64))
    n, k = b + c, np.minimum(b, c)
    # P(X <= k) as a regularized incomplete beta function, which accepts arrays.
    below = np.where(k < n, special.betainc(np.maximum(n - k, 1e-9), k + 1.0, 0.5), 1.0)
    p = 2.0 * below
    if mid:
        p = p - np.exp(
            special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1) - n * math.log(2.0)
        )
    return np.asarray(np.where(n > 0, np.clip(p, 0.0, 1.0), 1.0))


def tango(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, z: float = Z95) -> tuple[_Floats, _Floats]:
    """Computes the score interval of the difference (gained - lost) / n of two paired proportions.

    The ends are the differences d at which |gained - lost - n d| = z sqrt(n (2 q + d (1 - d))), where q is
    the maximum-likelihood share of lost groups given d. Tango, Stat. Med. 17 (1998) 891-908. Unlike the
    normal interval, it keeps its coverage with few changes. It lies in [-1, 1] and has a positive width.

    Args:
        gained, lost, n: counts, or effective counts (`stats.effective`), in arrays of the same shape; n > 0.

    Returns:
        The lower and upper ends, of the same shape.
    """
    b, c, size = np.broadcast_arrays(*(np.asarray(array, np.float64) for array in (gained, lost, n)))
    value = b - c
    slope, product, four = 2.0 * size - b + c, 8.0 * size * c, 4.0 * size
    sign = np.array([1.0, -1.0]).reshape(2, *(1,) * b.ndim)  # 1 is the lower end, from -1 to the value
    inside, outside = np.broadcast_to(value / size, (2, *b.shape)), np.broadcast_to(-sign, (2, *b.shape))
    for _ in range(54):  # bisection down to 2 / 2**54, the precision of floats
        d = (inside + outside) / 2.0
        rest = 1.0 - d
        linear = slope * d - b - c
        root = np.sqrt(np.maximum(linear * linear + product * d * rest, 0.0))
        share = np.maximum(np.maximum((root - linear) / four, -d), 0.0)
        spread = np.sqrt(np.maximum(size * (2.0 * share + d * rest), 1e-300))
        beyond = sign * (value - size * d) > z * spread
        inside, outside = np.where(beyond, inside, d), np.where(beyond, d, outside)
    low, high = (inside + outside) / 2.0
    return low, high


def assumed_variance(up: float, down: float, difference: float) -> float:
    """Computes the variance of one group's difference that Tango's score assumes at `difference`.

    Args:
        up, down: the observed shares of groups gained and lost.
    """
    q = float(_likely_lost(up, down, 1.0, difference))
    return max(0.0, 2.0 * q + difference * (1.0 - difference))


def tail(gained: float, lost: float, n: float, difference: float) -> float:
    """Computes the one-sided p-value of a true difference of at most `difference`.

    It is the probability of a statistic at least as large as the observed one. The statistic is Tango's score
    of the difference. Its distribution is that of n independent differences of -1, 0 and 1 with this mean and
    the maximum-likelihood share of lost groups given the mean, summed over all outcomes (Storer and Kim, J.
    Am. Stat. Assoc. 85 (1990) 146-155; Lloyd, Aust. N. Z. J. Stat. 50 (2008) 329-345). The normal
    approximation rejects several times too often if few groups change, so it is used only if more than
    `_MANY` groups are expected to be gained and more than `_MANY` to be lost.

    Args:
        gained, lost, n: counts, or effective counts (`stats.effective`), which need not be integers.
        difference: in (-1, 1).
    """
    # Scale effective counts to an integer n, so that "nothing changed" is also one of the summed outcomes.
    size = max(1, round(n))
    gained, lost, n = gained * size / n, lost * size / n, float(size)
    observed = float(_score(gained, lost, n, difference))
    down = min(1.0, float(_likely_lost(gained, lost, n, difference)))
    up = min(1.0, max(0.0, down + difference))
    if n * min(up, down) > _MANY:
        return float(special.ndtr(-observed))
    gains, losses = np.meshgrid(_likely_counts(size, up), _likely_counts(size, down), indexing="ij")
    same = size - gains - losses
    possible = same >= 0.0
    gains, losses, same = gains[possible], losses[possible], same[possible]
    log_chance = (
        special.gammaln(size + 1.0)
        - special.gammaln(gains + 1.0)
        - special.gammaln(losses + 1.0)
        - special.gammaln(same + 1.0)
        + special.xlogy(gains, up)
        + special.xlogy(losses, down)
        + special.xlogy(same, max(0.0, 1.0 - up - down))
    )
    as_great = _score(gains, losses, n, difference) >= observed - 1e-9
    return float(min(1.0, np.exp(log_chance[as_great]).sum()))


def lower_bound(gained: float, lost: float, n: float, level: float) -> float:
    """Computes a one-sided lower bound of the difference (gained - lost) / n: where `tail` is 1 - level.

    Args: as in `tail`.
    """
    value, alpha = (gained - lost) / n, 1.0 - level
    lowest = -1.0 + 1e-9
    if tail(gained, lost, n, lowest) >= alpha:
        return -1.0
    if (
        tail(gained, lost, n, value) <= alpha
    ):  # with few groups and no losses, the tail at the estimate itself can be this small
        return value
    return brentq(lambda d: tail(gained, lost, n, d) - alpha, lowest, value, xtol=1e-9)


_MANY = 50.0


def _likely_counts(n: int, share: float) -> _Floats:
    """Returns the counts of Binomial(n, share) except some whose total probability is below 1e-8."""
    reach = 6.5 * math.sqrt(n * share * (1.0 - share)) + 10.0
    return np.arange(
        max(0, math.floor(n * share - reach)), min(n, math.ceil(n * share + reach)) + 1, dtype=float
    )


def _likely_lost(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, difference: ArrayLike) -> _Floats:
    """Computes q of Tango's score: the maximum-likelihood share of lost groups given the difference."""
    b, c, size, d = (np.asarray(array, np.float64) for array in (gained, lost, n, difference))
    return _lost_share(b, c, size, d)


def _lost_share(b: _Floats, c: _Floats, size: _Floats, d: _Floats) -> _Floats:
    linear = (2.0 * size - b + c) * d - b - c
    root = np.sqrt(np.maximum(linear * linear + 8.0 * size * c * d * (1.0 - d), 0.0))
    return np.asarray(np.maximum((root - linear) / (4.0 * size), np.maximum(-d, 0.0)))


def _score(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, difference: ArrayLike) -> _Floats:
    """Computes Tango's score: observed minus assumed difference, over the standard deviation assumed then."""
    b, c, size, d = (np.asarray(array, np.float64) for array in (gained, lost, n, difference))
    spread = np.sqrt(np.maximum(size * (2.0 * _lost_share(b, c, size, d) + d * (1.0 - d)), 1e-300))
    return np.asarray((b - c - size * d) / spread)


def t_interval(value: float, se: float | None, df: float, level: float = 0.95) -> tuple[float, float] | None:
    """Computes value ± t se with Student's quantile at `df` degrees of freedom, unclipped; None without se."""
    if se is None or df <= 0.0:
        return None
    half = float(special.stdtrit(df, 0.5 + level / 2.0)) * se
    return value - half, value + half
