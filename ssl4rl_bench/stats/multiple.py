"""Corrections for multiple tests: p-values that are valid for a family of tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float64]


def holm(p: ArrayLike) -> _Floats:
    """Computes adjusted p-values, shape (tests,), that control the family-wise error rate.

    The probability that any true hypothesis is rejected at alpha is at most alpha. The sorted p_i are
    multiplied by the number of tests not yet rejected and made monotone. Holm, Scand. J. Stat. 6 (1979)
    65-70.
    """
    given = np.asarray(p, np.float64)
    order = np.argsort(given, kind="stable")
    steps = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    out = np.empty_like(given)
    out[order] = np.minimum(steps, 1.0)
    return out


def benjamini_hochberg(p: ArrayLike) -> _Floats:
    """Computes adjusted p-values, shape (tests,), that control the false discovery rate.

    If tests with adjusted p below q are rejected, at most a share q of the rejections is false on average.
    Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300. The result is that of
    `scipy.stats.false_discovery_control` to the last bit, without the second that its import takes.

    Raises:
        ValueError: a p-value is not in [0, 1].
    """
    given = np.asarray(p, np.float64)
    if not bool(((given >= 0.0) & (given <= 1.0)).all()):
        raise ValueError("p-values must be in [0, 1]")
    if given.size <= 1:
        return given
    order = np.argsort(given)
    steps = given[order] * (given.size / np.arange(1, given.size + 1))
    out = np.empty_like(given)
    out[order] = np.minimum.accumulate(steps[::-1])[::-1]
    return np.clip(out, 0.0, 1.0)
