"""Many tests at once: p-values that hold for a whole family."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float64]


def holm(p: ArrayLike) -> _Floats:
    """Adjusted p-values, shape (tests,): at most alpha in all that some true hypothesis is rejected at alpha.

    Sorted, p_i times the number of tests not yet rejected, made monotone. Holm, Scand. J. Stat. 6 (1979) 65-70.
    """
    given = np.asarray(p, np.float64)
    order = np.argsort(given, kind="stable")
    steps = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    out = np.empty_like(given)
    out[order] = np.minimum(steps, 1.0)
    return out


def benjamini_hochberg(p: ArrayLike) -> _Floats:
    """Adjusted p-values, shape (tests,): rejecting those below q, a share q of the rejections is false on average.

    Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300; scipy's.
    """
    from scipy.stats import false_discovery_control

    given = np.asarray(p, np.float64)
    return np.asarray(false_discovery_control(given) if given.size else given, np.float64)
