"""Contrasts of several runs on the questions that all of them answered: sums of their scores with any weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ssl4rl_bench.comparison import ALPHA
from ssl4rl_bench.errors import UsageError
from ssl4rl_bench.groupscores import OVERALL, Cells, cells_of, group_sums, unit_counts
from ssl4rl_bench.leftout import notes_of
from ssl4rl_bench.pairing import Evaluated, pair
from ssl4rl_bench.reports.board import COLUMNS, Column
from ssl4rl_bench.stats.estimates import mean_se
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.stats.paired import mcnemar, t_interval, tango
from ssl4rl_bench.stats.power import detectable

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A contrast in one column. Fractions."""

    value: float
    ci95: tuple[float, float] | None
    p: float
    """Two-sided, not corrected."""
    n: int
    """Questions."""
    mde: float
    """Smallest contrast that is found with 80% power at its share of alpha in the family."""
    p_corrected: float

    @property
    def mark(self) -> str:
        """ "better" (above 0), "worse" (below 0), or "" where it could be chance."""
        if self.p_corrected >= ALPHA or self.value == 0.0:
            return ""
        return "better" if self.value > 0.0 else "worse"


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Group scores of several runs on the same questions."""

    table: _Floats
    """(groups, runs)"""
    units: _Floats
    """(groups,)"""
    cells: Cells
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The card's columns that have a question here."""
        return tuple(column for column in COLUMNS if (column.level, column.name) in self.cells.names)

    def mean(self, values: ArrayLike, column: Column) -> float:
        """Of one number a group, such as a run's scores, as the aggregation weighs them."""
        at = self.cells.names.index((column.level, column.name))
        own = self.cells.members[:, at]
        return float(self.cells.weights[own, at] @ np.asarray(values, np.float64)[own])

    def contrast(self, values: ArrayLike, column: Column, level: float = 0.95) -> Contrast:
        """The mean of a sum of scores with weights that add up to 0, its interval and its p.

        Where each question's value is -1, 0 or 1, as of two runs, Tango's interval and McNemar's mid-p, as `compare`
        gives; else Student's t with the standard error over questions.

        Args:
            values: (groups,)
            level: of the interval, which is still called `ci95`.
        """
        at = self.cells.names.index((column.level, column.name))
        own = self.cells.members[:, at]
        d = np.asarray(values, np.float64)[own]
        n = len(d)
        # Scaled so that the plain mean over groups is the column's contrast.
        x = d * self.cells.weights[own, at] * n
        value, se = mean_se(x)
        gained, lost = int((d > 0).sum()), int((d < 0).sum())
        z = float(special.ndtri(0.5 + level / 2.0))
        if (not gained and not lost) or bool(
            np.isin(d, (-1.0, 0.0, 1.0)).all() and (self.units[own] == 1.0).all()
        ):
            low, high = (float(end) for end in tango(gained, lost, n, z))
            ends, p = (low, high), float(mcnemar(gained, lost))
        else:
            ends_ = t_interval(value, se, n - 1, level)
            if ends_ is None or not se:
                return Contrast(value, None, 1.0, n, 1.0, 1.0)
            ends, p = ends_, float(2.0 * special.stdtr(n - 1, -abs(value) / se))
        return Contrast(value, ends, p, n, detectable(n, float((x * x).mean()), ALPHA), p)


def scores(runs: Sequence[Evaluated], task: str, aggregation: str, allow: Collection[str] = ()) -> Scores:
    """The runs' scores on the questions that all of them answered; the first run's order.

    Raises:
        UsageError: runs that must not be compared, or without a question in common.
    """
    one = runs[0].task(task)
    table = np.full((len(one.groups), len(runs)), np.nan)
    table[:, 0] = group_sums(one, aggregation)
    notes: list[str] = []
    for at, run in enumerate(runs[1:], start=1):
        pairing = pair(runs[0], run, task, allow)
        table[pairing.left, at] = group_sums(pairing.candidate, aggregation)[pairing.right]
        notes += notes_of(pairing, aggregation, runs[0].label, run.label)
    kept = ~np.isnan(table).any(axis=1)
    if not kept.any():
        raise UsageError(
            f"{', '.join(run.label for run in runs)} share no answered question of {task}: "
            "evaluate them on the same data"
        )
    units = unit_counts(one, aggregation)[kept]
    places = [place for place, keep in zip(one.places, kept, strict=True) if keep]
    return Scores(table[kept], units, cells_of(places, units, aggregation), tuple(dict.fromkeys(notes)))


def correct(found: Sequence[tuple[Column, Contrast]]) -> list[Contrast]:
    """Holm's correction: the abilities' contrasts are one family, those on Average another. In the same order."""
    out = [each for _, each in found]
    for whole in (False, True):
        own = [at for at, (column, _) in enumerate(found) if (column.level == OVERALL) is whole]
        corrected = holm([out[at].p for at in own])
        for at, p in zip(own, corrected, strict=True):
            out[at] = replace(out[at], p_corrected=float(p), mde=_at_share(out[at].mde, len(own)))
    return out


def _at_share(mde: float, family: int) -> float:
    """A minimum detectable effect at alpha, for a test at its share of alpha: (z_a' + z_b) / (z_a + z_b) of it."""
    return min(1.0, mde * detectable(1, 1.0, ALPHA / family) / detectable(1, 1.0, ALPHA))
