"""Bootstrap and permutation of groups. Vectorised over cells (a category, or the whole) and candidates.

A cell's difference is always linear in the groups' differences, d_cell = sum_g w_gc d_g, as both runs have the same
rows of each group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float64]

REPLICATES = 10_000
_BLOCK = 2_000
"""Replicates at a time: bounds the memory at some 20 MB for a thousand groups."""


def cluster_bootstrap(
    sums: ArrayLike,
    sizes: ArrayLike,
    strata: ArrayLike,
    members: ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> _Floats:
    """Bootstrap distribution of ratios sum y / sum m over cells; whole groups are drawn, inside their stratum.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6; clusters and strata as in Davison and
    Hinkley, Bootstrap Methods (1997), section 3.8. Every stratum keeps its number of groups.

    Args:
        sums: y_g, shape (G,) or (G, K) for K quantities of the same draw.
        sizes: m_g > 0, shape (G,).
        strata: stratum of each group, whole numbers from 0, shape (G,).
        members: whether a stratum belongs to a cell, shape (strata, C).

    Returns:
        Shape (replicates, C) or (replicates, C, K).
    """
    y, m = np.asarray(sums, np.float64), np.asarray(sizes, np.float64)
    stratum, cell = np.asarray(strata, np.intp), np.asarray(members, np.float64)
    many = y.ndim == 2
    values = np.column_stack([y, m])
    n_strata = cell.shape[0]
    totals = np.empty((replicates, n_strata, values.shape[1]))
    rng = np.random.default_rng(seed)
    for at in range(n_strata):
        own = values[stratum == at]
        size = len(own)
        for start in range(0, replicates, _BLOCK):
            stop = min(start + _BLOCK, replicates)
            drawn = rng.integers(0, size, (stop - start, size), dtype=np.int32) if size else None
            totals[start:stop, at] = 0.0 if drawn is None else own[drawn].sum(axis=1)
    by_cell = np.einsum("rsk,sc->rck", totals, cell)
    ratio: _Floats = by_cell[:, :, :-1] / by_cell[:, :, -1:]
    return ratio if many else ratio[:, :, 0]


def percentiles(distribution: ArrayLike, level: float = 0.95) -> tuple[_Floats, _Floats]:
    """Ends of the percentile interval along the first axis."""
    low, high = np.quantile(np.asarray(distribution), [0.5 - level / 2.0, 0.5 + level / 2.0], axis=0)
    return low, high


def max_t(
    differences: ArrayLike,
    *,
    one_sided: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> _Floats:
    """p-values of many means of 0 that hold for all of them together, by flipping the signs of whole groups.

    Without a difference a group's vector of differences is as likely as its negative. The statistic of a test is
    t_j = sum_g x_gj / sqrt(sum_g x_gj²), whose denominator no flip changes; a test's p is the share of flips whose
    greatest t is beyond its own, half of the ties counted, taken over the tests with no greater t than its own and
    made monotone (step-down: Westfall and Young, Resampling-Based Multiple Testing, 1993, algorithm 2.8). With one
    column it is the sign-flip permutation test of one mean.

    Args:
        differences: x, shape (groups, tests): weighted differences, 0 for a group outside a test.
        one_sided: only positive means count: for the best of several candidates.

    Returns:
        Shape (tests,); a test whose differences are all 0 has p = 1.
    """
    x = np.asarray(differences, np.float64)
    scale = np.sqrt((x * x).sum(axis=0))
    z = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
    z = z[np.any(z != 0.0, axis=1)]
    observed = z.sum(axis=0)
    if not one_sided:
        observed = np.abs(observed)
    order = np.argsort(-observed, kind="stable")
    above, ties = np.zeros(len(order)), np.zeros(len(order))
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, _BLOCK):
        count = min(_BLOCK, replicates - start)
        bits = rng.integers(0, 256, (count, (len(z) + 7) // 8), dtype=np.uint8)
        signs = 2.0 * np.unpackbits(bits, axis=1, count=len(z)).astype(np.float32) - 1.0
        flipped = signs @ z.astype(np.float32)
        flipped = (flipped if one_sided else np.abs(flipped))[:, order]
        # The greatest of this test and of all with a smaller statistic: the step-down.
        greatest = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        same = np.abs(greatest - observed[order]) < 1e-4
        above += ((greatest > observed[order]) & ~same).sum(axis=0)
        ties += same.sum(axis=0)
    # One more for the sample itself, which is one of its flips (Phipson and Smyth, 2010).
    p = np.maximum.accumulate((above + 0.5 * ties + 0.5) / (replicates + 1.0))
    out = np.empty(len(order))
    out[order] = np.minimum(p, 1.0)
    out[scale == 0.0] = 1.0
    return out


def sign_flip(differences: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0) -> _Floats:
    """Two-sided permutation p of each column's mean, not corrected. Arguments and result as `max_t`."""
    x = np.asarray(differences, np.float64)
    return np.array(
        [max_t(x[:, [test]], replicates=replicates, seed=seed)[0] for test in range(x.shape[1])], np.float64
    )
