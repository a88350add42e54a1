"""Computes the estimates, intervals and p-values of cells from two scores of each group.

`compare` corrects them for their families and adds the power of the tests; `leftout` computes them over
all questions, including those that are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.result import Difference, Share
from ssl4rl_bench.score.aggregate import Cells
from ssl4rl_bench.stats import effective
from ssl4rl_bench.stats.effective import Effective
from ssl4rl_bench.stats.paired import mcnemar, tango
from ssl4rl_bench.stats.resampling import REPLICATES, sign_flip

_Floats = NDArray[np.float64]
_LEVEL = 0.975
"""The one-sided level of each end of an interval."""


def differences(
    before: _Floats,
    after: _Floats,
    units: _Floats,
    cells: Cells,
    aggregation: str,
    replicates: int = REPLICATES,
    parts: tuple[_Floats, _Floats] | None = None,
) -> list[Difference]:
    """Computes the difference of each cell. `p_corrected`, `family`, `mde` and `needed` are not yet set.

    Args:
        before, after: sums over each group's units, of the baseline and of the candidate, shape (groups,).
        units: the number of units of each group (`aggregate.unit_counts`), shape (groups,).
        cells: the cells of the same groups.
        replicates: the number of sign flips of the permutation test.
        parts: the parts of each group's difference that come from reading and from answers, (groups,) each.
    """
    d = after - before
    reading, answers = parts or (np.zeros_like(d), d)
    binary = bool(np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all() and (units == 1).all())
    gained, lost = (cells.members & (d > 0)[:, None]).sum(0), (cells.members & (d < 0)[:, None]).sum(0)
    n = cells.members.sum(0)
    p = mcnemar(gained, lost) if binary else sign_flip(cells.weights * d[:, None], replicates=replicates)
    members = [Members.of(cells, index, units, aggregation) for index in range(len(cells.names))]
    counts = [
        effective.counted(int(gained[index]), int(lost[index]), int(n[index]))
        if binary
        else cell.difference(d)
        for index, cell in enumerate(members)
    ]
    read, answered = ([cell.difference(part) for cell in members] for part in (reading, answers))
    ends = _intervals([*counts, *read, *answered])
    intervals, of_reading, of_answers = (ends[index * len(members) :][: len(members)] for index in range(3))
    out = []
    for index, (level, name) in enumerate(cells.names):
        selected, weights = members[index].selected, members[index].weights
        out.append(
            Difference(
                level=level,
                name=name,
                n=int(n[index]),
                baseline=float(weights @ before[selected]),
                candidate=float(weights @ after[selected]),
                value=float(weights @ d[selected]),
                se=members[index].se(d),
                ci95=intervals[index],
                p=float(p[index]),
                p_corrected=float(p[index]),
                family=1,
                mde=1.0,
                needed=None,
                binary=binary,
                gained=int(gained[index]),
                lost=int(lost[index]),
                counts=counts[index],
                right=_right(members[index], after, binary),
                from_reading=Share(float(weights @ reading[selected]), of_reading[index]),
                from_answers=Share(float(weights @ answers[selected]), of_answers[index]),
            )
        )
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """The groups of one cell."""

    selected: NDArray[np.bool_]
    """A mask of the groups that are in the cell, shape (groups,)."""
    weights: _Floats
    units: _Floats
    leaf: NDArray[np.intp] | None
    """The leaf of each group if the cell's value is a mean over leaves, else None."""

    @classmethod
    def of(cls, cells: Cells, index: int, units: _Floats, aggregation: str) -> Members:
        """Selects the groups of cell number `index`."""
        selected = cells.members[:, index]
        leaf = cells.leaf[selected] if aggregation == "row_l3_macro" else None
        return cls(selected, cells.weights[selected, index], units[selected], leaf)

    def difference(self, d: _Floats) -> Effective | None:
        """Returns a mean difference as effective counts; None for a single group."""
        if len(self.weights) < 2:
            return None
        return effective.difference(self.weights, d[self.selected], self.units, self.leaf)

    def se(self, d: _Floats) -> float | None:
        """Computes the standard error of the difference; None for a single group."""
        if len(self.weights) < 2:
            return None
        return math.sqrt(effective.mean_variance(self.weights, d[self.selected], self.units, self.leaf).value)


def _right(cell: Members, after: _Floats, binary: bool) -> Effective | None:
    """Returns the candidate's accuracy as effective counts."""
    scores = after[cell.selected]
    if binary:
        return effective.counted(int(scores.sum()), 0, len(scores))
    return effective.accuracy(cell.weights, scores, cell.units, cell.leaf) if len(scores) > 1 else None


def _intervals(counts: Sequence[Effective | None]) -> list[tuple[float, float] | None]:
    """Computes Tango's 95% intervals of effective counts; None without counts, as for a single group."""
    known = {
        index: count.counts(_LEVEL)
        for index, count in enumerate(counts)
        if count is not None and count.n > 1.0
    }
    out: list[tuple[float, float] | None] = [None] * len(counts)
    if known:
        low, high = tango(*np.array(list(known.values())).T)
        for number, index in enumerate(known):
            out[index] = float(low[number]), float(high[number])
    return out
