"""From the scores of a task to its aggregates: the one computation of a cell, for a result and for a comparison.

An aggregation makes one number of each group that counts (`Scores.passes`): `group_sums`, over `unit_counts` units.
It is the mean over the group's repeats, however many it has: the group, not the reply, is the unit. `cells_of` says
which groups are in which cell and with which weight; `estimate` puts an error and an interval to a cell's mean.

Each cell of result.json is an object:

- `value`: a fraction; null without data.
- `n`: groups (`circular_micro`, `vanilla0_micro`) or rows (`row_micro`, `row_l3_macro`), once each whatever
  the repeats.
- `n_groups`: groups, always.
- `se`: standard error over groups; null with a single group. In `row_l3_macro` leaves with few groups share their
  variance (`stats.effective.mean_variance`).
- `ci95`: Wilson's; of the groups where each is one reply that scores 0 or 1, else of as many independent replies as
  would vary as much (`stats.effective.accuracy`). Null for a single group with another score.
- `unread`, `n_unread`: share and number of the cell's replies with status none, truncated or refusal.
- `variance`: only with repeats; `stats.variance_components` of the groups' values, which are their row means
  in the row aggregations. {"between", "within", "repeats"}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench import stats
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.types import Categories
from ssl4rl_bench.score.scores import Scores
from ssl4rl_bench.stats.effective import accuracy, accuracy_interval, mean_variance

UNITS: Mapping[str, str] = {
    "circular_micro": "groups",
    "row_micro": "rows",
    "vanilla0_micro": "groups",
    "row_l3_macro": "rows",
}
"""Aggregation to what its `n` counts.

