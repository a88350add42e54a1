"""From scored replies to the aggregates of result.json.

What counts: a group with a reply that could not be scored (an error, or reasoning without a reply: `types.UNSCORED`)
is left out of everything, with all its repeats; so is one repeat of a group in which a copy is missing (a run that
was stopped), and a group without a whole repeat. `excluded_groups` names what was left out. All aggregations are
therefore over the same groups. A group's value is the mean over its repeats, however many it has: the group, not the
reply, is the unit.

Each cell of the aggregates is a JSON object:

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
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench import stats
from ssl4rl_bench.core.types import ScoredSample, Status
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
UNREAD: frozenset[Status] = frozenset({Status.NONE, Status.TRUNCATED, Status.REFUSAL})
"""Statuses of a reply that came but in which no answer was found."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Replies:
    """The replies, ordered by group, repeat, roll and id, and cut into passes: one repeat of one group."""

    rows: list[ScoredSample]
    names: list[str]
    """Groups in order; everything below refers to them by position."""
    value: _Floats
    """(replies,), NaN for one that could not be scored."""
    starts: _Ints
    """(passes,) where each pass begins in `rows`."""
    owner: _Ints
    """(passes,) each pass's group."""
    counts: NDArray[np.bool_]
    """(passes,) whether the pass counts: whole, and in a group with all replies scored."""


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one aggregation sees of the groups that count, numbered from 0 in order."""

    unit: str
    """"groups" or "rows"."""
    sums: _Floats
    """(groups,) sum over the group's units of their mean over repeats."""
    sizes: _Floats
    """(groups,) units in the group: 1 for its circular value, else rows."""
    trials: _Floats
    """(groups,) values that went into `sums`, all repeats."""
    replies: _Floats
    """(groups,) replies, all repeats."""
    unread: _Floats
    """(groups,) those of them in which no answer was found."""
    pass_value: _Floats
    """(passes,) mean over units."""
    pass_owner: _Ints
    """(passes,) each pass's group."""
    binary: bool
    """Whether every score of the run is 0 or 1."""
    repeated: bool
    """Whether any group of the run has a second pass."""
    leaf: _Ints | None = None
    """(groups,) each group's L3 leaf, where the value is a plain mean over leaves."""


def _arrange(scored: Iterable[ScoredSample], copies: Mapping[str, int] | None) -> _Replies:
    rows = sorted(scored, key=lambda s: (s.group, s.repeat, s.roll, s.id))
    n = len(rows)
    index: dict[str, int] = {}
    group = np.fromiter((index.setdefault(s.group, len(index)) for s in rows), np.intp, n)
    repeat = np.fromiter((s.repeat for s in rows), np.intp, n)
    roll = np.fromiter((s.roll for s in rows), np.intp, n)
    value = np.fromiter((math.nan if s.score.value is None else s.score.value for s in rows), np.float64, n)
    for s in rows:
        if s.score.value is not None and not 0.0 <= s.score.value <= 1.0:
            raise ValueError(f"score {s.score.value} of sample {s.id} is not in [0, 1]")
    if len({(s.id, s.repeat) for s in rows}) < n:
        raise ValueError("a sample was scored twice in one repeat")

    starts = np.flatnonzero(np.diff(group, prepend=-1) | np.diff(repeat, prepend=-1))
    owner = group[starts]
    size = np.bincount(
        np.fromiter((index[name] for name, _ in {(s.group, s.id) for s in rows}), np.intp),
        minlength=len(index),
    )
    np.maximum.at(size, group, roll + 1)
    if copies is not None:
        size = np.maximum(size, np.fromiter((copies.get(name, 0) for name in index), np.intp, len(index)))
    failed = np.bincount(group, np.isnan(value), len(index)) > 0
    whole = np.diff(starts, append=n) == size[owner]
    return _Replies(rows, list(index), value, starts, owner, whole & ~failed[owner])


def excluded_groups(scored: Iterable[ScoredSample], copies: Mapping[str, int] | None = None) -> list[str]:
    """Groups that `aggregate` leaves out (see the module's text), sorted. Arguments as there."""
    replies = _arrange(scored, copies)
    kept = set(replies.owner[replies.counts].tolist())
    return [name for position, name in enumerate(replies.names) if position not in kept]


def status_counts(scored: Iterable[ScoredSample]) -> dict[str, int]:
    """How many replies have each status, scored or not: those that occur, in the order of `Status`."""
    seen = [s.score.status for s in scored]
    return {status.value: seen.count(status) for status in Status if status in seen}


