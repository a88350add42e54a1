"""Two runs on the same groups: tests and intervals of their difference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.optimize import brentq

from ssl4rl_bench.stats.estimates import Z95

_Floats = NDArray[np.float64]


def mcnemar(gained: ArrayLike, lost: ArrayLike, *, mid: bool = True) -> _Floats:
    """Two-sided p of equal proportions, from the groups that changed: given their number, gains are Binomial(n, 1/2).

    Exact: 2 P(X <= min). Mid-p takes off P(X = min), which brings the size of the test up to its level (McNemar,
    Psychometrika 12 (1947) 153-157; Fagerland, Lydersen and Laake, BMC Med. Res. Methodol. 13:91, 2013). 1 where
    nothing changed.

    Args:
        gained, lost: groups that went from wrong to right, and from right to wrong; whole numbers of any one shape.
        mid: mid-p instead of the exact p.

    Returns:
        p in [0, 1], of their shape.
    """
    b, c = np.broadcast_arrays(np.asarray(gained, np.float64), np.asarray(lost, np.float64))
    n, k = b + c, np.minimum(b, c)
    # P(X <= k) as a regularized incomplete beta function, which takes arrays.
    below = np.where(k < n, special.betainc(np.maximum(n - k, 1e-9), k + 1.0, 0.5), 1.0)
    p = 2.0 * below
    if mid:
        p = p - np.exp(
            special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1) - n * math.log(2.0)
        )
    return np.asarray(np.where(n > 0, np.clip(p, 0.0, 1.0), 1.0))


def tango(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, z: float = Z95) -> tuple[_Floats, _Floats]:
    """Score interval of the difference (gained - lost) / n of two proportions on the same n groups.

    The ends are the differences d at which |gained - lost - n d| = z sqrt(n (2 q + d (1 - d))), where q is the
    greatest-likelihood share of lost groups given d. Tango, Stat. Med. 17 (1998) 891-908. Its coverage holds at few
    changes too, where the normal interval's does not; inside [-1, 1], of positive width.

    Args:
        gained, lost, n: of any one shape; n > 0. Counts, or effective ones (`stats.effective`).

    Returns:
        Lower and upper ends, of that shape.
    """
    b, c, size = (
        np.asarray(array, np.float64) for array in np.broadcast_arrays(*map(np.asarray, (gained, lost, n)))
    )
    value = (b - c) / size
    # Both ends at once: sign 1 is the lower end, which lies between -1 and the value.
    sign = np.stack([np.ones_like(value), -np.ones_like(value)])
    inside, outside = np.stack([value, value]), -sign
    for _ in range(54):  # 2 / 2**54: as far as floats go
        middle = (inside + outside) / 2.0
        far = sign * _score(b, c, size, middle) > z
        outside, inside = np.where(far, middle, outside), np.where(far, inside, middle)
    low, high = (inside + outside) / 2.0
    return low, high


def assumed_variance(up: float, down: float, difference: float) -> float:
    """Variance of one group's difference that Tango's score assumes at `difference`, where `up` and `down` are seen.

    Args:
        up, down: shares of groups gained and lost.
    """
    q = float(_likely_lost(up, down, 1.0, difference))
    return max(0.0, 2.0 * q + difference * (1.0 - difference))


def tail(gained: float, lost: float, n: float, difference: float) -> float:
    """One-sided p of a true difference of at most `difference`: the chance of a score as great as the observed one.

    The statistic is Tango's score of the difference. Its distribution is that of n independent differences of -1, 0
    and 1 with this mean and the greatest-likelihood share of lost groups given the mean, summed over all outcomes
    (Storer and Kim, J. Am. Stat. Assoc. 85 (1990) 146-155; Lloyd, Aust. N. Z. J. Stat. 50 (2008) 329-345). The normal
    approximation rejects several times too often where few groups change; it is used where more than `_MANY` groups
    are expected both to be gained and to be lost.

    Args:
        gained, lost, n: counts, or effective ones (`stats.effective`), which need not be whole.
        difference: in (-1, 1).
    """
    # Effective counts are put on a whole n, so that "nothing changed" is the same outcome seen and summed.
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
    """One-sided lower bound of the difference (gained - lost) / n: where `tail` is 1 - level.

    Args: as of `tail`.
    """
    value, alpha = (gained - lost) / n, 1.0 - level
    lowest = -1.0 + 1e-9
    if tail(gained, lost, n, lowest) >= alpha:
        return -1.0
    if (
        tail(gained, lost, n, value) <= alpha
    ):  # nothing lost and few groups: the estimate's own tail is that small
        return value
    return float(brentq(lambda d: tail(gained, lost, n, d) - alpha, lowest, value, xtol=1e-9))


_MANY = 50.0


def _likely_counts(n: int, share: float) -> _Floats:
    """The counts of Binomial(n, share) but for some that have less than 1e-8 of the probability together."""
    reach = 6.5 * math.sqrt(n * share * (1.0 - share)) + 10.0
    return np.arange(
        max(0, math.floor(n * share - reach)), min(n, math.ceil(n * share + reach)) + 1, dtype=float
    )


def _likely_lost(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, difference: ArrayLike) -> _Floats:
    """q of Tango's score: the greatest-likelihood share of lost groups given the difference."""
    b, c, size, d = (np.asarray(array, np.float64) for array in (gained, lost, n, difference))
    linear = (2.0 * size - b + c) * d - b - c
    root = np.sqrt(np.maximum(linear * linear + 8.0 * size * c * d * (1.0 - d), 0.0))
    return np.asarray(np.maximum((root - linear) / (4.0 * size), np.maximum(-d, 0.0)))


def _score(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, difference: ArrayLike) -> _Floats:
    """Tango's statistic: the observed minus the assumed difference, over its standard deviation under the latter."""
    b, c, size, d = (np.asarray(array, np.float64) for array in (gained, lost, n, difference))
    spread = np.sqrt(np.maximum(size * (2.0 * _likely_lost(b, c, size, d) + d * (1.0 - d)), 1e-300))
    return np.asarray((b - c - size * d) / spread)


def t_interval(value: float, se: float | None, df: float, level: float = 0.95) -> tuple[float, float] | None:
    """value ± t se with Student's quantile at `df` degrees of freedom; not clipped. None without a standard error."""
    if se is None or df <= 0.0:
        return None
    half = float(special.stdtrit(df, 0.5 + level / 2.0)) * se
    return value - half, value + half
