"""Computes the aggregates of a task from its scores. Results and comparisons share this computation of cells.

An aggregation reduces each group that counts (`Scores.passes`) to one number: `group_sums`, over
`unit_counts` units. It is the mean over all repeats of the group, however many there are: the unit is the
group, not the reply. `cells_of` determines which groups belong to which cell and their weights; `estimate`
adds an error and an interval to a mean.

Each cell of result.json is an object:

- `value`: a fraction; null without data.
- `n`: the number of groups (`circular_micro`, `vanilla0_micro`) or rows (`row_micro`, `row_l3_macro`);
  repeats are not counted.
- `n_groups`: the number of groups in every aggregation.
- `se`: the standard error over groups; null for a single group. In `row_l3_macro`, leaves with few groups
  share a variance (`stats.effective.mean_variance`).
- `ci95`: the Wilson interval. Its n is the number of groups if each is one reply that scores 0 or 1,
  otherwise the number of independent replies with the same variance (`stats.effective.accuracy`). Null for a
  single group with another score.
- `unread`, `n_unread`: the share and number of the cell's replies with status none, truncated or refusal.
- `variance`: {"between", "within", "repeats"}, only with repeats: `stats.variance_components` of the groups'
  values, which in the row aggregations are the means of their rows.
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
"""Maps each aggregation to the units that its `n` counts.

- `circular_micro`: the score of a group is that of its worst copy (right only if every copy is right); mean
  over groups.
- `row_micro`: mean over rows, with equal weights for all copies; cluster-robust standard error over groups.
- `vanilla0_micro`: mean over main rows (roll 0).
- `row_l3_macro`: unweighted mean of the L3 leaves' row accuracies, with leaves taken as independent.
"""
AGGREGATIONS: tuple[str, ...] = tuple(UNITS)
DEFAULT_AGGREGATION = "circular_micro"
"""The aggregation of tables, unless a benchmark publishes another one (`headline` in result.json)."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.intp]
_Bools = NDArray[np.bool_]
OVERALL = "overall"
LEVELS = (OVERALL, "l1", "l2", "l3")


def check_aggregation(name: str) -> str:
    """Returns the name of a known aggregation; raises UsageError for an unknown one."""
    if name not in AGGREGATIONS:
        raise UsageError(
            f"no aggregation {name} (known: {', '.join(AGGREGATIONS)}){did_you_mean(name, AGGREGATIONS)}"
        )
    return name


def pass_scores(values: _Floats, scores: Scores, aggregation: str) -> _Floats:
    """Computes the sum over the units of each group in each repeat.

    The units are the group itself (`circular_micro`: its worst copy; `vanilla0_micro`: its main row) or its
    rows.

    Args:
        values: shape (rows, repeats); the values of `scores` or a replacement for them.

    Returns:
        Shape (groups, repeats); NaN where a copy is missing.
    """
    if aggregation == "circular_micro":
        return np.asarray(np.minimum.reduceat(values, scores.starts, axis=0))
    if aggregation == "vanilla0_micro":
        main = (scores.rolls == 0)[:, None]
        missing_copies = (
            np.add.reduceat(values, scores.starts, axis=0) * 0.0
        )  # 0, or NaN where a copy is missing
        return np.asarray(
            np.add.reduceat(np.where(main, values, 0.0), scores.starts, axis=0) + missing_copies
        )
    return np.asarray(np.add.reduceat(values, scores.starts, axis=0))


def unit_counts(scores: Scores, aggregation: str) -> _Floats:
    """Returns the number of units of each group, shape (groups,)."""
    if aggregation == "circular_micro":
        return np.ones(len(scores.groups))
    if aggregation == "vanilla0_micro":
        return np.add.reduceat((scores.rolls == 0).astype(np.float64), scores.starts)
    return scores.sizes.astype(np.float64)


def group_sums(scores: Scores, aggregation: str) -> _Floats:
    """Computes for each group the sum over its units, averaged over repeats, shape (groups,).

    NaN for a group that does not count.
    """
    sums, counts = pass_scores(scores.values, scores, aggregation), scores.passes
    n = counts.sum(axis=1)
    total = np.where(counts, sums, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0))


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Categories (cells) over a list of groups, and the weight of each group in each cell.

    A cell's mean over units is sum_g weights[g, cell] * sums[g].
    """

    names: tuple[tuple[str, str], ...]
    """(level, name) of each cell; ("overall", "overall") comes first."""
    members: NDArray[np.bool_]
    """Whether each group belongs to each cell, shape (groups, cells)."""
    weights: _Floats
    """Weight of each group in each cell, shape (groups, cells)."""
    leaf: NDArray[np.intp]
    """Index of each group's L3 leaf, shape (groups,)."""

    def of(self, levels: Sequence[str]) -> Cells:
        """Returns the cells of the given levels, in the order of the levels."""
        indices = [index for level in dict.fromkeys(levels) for index in self.numbers(level)]
        names = tuple(self.names[index] for index in indices)
        return Cells(names, self.members[:, indices], self.weights[:, indices], self.leaf)

    def numbers(self, level: str) -> list[int]:
        """Returns the indices of the cells of a level."""
        return [index for index, (cell_level, _) in enumerate(self.names) if cell_level == level]


