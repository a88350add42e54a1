"""The scores of a task's replies as arrays, and which of them count.

A group with a reply that could not be scored (an error, or reasoning without a reply: `types.UNSCORED`) is left out
of everything, with all its repeats; so is one repeat of a group in which a copy is missing (a run that was stopped),
and a group without a whole repeat. All aggregations are therefore over the same groups.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.types import Categories, ScoredSample, Status

ABSENT = -1
"""Status number of a reply that is not there."""
STATUSES = tuple(Status)
"""Status by number."""
UNREAD: frozenset[Status] = frozenset({Status.NONE, Status.TRUNCATED, Status.REFUSAL})
"""Statuses of a reply that came but in which no answer was found."""

_READ = np.array([status in (Status.TAG, Status.LENIENT, Status.JUDGE) for status in STATUSES])
_UNREAD = np.array([status in UNREAD for status in STATUSES])


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Rows are samples in the order of their groups, columns the repeats."""

    groups: tuple[str, ...]
    places: tuple[Categories, ...]
    """(groups,)"""
    starts: NDArray[np.intp]
    """(groups,) where each group's rows begin."""
    rolls: NDArray[np.intp]
    """(rows,)"""
    values: NDArray[np.float64]
    """(rows, repeats) scores; NaN for an error, reasoning without a reply, or an absent reply."""
    status: NDArray[np.int8]
    """(rows, repeats) positions in `STATUSES`, or ABSENT."""

    @property
    def sizes(self) -> NDArray[np.intp]:
        """(groups,) rows of each group."""
        return np.diff(self.starts, append=self.rolls.size)

    @property
    def read(self) -> NDArray[np.bool_]:
        """(rows, repeats) whether an answer was found in the reply."""
        return np.asarray(_READ[self.status] & (self.status != ABSENT))

    @property
    def unread(self) -> NDArray[np.bool_]:
        """(rows, repeats) whether a reply came in which no answer was found."""
        return np.asarray(_UNREAD[self.status] & (self.status != ABSENT))

    @property
    def passes(self) -> NDArray[np.bool_]:
        """(groups, repeats) which repeats of a group count: whole, in a group whose replies all have a value."""
        no_value = np.isnan(self.values)
        failed = np.logical_or.reduceat((no_value & (self.status != ABSENT)).any(axis=1), self.starts)
        whole = ~np.logical_or.reduceat(no_value, self.starts, axis=0)
        return np.asarray(whole & ~failed[:, None])

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(groups,) whether any repeat of a group counts."""
        return np.asarray(self.passes.any(axis=1))

    @property
    def excluded(self) -> list[str]:
        """Groups of which no repeat counts, in order."""
        return [self.groups[at] for at in np.flatnonzero(~self.counted)]

    @property
    def status_counts(self) -> dict[str, int]:
        """How many replies have each status, scored or not: those that occur, in the order of `Status`."""
        seen = Counter(self.status[self.status != ABSENT].tolist())
        return {status.value: seen[number] for number, status in enumerate(STATUSES) if seen[number]}


def arrange(scored: Iterable[ScoredSample], copies: Mapping[str, int] | None = None) -> Scores:
    """The scores of replies in any order. A group's place is that of its first row.

    Args:
        scored: replies with their scores, in [0, 1].
        copies: rows that a group has in the task. Without it a group is taken to have the rows that occur in
            any of its repeats, and all rolls up to its highest.

    Raises:
        ValueError: for a score outside [0, 1], or a sample scored twice in one repeat.
    """
    replies = sorted(scored, key=lambda item: (item.group, item.roll, item.id))
    rows: dict[tuple[str, str], int] = {}
    starts: dict[str, int] = {}
    places: list[Categories] = []
    rolls: list[int] = []
    for at, item in enumerate(replies):
        if item.group not in starts:
            starts[item.group] = len(rolls)
            places.append(item.categories)
        if (item.group, item.id) not in rows:
            rows[item.group, item.id] = len(rolls)
            rolls.append(item.roll)
        if at + 1 == len(replies) or replies[at + 1].group != item.group:
            own = len(rolls) - starts[item.group]
            known = 0 if copies is None else copies.get(item.group, 0)
            rolls += [1] * (max(item.roll + 1, known) - own)  # rows of which no reply is there
    n_repeats = max((item.repeat for item in replies), default=0) + 1
    values = np.full((len(rolls), n_repeats), np.nan)
    status = np.full((len(rolls), n_repeats), ABSENT, np.int8)
    for item in replies:
        value, row = item.score.value, rows[item.group, item.id]
        if value is not None and not 0.0 <= value <= 1.0:
            raise ValueError(f"score {value} of sample {item.id} is not in [0, 1]")
        if status[row, item.repeat] != ABSENT:
            raise ValueError("a sample was scored twice in one repeat")
        values[row, item.repeat] = math.nan if value is None else value
        status[row, item.repeat] = STATUSES.index(item.score.status)
    return Scores(
        groups=tuple(starts),
        places=tuple(places),
        starts=np.array(list(starts.values()), np.intp),
        rolls=np.array(rolls, np.intp),
        values=values,
        status=status,
    )