- `circular_micro`: a group is worth its worst copy (right only if every copy is right); mean over groups.
- `row_micro`: mean over rows, all copies alike; cluster-robust standard error over groups.
- `vanilla0_micro`: mean over main rows (roll 0).
- `row_l3_macro`: plain mean over the L3 leaves of each leaf's row accuracy, leaves taken as independent.
"""
AGGREGATIONS: tuple[str, ...] = tuple(UNITS)

_Floats = NDArray[np.float64]
_Ints = NDArray[np.intp]
_Bools = NDArray[np.bool_]
OVERALL = "overall"
LEVELS = (OVERALL, "l1", "l2", "l3")


def check_aggregation(name: str) -> str:
    """Raises UsageError for an unknown one."""
    if name not in AGGREGATIONS:
        raise UsageError(
            f"no aggregation {name} (known: {', '.join(AGGREGATIONS)}){did_you_mean(name, AGGREGATIONS)}"
        )
    return name


def pass_scores(values: _Floats, scores: Scores, aggregation: str) -> _Floats:
    """Sum over a group's units in each repeat, shape (groups, repeats); NaN where a copy is missing.

    Units are the group itself (`circular_micro`: its worst copy; `vanilla0_micro`: its main row) or its rows.

    Args:
        values: (rows, repeats), those of `scores` or others in their place.
    """
    if aggregation == "circular_micro":
        return np.asarray(np.minimum.reduceat(values, scores.starts, axis=0))
    if aggregation == "vanilla0_micro":
        main = (scores.rolls == 0)[:, None]
        whole = np.add.reduceat(values, scores.starts, axis=0) * 0.0  # NaN stays NaN
        return np.asarray(np.add.reduceat(np.where(main, values, 0.0), scores.starts, axis=0) + whole)
    return np.asarray(np.add.reduceat(values, scores.starts, axis=0))


def unit_counts(scores: Scores, aggregation: str) -> _Floats:
    """How many units each group has, shape (groups,)."""
    if aggregation == "circular_micro":
        return np.ones(len(scores.groups))
    if aggregation == "vanilla0_micro":
        return np.add.reduceat((scores.rolls == 0).astype(np.float64), scores.starts)
    return scores.sizes.astype(np.float64)


def group_sums(scores: Scores, aggregation: str) -> _Floats:
    """Each group's sum over its units of their mean over repeats, shape (groups,).

    NaN for a group that does not count.
    """
    sums, counts = pass_scores(scores.values, scores, aggregation), scores.passes
    n = counts.sum(axis=1)
    total = np.where(counts, sums, 0.0).sum(axis=1)
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
    groups = _members(places)
    names = list(groups)
    members = np.column_stack(list(groups.values())) & (units > 0)[:, None]
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


def _members(places: Sequence[Categories]) -> dict[tuple[str, str], _Bools]:
    """(groups,) which groups are in each cell, by (level, name): overall first, names sorted within a level."""
    out = {(OVERALL, OVERALL): np.ones(len(places), bool)}
    for level in LEVELS[1:]:
        own = np.array([getattr(place, level) for place in places], object)
        out |= {(level, name): np.asarray(own == name) for name in sorted(set(own))}
    return out


def estimate(
    sums: _Floats, sizes: _Floats, trials: _Floats, n: int, *, binary: bool, leaf: _Ints | None = None
) -> stats.Estimate:
    """Mean over units with its standard error over groups and its interval, as a cell holds them.

    Args:
        sums: sum of the scores of each group's units, shape (groups,).
        sizes: units of each group, above 0, shape (groups,).
        trials: values that went into each sum, all repeats, shape (groups,).
        n: units, once each whatever the repeats.
        binary: whether every score is 0 or 1.
        leaf: each group's leaf, shape (groups,), where the value is a plain mean over leaves.
    """
    if not len(sums):
        return stats.Estimate(None, n, None, None)
    at = np.unique(np.zeros(len(sums)) if leaf is None else leaf, return_inverse=True)[1]
    n_leaves = int(at.max()) + 1
    means = [float(sums[at == number].sum()) / float(sizes[at == number].sum()) for number in range(n_leaves)]
    value = math.fsum(means) / n_leaves
    if len(sums) == 1:
        return stats.Estimate(value, n, None, stats.wilson(min(1.0, value), 1) if binary else None)
    weights = 1.0 / (np.bincount(at, sizes)[at] * n_leaves)
    strata = at if n_leaves > 1 else None
    se = math.sqrt(mean_variance(weights, sums, sizes, strata).value)
    if binary and strata is None and bool((trials == 1.0).all()):
        return stats.Estimate(value, n, se, stats.wilson(min(1.0, value), len(sums)))
    return stats.Estimate(value, n, se, accuracy_interval(accuracy(weights, sums, sizes, strata)))


def aggregate(scores: Scores) -> dict[str, Any]:
    """The "aggregates" of result.json: {aggregation: {"overall": cell, "l1": {name: cell}, "l2", "l3"}}.

    The module's text says what a cell holds. Names are sorted; a name occurs if a group of it counts.
    """
    members = _members([scores.places[at] for at in np.flatnonzero(scores.counted)])
    out: dict[str, Any] = {}
    for name in AGGREGATIONS:
        view = _View.of(scores, name)
        levels: dict[str, Any] = {level: {} for level in LEVELS}
        for (level, category), inside in members.items():
            levels[level][category] = _cell(view, inside)
        out[name] = levels | {OVERALL: levels[OVERALL][OVERALL]}
    return out


def overall(scores: Scores, aggregation: str) -> dict[str, Any]:
    """The "overall" cell of one aggregation, as `aggregate` has it."""
    view = _View.of(scores, aggregation)
    return _cell(view, np.ones(len(view.sums), bool))


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one aggregation sees of the groups that count."""

    unit: str
    """"groups" or "rows"."""
    sums: _Floats
    """(groups,) sum over the group's units of their mean over repeats."""
    sizes: _Floats
    """(groups,) units in the group."""
    trials: _Floats
    """(groups,) values that went into `sums`, all repeats."""
    replies: _Floats
    """(groups,) replies, all repeats."""
    unread: _Floats
    """(groups,) those of them in which no answer was found."""
    pass_value: _Floats
    """(passes,) mean over the units of one repeat of one group."""
    pass_owner: _Ints
    """(passes,) each pass's group."""
    binary: bool
    """Whether every score of the run is 0 or 1."""
    leaf: _Ints | None
    """(groups,) each group's L3 leaf, where the value is a plain mean over leaves."""

    @classmethod
    def of(cls, scores: Scores, aggregation: str) -> _View:
        kept = scores.counted
        counts = scores.passes[kept]
        n_passes = counts.sum(axis=1).astype(np.float64)
        sizes = unit_counts(scores, aggregation)[kept]
        asked = (scores.rolls == 0 if aggregation == "vanilla0_micro" else np.ones(scores.rolls.size, bool))[
            :, None
        ]
        unread = np.add.reduceat((scores.unread & asked).astype(np.float64), scores.starts)[kept]
        rows = np.add.reduceat(asked[:, 0].astype(np.float64), scores.starts)[kept]
        owner, repeat = np.nonzero(counts & (sizes > 0)[:, None])
        passes = pass_scores(scores.values, scores, aggregation)[kept]
        known = scores.values[~np.isnan(scores.values)]
        leaf = None
        if aggregation == "row_l3_macro":
            leaves = np.array([place.l3 for place in scores.places], object)[kept]
            leaf = np.unique(leaves, return_inverse=True)[1].astype(np.intp)
        return cls(
            unit=UNITS[aggregation],
            sums=group_sums(scores, aggregation)[kept],
            sizes=sizes,
            trials=sizes * n_passes,
            replies=rows * n_passes,
            unread=np.where(counts, unread, 0.0).sum(axis=1),
            pass_value=passes[owner, repeat] / sizes[owner],
            pass_owner=owner,
            binary=bool(np.isin(known, (0.0, 1.0)).all()),
            leaf=leaf,
        )

    @property
    def repeated(self) -> bool:
        """Whether any group has a second pass."""
        return len(self.pass_owner) > len(np.unique(self.pass_owner))


def _cell(view: _View, inside: _Bools) -> dict[str, Any]:
    members = np.flatnonzero(inside & (view.sizes > 0))
    sizes = view.sizes[members]
    found = estimate(
        view.sums[members],
        sizes,
        view.trials[members],
        len(members) if view.unit == "groups" else round(float(sizes.sum())),
        binary=view.binary,
        leaf=None if view.leaf is None else view.leaf[members],
    )
    n_replies, n_unread = int(view.replies[members].sum()), int(view.unread[members].sum())
    cell: dict[str, Any] = {
        "value": found.value,
        "n": found.n,
        "n_groups": len(members),
        "se": found.se,
        "ci95": None if found.ci95 is None else list(found.ci95),
        "unread": n_unread / n_replies if n_replies else None,
        "n_unread": n_unread,
    }
    if view.repeated:
        own = np.isin(view.pass_owner, members)
        cell["variance"] = asdict(stats.variance_components(view.pass_value[own], view.pass_owner[own]))
    return cell