def cells_of(places: Sequence[Categories], units: _Floats, aggregation: str) -> Cells:
    """Returns the cells of all levels that have at least one unit, with names sorted within a level.

    Args:
        places: the categories of each group.
        units: the result of `unit_counts`, shape (groups,).
    """
    groups = members_of(places)
    names = list(groups)
    members = np.column_stack(list(groups.values())) & (units > 0)[:, None]
    nonempty: NDArray[np.bool_] = np.asarray(members.any(axis=0))
    members = members[:, nonempty]
    leaf, n_all_leaves = _leaf_indices(places)
    if aggregation == "row_l3_macro":
        size = np.bincount(leaf, units, n_all_leaves)
        n_leaves = np.array([len(set(leaf[column])) for column in members.T], np.float64)
        weights = members / (size[leaf][:, None] * n_leaves)
    else:
        weights = members / (members * units[:, None]).sum(axis=0)
    return Cells(
        tuple(name for name, keep in zip(names, nonempty, strict=True) if keep), members, weights, leaf
    )


def members_of(places: Sequence[Categories]) -> dict[tuple[str, str], _Bools]:
    """Returns the groups of each cell as a mask of shape (groups,), by (level, name).

    The overall cell comes first; names are sorted within a level.
    """
    kinds, kind = _kinds(places)
    out = {(OVERALL, OVERALL): np.ones(len(places), bool)}
    for level in LEVELS[1:]:
        of_kind = [getattr(place, level) for place in kinds]
        for name in sorted(set(of_kind)):
            out[level, name] = np.array([other == name for other in of_kind])[kind]
    return out


def _kinds(places: Sequence[Categories]) -> tuple[list[Categories], _Ints]:
    """Returns the different categories, of which there are few, and the index of each group's among them."""
    # Groups share few objects, and hashing an object takes longer than all the rest.
    identities = list(map(id, places))
    numbers: dict[Categories, int] = {}
    of_object = {
        identity: numbers.setdefault(place, len(numbers))
        for identity, place in dict(zip(identities, places, strict=True)).items()
    }
    return list(numbers), np.array([of_object[identity] for identity in identities], np.intp)


def _leaf_indices(places: Sequence[Categories]) -> tuple[_Ints, int]:
    """Returns the index of each group's L3 leaf among the sorted leaves, shape (groups,), and their number."""
    kinds, kind = _kinds(places)
    leaves = sorted({place.l3 for place in kinds})
    return np.array([leaves.index(place.l3) for place in kinds], np.intp)[kind], len(leaves)


def estimate(
    sums: _Floats, sizes: _Floats, trials: _Floats, n: int, *, binary: bool, leaf: _Ints | None = None
) -> stats.Estimate:
    """Computes the value of a cell: the mean over units, its standard error over groups, and its interval.

    Args:
        sums: sum of the scores of each group's units, shape (groups,).
        sizes: number of units of each group, above 0, shape (groups,).
        trials: number of values in each sum, all repeats included, shape (groups,).
        n: number of units; repeats are not counted.
        binary: whether every score is 0 or 1.
        leaf: the leaf of each group, shape (groups,), if the value is an unweighted mean over leaves.
    """
    value, leaf_index = _mean(sums, sizes, leaf)
    if value is None:
        return stats.Estimate(None, n, None, None)
    n_leaves = int(leaf_index.max()) + 1
    if len(sums) == 1:
        return stats.Estimate(value, n, None, stats.wilson(min(1.0, value), 1) if binary else None)
    weights = 1.0 / (np.bincount(leaf_index, sizes)[leaf_index] * n_leaves)
    strata = leaf_index if n_leaves > 1 else None
    se = math.sqrt(mean_variance(weights, sums, sizes, strata).value)
    if binary and strata is None and bool((trials == 1.0).all()):
        return stats.Estimate(value, n, se, stats.wilson(min(1.0, value), len(sums)))
    return stats.Estimate(value, n, se, accuracy_interval(accuracy(weights, sums, sizes, strata)))


def _mean(sums: _Floats, sizes: _Floats, leaf: _Ints | None) -> tuple[float | None, _Ints]:
    """Computes the value of `estimate`, and the number of each group's leaf, from 0, shape (groups,)."""
    if not len(sums):
        return None, np.zeros(0, np.intp)
    if leaf is None:
        return float(sums.sum()) / float(sizes.sum()), np.zeros(len(sums), np.intp)
    leaf_index: _Ints = np.unique(leaf, return_inverse=True)[1]
    n_leaves = int(leaf_index.max()) + 1
    means = [
        float(sums[leaf_index == number].sum()) / float(sizes[leaf_index == number].sum())
        for number in range(n_leaves)
    ]
    return math.fsum(means) / n_leaves, leaf_index


