"""What a comparison finds in each cell, from two scores of each group: estimates, intervals and p-values.

`compare` corrects them for their families and adds what a test could have found; `leftout` asks what they would be
with the questions that were left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison import Difference, Share
from ssl4rl_bench.groupscores import Cells
from ssl4rl_bench.stats.paired import mcnemar, t_interval, tango
from ssl4rl_bench.stats.resampling import REPLICATES, cluster_bootstrap, percentiles, sign_flip

_Floats = NDArray[np.float64]


def differences(
    before: _Floats,
    after: _Floats,
    units: _Floats,
    cells: Cells,
    aggregation: str,
    replicates: int = REPLICATES,
    parts: tuple[_Floats, _Floats] | None = None,
) -> list[Difference]:
    """Each cell's difference, as if it were the only test: `p_corrected`, `family`, `mde` and `needed` are not set.

    Args:
        before, after: (groups,) sums over each group's units, the baseline's and the candidate's.
        units: (groups,) from `groupscores.unit_counts`.
        cells: of the same groups.
        parts: (groups,) each, what of a group's difference comes from reading and what from answers.
    """
    d = after - before
    weighted = cells.weights * d[:, None]
    reading, answers = parts or (np.zeros_like(d), d)
    binary = bool(np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all() and (units == 1).all())
    gained, lost = (cells.members & (d > 0)[:, None]).sum(0), (cells.members & (d < 0)[:, None]).sum(0)
    n = cells.members.sum(0)
    if binary:
        p, ends = mcnemar(gained, lost), tango(gained, lost, n)
    else:
        p, ends = (
            sign_flip(weighted, replicates=replicates),
            _bootstrap(d, units, cells, aggregation, replicates),
        )
    found = []
    for at, (level, name) in enumerate(cells.names):
        own = cells.members[:, at]
        weights = cells.weights[own, at]
        value = float(weighted[own, at].sum())
        se = _se(weights, d[own], units[own], cells.leaf[own], aggregation)
        found.append(
            Difference(
                level=level,
                name=name,
                n=int(n[at]),
                baseline=float(weights @ before[own]),
                candidate=float(weights @ after[own]),
                value=value,
                se=se,
                ci95=(float(ends[0][at]), float(ends[1][at])) if n[at] > 1 else None,
                p=float(p[at]),
                p_corrected=float(p[at]),
                family=1,
                mde=1.0,
                needed=None,
                binary=binary,
                gained=int(gained[at]),
                lost=int(lost[at]),
                from_reading=_share(weights, reading[own], units[own], cells.leaf[own], aggregation),
                from_answers=_share(weights, answers[own], units[own], cells.leaf[own], aggregation),
            )
        )
    return found


def _se(
    weights: _Floats, d: _Floats, units: _Floats, leaf: NDArray[np.intp], aggregation: str
) -> float | None:
    """Standard error of sum w d over groups; for a mean over leaves, of groups inside their leaves."""
    strata = [leaf == name for name in np.unique(leaf)] if aggregation == "row_l3_macro" else [leaf >= 0]
    total = 0.0
    for own in strata:
        n = int(own.sum())
        if n < 2:
            return None
        mean = float(d[own].sum() / units[own].sum())
        residual = weights[own] * (d[own] - units[own] * mean)
        total += n / (n - 1) * float(residual @ residual)
    return float(np.sqrt(total))


def _share(
    weights: _Floats, part: _Floats, units: _Floats, leaf: NDArray[np.intp], aggregation: str
) -> Share:
    value = float(weights @ part)
    return Share(value, t_interval(value, _se(weights, part, units, leaf, aggregation), len(part) - 1))


def _bootstrap(
    d: _Floats, units: _Floats, cells: Cells, aggregation: str, replicates: int
) -> tuple[_Floats, _Floats]:
    n_leaves = int(cells.leaf.max()) + 1
    inside = np.zeros((n_leaves, len(cells.names)))
    for at in range(len(cells.names)):
        inside[np.unique(cells.leaf[cells.members[:, at]]), at] = 1.0
    if aggregation == "row_l3_macro":
        by_leaf = cluster_bootstrap(d, units, cells.leaf, np.eye(n_leaves), replicates=replicates)
        low, high = percentiles(by_leaf @ (inside / inside.sum(axis=0)))
    else:
        low, high = percentiles(cluster_bootstrap(d, units, cells.leaf, inside, replicates=replicates))
    # Where no group changed, neither does any replicate, which is no certainty: as for 0/1 scores, then.
    same = ~(cells.members & (d != 0.0)[:, None]).any(axis=0)
    none = tango(0, 0, cells.members.sum(axis=0))
    return np.where(same, none[0], low), np.where(same, none[1], high)
