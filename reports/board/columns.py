"""The columns of a benchmark's tables: MMBench's as in the model card, or those of another benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.result import HEADERS
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.text.cells import Result, dig
from ssl4rl_bench.score.aggregate import OVERALL
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS

MAX_HEADER = 32
"""The maximum length of a header."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a board: a category of a level, with its short header."""

    level: str
    name: str
    header: str


AVERAGE_COLUMN = Column(OVERALL, OVERALL, HEADERS[OVERALL])
COLUMNS: tuple[Column, ...] = (
    *(Column("l2", ability, header) for header, ability in CARD_COLUMNS),
    AVERAGE_COLUMN,
)
"""The columns of SSL4RL's model card: MMBench's abilities in its order, and the average."""


def columns_of(results: Iterable[Result], task: str) -> tuple[Column, ...]:
    """Returns the columns of a task's tables: its abilities, then the average.

    If the task file declares columns, these are used in its order, followed by other abilities in the data. If
    not, a benchmark with any of MMBench's abilities has the columns of the model card, and another one has its
    own abilities in alphabetical order. A benchmark with a single ability has only the average.
    """
    names: set[str] = set()
    declared: dict[str, str] = {}
    for result in results:
        of_task = dig(result, "tasks", task)
        for levels in dig(of_task, "aggregates").values():
            names |= {str(name) for name in dig(levels, "l2")}
        declared |= dict(declared_columns(of_task.get("columns")))
    return chosen_columns(names, declared)


def declared_columns(value: Any) -> list[tuple[str, str]]:
    """Returns the ability and the header of each column in a result's "columns"; other values are ignored."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    pairs = (pair for pair in value if isinstance(pair, Sequence) and len(pair) == 2)
    return [(name, header) for name, header in pairs if isinstance(name, str) and isinstance(header, str)]


def chosen_columns(names: set[str], declared: dict[str, str]) -> tuple[Column, ...]:
    """Returns the columns for the abilities in the data and the declared headers by ability (`columns_of`)."""
    if not declared and (not names or names & {column.name for column in COLUMNS}):
        return COLUMNS
    others = sorted(names - declared.keys())
    if len(declared) + len(others) < 2:
        return (AVERAGE_COLUMN,)
    return (
        *(Column("l2", name, _header(header)) for name, header in declared.items()),
        *(Column("l2", name, _header(name.replace("_", " "))) for name in others),
        AVERAGE_COLUMN,
    )


def _header(name: str) -> str:
    text = clean(name)
    return text if len(text) <= MAX_HEADER else f"{text[: MAX_HEADER - 1]}…"
