"""One number for each group: what an aggregation makes of a run's outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.types import Categories
from ssl4rl_bench.score.aggregate import AGGREGATIONS
from ssl4rl_bench.score.outcomes import Outcomes

_Floats = NDArray[np.float64]
OVERALL = "overall"
LEVELS = (OVERALL, "l1", "l2", "l3")


def check_aggregation(name: str) -> str:
    """Raises UsageError for an unknown one."""
    if name not in AGGREGATIONS:
        raise UsageError(
            f"no aggregation {name} (known: {', '.join(AGGREGATIONS)}){did_you_mean(name, AGGREGATIONS)}"
        )
    return name


def pass_scores(values: _Floats, outcomes: Outcomes, aggregation: str) -> _Floats:
    """Sum over a group's units in each repeat, shape (groups, repeats); NaN where a copy is missing.

    Units are the group itself (`circular_micro`: its worst copy; `vanilla0_micro`: its main row) or its rows.

    Args:
        values: (rows, repeats), those of `outcomes` or others in their place.
    """
    if aggregation == "circular_micro":
        return np.asarray(np.minimum.reduceat(values, outcomes.starts, axis=0))
    if aggregation == "vanilla0_micro":
        main = (outcomes.rolls == 0)[:, None]
        whole = np.add.reduceat(values, outcomes.starts, axis=0) * 0.0  # NaN stays NaN
        return np.asarray(np.add.reduceat(np.where(main, values, 0.0), outcomes.starts, axis=0) + whole)
    return np.asarray(np.add.reduceat(values, outcomes.starts, axis=0))


def unit_counts(outcomes: Outcomes, aggregation: str) -> _Floats:
    """How many units each group has, shape (groups,)."""
    if aggregation == "circular_micro":
        return np.ones(len(outcomes.groups))
    if aggregation == "vanilla0_micro":
        return np.add.reduceat((outcomes.rolls == 0).astype(np.float64), outcomes.starts)
    return outcomes.sizes.astype(np.float64)


def group_sums(outcomes: Outcomes, aggregation: str) -> _Floats:
    """Each group's sum over its units of their mean over repeats, shape (groups,).

    NaN for a group that does not count, as in `aggregate`: with a reply that could not be scored, or without a whole
    repeat.
    """
    scores, counts = pass_scores(outcomes.values, outcomes, aggregation), outcomes.passes
    n = counts.sum(axis=1)
    total = np.where(counts, scores, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0))


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Categories over a list of groups, and the weight that each group has in each.

    A cell's mean over units is sum_g weights[g, cell] * sums[g].
    """

    names: tuple[tuple[str, str], ...]
    """(level, name); ("overall", "overall") first."""
    members: NDArray[np.bool_]
    """(groups, cells)"""
    weights: _Floats
    """(groups, cells)"""
    leaf: NDArray[np.intp]
    """(groups,) number of each group's L3 leaf."""

    def of(self, levels: Sequence[str]) -> Cells:
        """Those of some levels, in their order."""
        kept = [at for level in dict.fromkeys(levels) for at in self.numbers(level)]
        names = tuple(self.names[at] for at in kept)
        return Cells(names, self.members[:, kept], self.weights[:, kept], self.leaf)

    def numbers(self, level: str) -> list[int]:
        """Which cells are of a level."""
        return [at for at, (own, _) in enumerate(self.names) if own == level]


def cells_of(places: Sequence[Categories], units: _Floats, aggregation: str) -> Cells:
    """The cells of all levels that have a unit; names sorted within a level.

    Args:
        places: each group's place in the taxonomy.
        units: (groups,) from `unit_counts`.
    """
    names: list[tuple[str, str]] = [(OVERALL, OVERALL)]
    columns = [np.ones(len(places), bool)]
    for level in LEVELS[1:]:
        own = np.array([getattr(place, level) for place in places], object)
        for name in sorted(set(own)):
            names.append((level, name))
            columns.append(own == name)
    members = np.column_stack(columns) & (units > 0)[:, None]
    kept: NDArray[np.bool_] = np.asarray(members.any(axis=0))
    members = members[:, kept]
    leaves = sorted({place.l3 for place in places})
    leaf = np.array([leaves.index(place.l3) for place in places], np.intp)
    if aggregation == "row_l3_macro":
        size = np.bincount(leaf, units, len(leaves))
        n_leaves = np.array([len(set(leaf[column])) for column in members.T], np.float64)
        weights = members / (size[leaf][:, None] * n_leaves)
    else:
        weights = members / (members * units[:, None]).sum(axis=0)
    return Cells(tuple(name for name, keep in zip(names, kept, strict=True) if keep), members, weights, leaf)
