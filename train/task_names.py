"""Matches the values of a `task` column with the tasks of a reward. `SSLReward` calls it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Hashable, Iterable, Sequence
from functools import cache

from ssl4rl_bench.core.errors import DataError, did_you_mean
from ssl4rl_bench.core.names import PREFIX, short_name
from ssl4rl_bench.task import taskfile

ALIKE = 0.8
"""Similarity (`difflib`'s ratio) from which on an unknown name counts as misspelt."""
SHOWN = 5
"""The maximum number of unknown names in a message."""


def column_task_names(
    column: Iterable[object], tasks: Collection[str], other_tasks: Iterable[str] = ()
) -> list[str | None]:
    """Returns for each row the name of the reward's task, or None for a row that another reward handles.

    Names match with and without the prefix "ssl4rl_".

    Args:
        tasks: the tasks of the reward.
        other_tasks: the tasks of other rewards, in addition to all tasks of this project.

    Raises:
        DataError: a name is not that of an SSL task but resembles one, or no row has a known name.
    """
    column = [value if isinstance(value, Hashable) else str(value) for value in column]
    ours = {short_name(name): name for name in tasks}
    known = {*ours, *map(short_name, other_tasks), *_registered()}
    distinct = list(dict.fromkeys(column))
    unknown = [value for value in distinct if short_name(str(value)) not in known]
    if unknown and len(unknown) == len(distinct):
        raise _error(unknown, tasks)
    for value in unknown:
        if _misspelt(value, ours):
            raise _error([value], tasks)
    # An exact match comes first, because two of the reward's names may differ only in the prefix.
    return [str(value) if value in tasks else ours.get(short_name(str(value))) for value in column]


@cache
def _registered() -> frozenset[str]:
    return frozenset(map(short_name, taskfile.task_names()))


def _misspelt(value: object, ours: Iterable[str]) -> bool:
    """Whether an unknown name was probably meant to be that of an SSL task."""
    if not isinstance(value, str):
        return False
    short = "_".join(short_name(value.strip().casefold().replace("-", "_")).split())
    known = [*ours, *(name for name in _registered() if name.startswith("ssl_"))]
    bare = [name.removeprefix("ssl_") for name in known]
    return short.startswith("ssl") or bool(difflib.get_close_matches(short, [*known, *bare], 1, ALIKE))


def _error(unknown: Sequence[object], tasks: Collection[str]) -> DataError:
    shown = ", ".join(repr(value) for value in unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
    hint = did_you_mean(str(unknown[0]), [*tasks, *(PREFIX + name for name in sorted(_registered()))])
    return DataError(
        f"the column 'task' has {shown}, which is not a task of this reward ({', '.join(tasks)}){hint}; correct "
        "the column, or name the tasks of other reward functions in other_tasks"
    )