def _views(replies: _Replies) -> dict[str, _View]:
    keep = replies.counts
    owner = np.unique(replies.owner[keep], return_inverse=True)[1].astype(np.intp)
    n_passes = np.bincount(owner).astype(np.float64)
    main = np.fromiter((s.roll == 0 for s in replies.rows), np.float64, len(replies.rows))
    unread = np.fromiter((s.score.status in UNREAD for s in replies.rows), np.float64, len(replies.rows))
    binary = bool(np.isin(replies.value[~np.isnan(replies.value)], (0.0, 1.0)).all())

    def per_pass(reply_values: _Floats) -> _Floats:
        return np.asarray(np.add.reduceat(reply_values, replies.starts)[keep])

    def per_group(pass_values: _Floats) -> _Floats:
        return np.bincount(owner, pass_values).astype(np.float64)

    def view(name: str, total: _Floats, units: _Floats, sent: _Floats, lost: _Floats) -> _View:
        """From each pass's sum of values, units, replies and unread replies."""
        has = units > 0
        return _View(
            unit=UNITS[name],
            sums=per_group(total) / n_passes,
            sizes=per_group(units) / n_passes,
            trials=per_group(units),
            replies=per_group(sent),
            unread=per_group(lost),
            pass_value=total[has] / units[has],
            pass_owner=owner[has],
            binary=binary,
            repeated=len(n_passes) < len(owner),
        )

    n_rows, n_main, lost = per_pass(np.ones_like(unread)), per_pass(main), per_pass(unread)
    right, main_right = per_pass(replies.value), per_pass(replies.value * main)
    worst = np.minimum.reduceat(replies.value, replies.starts)[keep]
    views = {
        "circular_micro": view("circular_micro", worst, np.ones_like(worst), n_rows, lost),
        "row_micro": view("row_micro", right, n_rows, n_rows, lost),
        "vanilla0_micro": view("vanilla0_micro", main_right, n_main, n_main, per_pass(unread * main)),
    }
    leaf = np.zeros(len(n_passes), np.intp)
    for number, members in enumerate(_members(replies)["l3"].values()):
        leaf[members] = number
    return views | {"row_l3_macro": replace(views["row_micro"], leaf=leaf)}


def _members(replies: _Replies) -> dict[str, dict[str, _Ints]]:
    """For each level the groups, numbered as in a view, under each name; names sorted."""
    first: dict[int, ScoredSample] = {}
    for group, start, counts in zip(replies.owner, replies.starts, replies.counts, strict=True):
        if counts:
            first.setdefault(int(group), replies.rows[start])
    places = [sample.categories for sample in first.values()]
    out: dict[str, dict[str, _Ints]] = {}
    for level in ("l1", "l2", "l3"):
        at: dict[str, list[int]] = {}
        for position, place in enumerate(places):
            at.setdefault(getattr(place, level), []).append(position)
        out[level] = {name: np.array(at[name], np.intp) for name in sorted(at)}
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


def _estimate(view: _View, members: _Ints) -> stats.Estimate:
    sizes = view.sizes[members]
    return estimate(
        view.sums[members],
        sizes,
        view.trials[members],
        len(members) if view.unit == "groups" else round(float(sizes.sum())),
        binary=view.binary,
        leaf=None if view.leaf is None else view.leaf[members],
    )


def _cell(view: _View, members: _Ints) -> dict[str, Any]:
    members = members[view.sizes[members] > 0]
    estimate = _estimate(view, members)
    n_replies, n_unread = int(view.replies[members].sum()), int(view.unread[members].sum())
    cell: dict[str, Any] = {
        "value": estimate.value,
        "n": estimate.n,
        "n_groups": len(members),
        "se": estimate.se,
        "ci95": None if estimate.ci95 is None else list(estimate.ci95),
        "unread": n_unread / n_replies if n_replies else None,
        "n_unread": n_unread,
    }
    if view.repeated:
        inside = np.isin(view.pass_owner, members)
        components = stats.variance_components(view.pass_value[inside], view.pass_owner[inside])
        cell["variance"] = asdict(components)
    return cell


def aggregate(scored: Iterable[ScoredSample], copies: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The "aggregates" of result.json: {aggregation: {"overall": cell, "l1": {name: cell}, "l2", "l3"}}.

    The module's text says what a cell holds and which groups count. Names are sorted; a name occurs if a
    group of it counts. The order of `scored` does not matter, to the last bit. A group's categories are those
    of its first row.

    Args:
        scored: replies with their scores, in [0, 1].
        copies: rows that a group has in the task. Without it a group is taken to have the rows that occur in
            any of its repeats, and all rolls up to its highest.

    Raises:
        ValueError: for a score outside [0, 1], or a sample scored twice in one repeat.
    """
    replies = _arrange(scored, copies)
    members = _members(replies)
    out: dict[str, Any] = {}
    for name, view in _views(replies).items():
        out[name] = {"overall": _cell(view, np.arange(len(view.sums), dtype=np.intp))}
        for level, names in members.items():
            out[name][level] = {category: _cell(view, at) for category, at in names.items()}
    return out
