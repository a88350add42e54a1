"""Which of a reward's tasks the rows of a `task` column are of."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Hashable, Iterable, Sequence
from functools import cache

from ssl4rl_bench.core.errors import DataError, did_you_mean
from ssl4rl_bench.core.names import PREFIX, short_name
from ssl4rl_bench.task.taskfile import task_names as all_names

ALIKE = 0.8
"""Share of letters (`difflib`) from which on an unknown name is taken for a misspelt one."""
SHOWN = 5
"""Unknown names that a message tells."""


def task_names(
    column: Iterable[object], tasks: Collection[str], other_tasks: Iterable[str] = ()
) -> list[str | None]:
    """For each row the one of a reward's tasks that it is of, or None for a row that another reward answers for.

    A name counts with and without the prefix "ssl4rl_".

    Args:
        tasks: of the reward.
        other_tasks: of other rewards, beside this project's own.

    Raises:
        DataError: for a name that is close to that of an SSL task and is none; if no row's name is known.
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
    # A name as it is comes first, in case a reward has two that differ in the prefix alone.
    return [str(value) if value in tasks else ours.get(short_name(str(value))) for value in column]


@cache
def _registered() -> frozenset[str]:
    return frozenset(map(short_name, all_names()))


def _misspelt(value: object, ours: Iterable[str]) -> bool:
    """Whether a name that is unknown was meant for an SSL task."""
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
        f"the column 'task' has {shown}, which is no task of this reward ({', '.join(tasks)}){hint}; correct "
        "the column, or name the tasks of other reward functions in other_tasks"
    )
