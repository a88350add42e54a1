"""Two runs on the same groups: tests and intervals of their difference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

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
        gained, lost, n: whole numbers of any one shape; n > 0.

    Returns:
        Lower and upper ends, of that shape.
    """
    b, c, size = (
        np.asarray(array, np.float64) for array in np.broadcast_arrays(*map(np.asarray, (gained, lost, n)))
    )

    def score(d: _Floats) -> _Floats:
        linear = (2.0 * size - b + c) * d - b - c
        root = np.sqrt(np.maximum(linear * linear + 8.0 * size * c * d * (1.0 - d), 0.0))
        q = (root - linear) / (4.0 * size)
        spread = np.sqrt(np.maximum(size * (2.0 * q + d * (1.0 - d)), 1e-300))
        return np.asarray((b - c - size * d) / spread)

    value = (b - c) / size
    ends = []
    for sign in (1.0, -1.0):
        inside, outside = value.copy(), np.full_like(value, -sign)
        for _ in range(60):  # 2 / 2**60: as far as floats go
            middle = (inside + outside) / 2.0
            far = sign * score(middle) > z
            outside, inside = np.where(far, middle, outside), np.where(far, inside, middle)
        ends.append((inside + outside) / 2.0)
    return ends[0], ends[1]


def t_interval(value: float, se: float | None, df: float, level: float = 0.95) -> tuple[float, float] | None:
    """value ± t se with Student's quantile at `df` degrees of freedom; not clipped. None without a standard error."""
    if se is None or df <= 0.0:
        return None
    half = float(special.stdtrit(df, 0.5 + level / 2.0)) * se
    return value - half, value + half
