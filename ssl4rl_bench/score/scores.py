"""The scores of a task's replies as arrays, and the rules about which of them count.

A group with a reply that could not be scored (an error, or reasoning without a reply: `types.UNSCORED`) is
excluded from all figures, with all its repeats. A repeat of a group with a missing copy (as in a run that was
stopped) is excluded, and so is a group without a complete repeat. All aggregations are therefore over the
same groups.
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
"""The status number of a missing reply."""
STATUSES = tuple(Status)
"""The statuses by number."""
UNREAD: frozenset[Status] = frozenset({Status.NONE, Status.TRUNCATED, Status.REFUSAL})
"""Statuses of a reply in which no answer was found."""

_READ = np.array(
    [status in (Status.TAG, Status.LENIENT, Status.JUDGE, Status.EXTERNAL) for status in STATUSES]
)
_UNREAD = np.array([status in UNREAD for status in STATUSES])


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scores of a task. Rows are samples in the order of their groups; columns are repeats."""

    groups: tuple[str, ...]
    places: tuple[Categories, ...]
    """The categories of each group, length (groups,)."""
    starts: NDArray[np.intp]
    """Index of the first row of each group, shape (groups,)."""
    rolls: NDArray[np.intp]
    """The roll of each row, shape (rows,)."""
    values: NDArray[np.float64]
    """Scores, shape (rows, repeats); NaN for an error, reasoning without a reply, or a missing reply."""
    status: NDArray[np.int8]
    """Indices into `STATUSES`, or ABSENT, shape (rows, repeats)."""

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Number of rows of each group, shape (groups,)."""
        return np.diff(self.starts, append=self.rolls.size)

    @property
    def read(self) -> NDArray[np.bool_]:
        """Whether an answer was found in each reply, shape (rows, repeats). Status "external" counts as found."""
        return np.asarray(_READ[self.status] & (self.status != ABSENT))

    @property
    def unread(self) -> NDArray[np.bool_]:
        """Whether there is a reply in which no answer was found, shape (rows, repeats)."""
        return np.asarray(_UNREAD[self.status] & (self.status != ABSENT))

    @property
    def passes(self) -> NDArray[np.bool_]:
        """Which repeats of each group count, shape (groups, repeats).

        A repeat counts if it is complete and all replies of the group have a value.
        """
        no_value = np.isnan(self.values)
        failed = np.logical_or.reduceat((no_value & (self.status != ABSENT)).any(axis=1), self.starts)
        has_values = ~np.logical_or.reduceat(no_value, self.starts, axis=0)
        return np.asarray(has_values & ~failed[:, None])

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Whether any repeat of each group counts, shape (groups,)."""
        return np.asarray(self.passes.any(axis=1))

    @property
    def excluded(self) -> list[str]:
        """The groups without a repeat that counts, in order."""
        return [self.groups[index] for index in np.flatnonzero(~self.counted)]

    @property
    def status_counts(self) -> dict[str, int]:
        """Number of replies per status that occurs, scored or not, in the order of `Status`."""
        seen = Counter(self.status[self.status != ABSENT].tolist())
        return {status.value: seen[number] for number, status in enumerate(STATUSES) if seen[number]}


def arrange(scored: Iterable[ScoredSample], copies: Mapping[str, int] | None = None) -> Scores:
    """Arranges the scores of replies as arrays. The categories of a group are those of its first row.

    Args:
        scored: replies with their scores, in [0, 1], in any order.
        copies: the number of rows of each group in the task. Without it, a group is assumed to have the rows
            that occur in any of its repeats, and all rolls up to the highest one.

    Raises:
        ValueError: a score is outside [0, 1], or a sample was scored twice in one repeat.
    """
    replies = sorted(scored, key=lambda item: (item.group, item.roll, item.id))
    rows: dict[tuple[str, str], int] = {}
    starts: dict[str, int] = {}
    places: list[Categories] = []
    rolls: list[int] = []
    for index, item in enumerate(replies):
        if item.group not in starts:
            starts[item.group] = len(rolls)
            places.append(item.categories)
        if (item.group, item.id) not in rows:
            rows[item.group, item.id] = len(rolls)
            rolls.append(item.roll)
        if index + 1 == len(replies) or replies[index + 1].group != item.group:
            n_rows = len(rolls) - starts[item.group]
            known = 0 if copies is None else copies.get(item.group, 0)
            rolls += [1] * (max(item.roll + 1, known) - n_rows)  # rows without any reply
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
