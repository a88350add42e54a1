"""The published side of an explanation: a row of a table, or a single number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.published import (
    AVERAGE,
    PublishedRow,
    PublishedTable,
    load_published,
    names,
)
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.run.rundir import RUNS


@dataclass(frozen=True, eq=False)
class PublishedSide:
    """A row of a published table, or a single published number."""

    label: str
    row: PublishedRow
    benchmark: tuple[str, ...]
    """Full names of the tasks that the numbers belong to; empty for a single number, which names none."""
    settings: Mapping[str, Any]
    """The settings that the source states, by name."""
    settings_source: str
    """Where they are stated."""
    columns: tuple[str, ...]
    """The names of the columns that have a number, `AVERAGE` among them or not."""
    precision: float
    """The unit of the last printed digit, as a fraction."""

    def stating(self, name: str, value: Any) -> PublishedSide:
        """Returns a copy whose source also states a setting."""
        return replace(self, settings={**self.settings, name: value})


def published_side(text: str, model: str) -> PublishedSide:
    """Loads the row that is meant by a value of `--against` that names no run.

    Args:
        text: a table's name or file, with ":ROW" or without, or a number in percent.
        model: the model of the run, whose row is taken if none is named.

    Raises:
        UsageError: an unknown name, a table whose row is not clear, or a number above 100.
        DataError: the file does not have the form of a published table.
    """
    number = re.fullmatch(r"(\d{1,3}(?:\.(\d{1,6}))?)\s*%?", text.strip())
    if number:
        value = float(number[1]) / 100.0
        if value > 1.0:
            raise UsageError(f"--against {text} is not a percentage from 0 to 100")
        row = PublishedRow(text, model, {AVERAGE: value})
        return PublishedSide(
            f"the number {number[1]}", row, (), {}, "", (AVERAGE,), 0.01 * 10.0 ** -len(number[2] or "")
        )
    name, _, row_name = text.rpartition(":") if ":" in text else (text, "", "")
    if not name.endswith(".json") and name not in names():
        runs = [path.name for path in RUNS.iterdir()] if RUNS.is_dir() else []
        raise UsageError(
            f"--against {clean(text)} is neither a run nor a published table (there are {', '.join(names())}), nor a "
            f"number in percent{did_you_mean(name, [*names(), *runs])}"
        )
    table = load_published(name)
    row = table.row(row_name) if row_name else _row_of(table, model, name)
    columns = tuple(column for column in table.columns if column in row.values)
    if not columns:
        raise UsageError(
            f"the row {clean(row.name)} of {clean(table.title)} has no numbers: name another row"
        )
    label = f"{clean(row.name)} ({clean(table.title)})"
    return PublishedSide(
        label, row, table.benchmark, table.settings, table.settings_source, columns, _precision(row)
    )


def _row_of(table: PublishedTable, model: str, name: str) -> PublishedRow:
    """Returns the row of the model, or the only row."""
    rows = [row for row in table.rows if model in (row.model, row.name)]
    rows = rows or [row for row in table.rows if Path(row.model).name == Path(model).name]
    if len(rows) == 1 or len(table.rows) == 1:
        return (rows or table.rows)[0]
    known = ", ".join(clean(row.name) for row in table.rows)
    raise UsageError(
        f"{clean(table.title)} has several rows, and not exactly one of the model {clean(model)}: name one, as in "
        f"--against {clean(name)}:{clean(table.rows[0].name)} ({known})"
    )


def _precision(row: PublishedRow) -> float:
    """Returns the unit of the last printed digit of a row, at most two digits after the point of a percentage."""
    percents = [round(100.0 * value, 6) for value in row.values.values()]
    digits = next((digits for digits in (0, 1) if all(round(p, digits) == p for p in percents)), 2)
    return 0.01 * 10.0**-digits
