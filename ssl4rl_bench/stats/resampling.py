"""Permutation tests over groups, vectorised over cells (a category, or overall) and candidates.

The difference of a cell is always linear in the groups' differences, d_cell = sum_g w_gc d_g, because both
runs have the same rows of each group.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float64]

REPLICATES = 10_000
_TIE = 1e-4
"""Tolerance within which sums are equal; columns have length 1 and sums are in single precision."""
_BLOCK = 2_000
"""Number of replicates computed at once. Limits the memory to about 20 MB for a thousand groups."""


def max_t(
    differences: ArrayLike,
    *,
    one_sided: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> _Floats:
    """Computes p-values of means of 0 that are valid for all tests jointly, by flipping the signs of groups.

    Under the null hypothesis, a group's vector of differences is as likely as its negative. The statistic of
    a test is t_j = sum_g x_gj / sqrt(sum_g x_gj²); flips do not change the denominator. The p of a test is
    the share of flips whose largest t exceeds the t of the test, with ties counted as half. The largest t is
    taken over the tests with no larger t, and p is made monotone (step-down: Westfall and Young,
    Resampling-Based Multiple Testing, 1993, algorithm 2.8). With one column, this is the sign-flip
    permutation test of one mean.

    Args:
        differences: x, shape (groups, tests): weighted differences, 0 for a group that is not in a test.
        one_sided: whether only positive means count, as for the best of several candidates.

    Returns:
        Shape (tests,); a test whose differences are all 0 has p = 1.
    """
    z, scale = _scaled(differences)
    observed = z.sum(axis=0)
    if not one_sided:
        observed = np.abs(observed)
    order = np.argsort(-observed, kind="stable")
    above, ties = np.zeros(len(order)), np.zeros(len(order))
    for flipped in _flips(z, replicates, seed):
        beyond = (flipped if one_sided else np.abs(flipped)).T[order]
        # Step-down: the maximum over this test and all tests with a smaller statistic.
        greatest = np.full(len(flipped), -np.inf, flipped.dtype)
        for index in reversed(range(len(order))):
            greatest = np.maximum(greatest, beyond[index])
            excess = greatest - observed[order[index]]
            above[index] += np.count_nonzero(excess >= _TIE)
            ties[index] += np.count_nonzero(np.abs(excess) < _TIE)
    p = np.maximum.accumulate(_share(above, ties, replicates))
    out = np.empty(len(order))
    out[order] = np.minimum(p, 1.0)
    out[scale == 0.0] = 1.0
    return out


def sign_flip(differences: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0) -> _Floats:
    """Computes uncorrected two-sided permutation p-values of the columns' means, like `max_t`."""
    z, scale = _scaled(differences)
    observed = np.abs(z.sum(axis=0))
    above, ties = np.zeros(len(observed)), np.zeros(len(observed))
    for flipped in _flips(z, replicates, seed):
        excess = np.abs(flipped) - observed
        above += (excess >= _TIE).sum(axis=0)
        ties += (np.abs(excess) < _TIE).sum(axis=0)
    return np.where(scale == 0.0, 1.0, np.minimum(_share(above, ties, replicates), 1.0))


def _scaled(differences: ArrayLike) -> tuple[_Floats, _Floats]:
    """Returns the columns scaled to length 1, without rows that are all 0, and the original lengths."""
    x = np.asarray(differences, np.float64)
    scale = np.sqrt((x * x).sum(axis=0))
    z = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
    return z[np.any(z != 0.0, axis=1)], scale


def _flips(z: _Floats, replicates: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yields column sums under random signs of the rows, in blocks of shape (replicates, tests)."""
    rng = np.random.default_rng(seed)
    small = z.astype(np.float32)
    for start in range(0, replicates, _BLOCK):
        count = min(_BLOCK, replicates - start)
        bits = rng.integers(0, 256, (count, (len(z) + 7) // 8), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=len(z)).astype(np.float32)
        yield 2.0 * (signs @ small) - small.sum(axis=0)


def _share(above: _Floats, ties: _Floats, replicates: int) -> _Floats:
    """Computes the mid-p of a permutation test. The sample is one of the flips (Phipson and Smyth, 2010)."""
    return np.asarray((above + 0.5 * ties + 0.5) / (replicates + 1.0))