def aggregate(scores: Scores) -> dict[str, Any]:
    """Computes the "aggregates" of result.json.

    They have the form {aggregation: {"overall": cell, "l1": {name: cell}, "l2", "l3"}}. The module's
    docstring describes a cell. Names are sorted; a name is included if one of its groups counts.
    """
    members = members_of([scores.places[index] for index in np.flatnonzero(scores.counted)])
    out: dict[str, Any] = {}
    for name in AGGREGATIONS:
        view = GroupView.of(scores, name)
        levels: dict[str, Any] = {level: {} for level in LEVELS}
        for (level, category), inside in members.items():
            levels[level][category] = _cell(view, inside)
        out[name] = levels | {OVERALL: levels[OVERALL][OVERALL]}
    return out


def overall(scores: Scores, aggregation: str) -> dict[str, Any]:
    """Computes the "overall" cell of one aggregation, as in `aggregate`."""
    view = GroupView.of(scores, aggregation)
    return _cell(view, np.ones(len(view.sums), bool))


@dataclass(frozen=True, slots=True, eq=False)
class GroupView:
    """The data of one aggregation for the groups that count. A pass is one repeat of one group."""

    unit: str
    """"groups" or "rows"."""
    sums: _Floats
    """Sum over the units of each group, averaged over repeats, shape (groups,)."""
    sizes: _Floats
    """Number of units of each group, shape (groups,)."""
    trials: _Floats
    """Number of values in each sum, all repeats included, shape (groups,)."""
    replies: _Floats
    """Number of replies of each group, all repeats included, shape (groups,)."""
    unread: _Floats
    """Number of replies of each group in which no answer was found, shape (groups,)."""
    pass_value: _Floats
    """Mean over the units of each pass, shape (passes,)."""
    pass_owner: _Ints
    """Index of each pass's group, shape (passes,)."""
    repeated: bool
    """Whether any group has a second pass."""
    binary: bool
    """Whether every score of the run is 0 or 1."""
    leaf: _Ints | None
    """L3 leaf of each group, shape (groups,), if the value is an unweighted mean over leaves."""

    @classmethod
    def of(cls, scores: Scores, aggregation: str) -> GroupView:
        all_passes = scores.passes
        counted = all_passes.any(axis=1)
        counts = all_passes[counted]
        n_passes = counts.sum(axis=1).astype(np.float64)
        sizes = unit_counts(scores, aggregation)[counted]
        asked = (scores.rolls == 0 if aggregation == "vanilla0_micro" else np.ones(scores.rolls.size, bool))[
            :, None
        ]
        unread = np.add.reduceat((scores.unread & asked).astype(np.float64), scores.starts)[counted]
        rows = np.add.reduceat(asked[:, 0].astype(np.float64), scores.starts)[counted]
        owner, repeat = np.nonzero(counts & (sizes > 0)[:, None])
        passes = pass_scores(scores.values, scores, aggregation)[counted]
        known = scores.values[~np.isnan(scores.values)]
        leaf = None
        if aggregation == "row_l3_macro":
            leaf = _leaf_indices([scores.places[index] for index in np.flatnonzero(counted)])[0]
        return cls(
            unit=UNITS[aggregation],
            sums=np.where(counts, passes, 0.0).sum(axis=1) / n_passes,
            sizes=sizes,
            trials=sizes * n_passes,
            replies=rows * n_passes,
            unread=np.where(counts, unread, 0.0).sum(axis=1),
            pass_value=passes[owner, repeat] / sizes[owner],
            pass_owner=owner,
            repeated=bool((np.diff(owner) == 0).any()),
            binary=bool(((known == 0.0) | (known == 1.0)).all()),
            leaf=leaf,
        )


def _cell(view: GroupView, inside: _Bools) -> dict[str, Any]:
    members = np.flatnonzero(inside & (view.sizes > 0))
    sums, sizes = view.sums[members], view.sizes[members]
    n = len(members) if view.unit == "groups" else round(float(sizes.sum()))
    leaf = None if view.leaf is None else view.leaf[members]
    n_replies, n_unread = int(view.replies[members].sum()), int(view.unread[members].sum())
    interval_estimate = estimate(sums, sizes, view.trials[members], n, binary=view.binary, leaf=leaf)
    cell: dict[str, Any] = {
        "value": interval_estimate.value,
        "n": interval_estimate.n,
        "n_groups": len(members),
        "se": interval_estimate.se,
        "ci95": None if interval_estimate.ci95 is None else list(interval_estimate.ci95),
        "unread": n_unread / n_replies if n_replies else None,
        "n_unread": n_unread,
    }
    if view.repeated:
        selected = np.isin(view.pass_owner, members)
        cell["variance"] = asdict(
            stats.variance_components(view.pass_value[selected], view.pass_owner[selected])
        )
    return cell
