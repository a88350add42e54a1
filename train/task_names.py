"""Which of a reward's tasks the rows of a `task` column are of."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from ssl4rl_bench.core.errors import DataError, did_you_mean
from ssl4rl_bench.core.names import PREFIX, short_name
from ssl4rl_bench.task.taskfile import task_names as all_names

ALIKE = 0.8
"""Share of letters (`difflib`) from which on an unknown name is taken for a misspelt one."""
SHOWN = 5
"""Unknown names that a message tells."""


class Rewarding(Protocol):
    """What `rewards.SSLReward` has."""

    @property
    def tasks(self) -> Mapping[str, Any]: ...

    @property
    def other_tasks(self) -> tuple[str, ...]: ...


def task_names(column: Iterable[object], reward: Rewarding) -> list[str | None]:
    """For each row the key of `reward.tasks`, or None for a row that another reward answers for.

    A name counts with and without the prefix "ssl4rl_".

    Raises:
        DataError: for a name that is close to that of an SSL task and is none; if no row's name is known.
    """
    column = [value if isinstance(value, Hashable) else str(value) for value in column]
    ours = _by_short(reward.tasks)
    others = {*_by_short(reward.other_tasks), *_registered()}
    unknown = []
    known = not column
    for value in dict.fromkeys(column):
        short = _short(value)
        if short in ours or short in others:
            known = True
        else:
            unknown.append(value)
    for value in unknown:
        if not known or _misspelt(value, ours):
            raise _error(unknown if not known else [value], reward)
    # A name as it is comes first, in case a reward has two that differ in the prefix alone.
    return [str(value) if value in reward.tasks else ours.get(_short(value)) for value in column]


def _by_short(names: Iterable[str]) -> dict[str, str]:
    return {_short(name): name for name in names}


def _short(value: object) -> str:
    return short_name(str(value))


@cache
def _registered() -> frozenset[str]:
    return frozenset(_by_short(all_names()))


def _misspelt(value: object, ours: Iterable[str]) -> bool:
    """Whether a name that is unknown was meant for an SSL task."""
    if not isinstance(value, str):
        return False
    short = "_".join(_short(value.strip().casefold().replace("-", "_")).split())
    known = [*ours, *(name for name in _registered() if name.startswith("ssl_"))]
    bare = [name.removeprefix("ssl_") for name in known]
    return short.startswith("ssl") or bool(difflib.get_close_matches(short, [*known, *bare], 1, ALIKE))


def _error(unknown: Sequence[object], reward: Rewarding) -> DataError:
    shown = ", ".join(repr(value) for value in unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
    hint = did_you_mean(str(unknown[0]), [*reward.tasks, *(PREFIX + name for name in sorted(_registered()))])
    return DataError(
        f"the column 'task' has {shown}, which is no task of this reward ({', '.join(reward.tasks)}){hint}; correct "
        "the column, or name the tasks of other reward functions in other_tasks"
    )
