"""Contrasts (weighted sums of scores) of several runs on the questions that all of them answered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ssl4rl_bench.comparison.leftout import notes_of
from ssl4rl_bench.comparison.pairing import Evaluated, pair
from ssl4rl_bench.comparison.result import ALPHA
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.reports.board.columns import Column, columns_of
from ssl4rl_bench.score.aggregate import OVERALL, Cells, cells_of, group_sums, unit_counts
from ssl4rl_bench.stats.effective import Effective, counted, difference
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.stats.paired import mcnemar, tango
from ssl4rl_bench.stats.power import detectable_change
from ssl4rl_bench.stats.resampling import sign_flip

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A contrast in one column, as fractions."""

    value: float
    ci95: tuple[float, float] | None
    p: float
    """The two-sided p-value, not corrected."""
    n: int
    """The number of questions."""
    mde: float
    """The smallest contrast that is found with 80% power at its share of the family's alpha; 1 if none."""
    p_corrected: float
    counts: Effective | None = None
    """The counts that `ci95` and `mde` are computed from, of the contrast divided by `span`."""
    span: float = 1.0
    """The largest absolute contrast of a question per unit, at least 1."""

    @property
    def mark(self) -> str:
        """The mark "better" (above 0), "worse" (below 0), or "" if it could be chance."""
        if self.p_corrected >= ALPHA or self.value == 0.0:
            return ""
        return "better" if self.value > 0.0 else "worse"


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Group scores of several runs on the same questions."""

    table: _Floats
    """Shape (groups, runs)."""
    units: _Floats
    """The number of units of each group, shape (groups,)."""
    cells: Cells
    macro: bool
    """Whether the value of a column is a mean over leaves."""
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    """The board's columns that have a question here."""

    def mean(self, values: ArrayLike, column: Column) -> float:
        """Returns the mean over a column of one value per group, weighted as the aggregation does."""
        index = self.cells.names.index((column.level, column.name))
        selected = self.cells.members[:, index]
        return float(self.cells.weights[selected, index] @ np.asarray(values, np.float64)[selected])

    def contrast(self, values: ArrayLike, column: Column, level: float = 0.95) -> Contrast:
        """Computes the mean, interval and p-value of a sum of scores whose weights add up to 0.

        The methods are those of `compare`. If every question's value is -1, 0 or 1, as for two runs, they are
        Tango's interval and McNemar's mid-p; else Tango's interval of effective counts and a sign-flip
        permutation test.

        Args:
            values: one value per group, shape (groups,).
            level: the level of the interval, which is called `ci95` at any level.
        """
        index = self.cells.names.index((column.level, column.name))
        selected = self.cells.members[:, index]
        d, weights, units = (
            np.asarray(values, np.float64)[selected],
            self.cells.weights[selected, index],
            self.units[selected],
        )
        n, value = len(d), float(weights @ d)
        leaf = self.cells.leaf[selected] if self.macro else None
        z = 0.5 + level / 2.0
        if bool(np.isin(d, (-1.0, 0.0, 1.0)).all() and (units == 1.0).all()):
            counts, span = counted(int((d > 0).sum()), int((d < 0).sum()), n), 1.0
            p = float(mcnemar(counts.up * n, counts.down * n))
        elif n < 2:
            return Contrast(value, None, 1.0, n, 1.0, 1.0)
        else:
            # A contrast can exceed the units of a group: a difference in differences is up to twice as large.
            span = float(max(1.0, np.max(np.abs(d) / units)))
            counts = difference(weights, d / span, units, leaf)
            p = float(sign_flip((weights * d)[:, None])[0])
        low, high = (span * float(end) for end in tango(*counts.counts(z), float(special.ndtri(z))))
        return Contrast(value, (low, high) if n > 1 else None, p, n, _mde(counts, span, 1), p, counts, span)


def scores(runs: Sequence[Evaluated], task: str, aggregation: str, allow: Collection[str] = ()) -> ScoreTable:
    """Returns the runs' scores on the questions that all of them answered, in the first run's order.

    Raises:
        UsageError: the runs must not be compared, or have no question in common.
    """
    one = runs[0].task(task)
    table = np.full((len(one.groups), len(runs)), np.nan)
    table[:, 0] = group_sums(one, aggregation)
    notes: list[str] = []
    for column, run in enumerate(runs[1:], start=1):
        pairing = pair(runs[0], run, task, allow)
        table[pairing.left, column] = group_sums(pairing.candidate, aggregation)[pairing.right]
        notes += notes_of(pairing, aggregation, runs[0].label, run.label)
    complete = ~np.isnan(table).any(axis=1)
    if not complete.any():
        raise UsageError(
            f"{', '.join(run.label for run in runs)} share no answered question of {task}: "
            "evaluate them on the same data"
        )
    units = unit_counts(one, aggregation)[complete]
    places = [place for place, keep in zip(one.places, complete, strict=True) if keep]
    macro = aggregation == "row_l3_macro"
    cells = cells_of(places, units, aggregation)
    columns = columns_of((run.result for run in runs), task)
    return ScoreTable(
        table=table[complete],
        units=units,
        cells=cells,
        macro=macro,
        notes=tuple(dict.fromkeys(notes)),
        columns=tuple(column for column in columns if (column.level, column.name) in cells.names),
    )


def correct(contrasts: Sequence[tuple[Column, Contrast]]) -> list[Contrast]:
    """Applies Holm's correction: abilities are one family, Averages another. The order is kept."""
    out = [contrast for _, contrast in contrasts]
    for is_overall in (False, True):
        family = [
            index for index, (column, _) in enumerate(contrasts) if (column.level == OVERALL) is is_overall
        ]
        corrected = holm([out[index].p for index in family])
        for index, p in zip(family, corrected, strict=True):
            mde = _mde(out[index].counts, out[index].span, len(family))
            out[index] = replace(out[index], p_corrected=float(p), mde=mde)
    return out


def _mde(counts: Effective | None, span: float, family: int) -> float:
    """Returns the minimum detectable effect of a test at its share of alpha."""
    if counts is None:
        return 1.0
    return min(1.0, span * detectable_change(max(1, round(counts.n)), counts.changed, ALPHA / family))
