"""Reads published tables, whose numbers are shown next to measured ones, visibly apart, and are never tested.

A file is a JSON object with `title`, `source`, `benchmark` (the tasks that its numbers belong to:
["mmbench_dev_en"]), `unit` ("percent" or "fraction"), `columns` (abilities of MMBench and "average") and
`rows`, a list of {`name`, `model`, `values`} with one value per column, or null where nothing is printed.
Optional keys are `printed_maximal_improvement`, with one value per column, `schema` (2; version 1 had no
benchmark), and `settings` with `settings_source`: how the numbers were measured, as far as it is known, and
where this is stated. The names of settings are those of `explaining.kinds.STATED`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.explaining.kinds import STATED
from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.core.names import full_name, short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number, parse_json
from ssl4rl_bench.core.versioned import check_schema
from ssl4rl_bench.score.aggregate import check_aggregation
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS

AVERAGE = "average"
COLUMNS: tuple[str, ...] = (*(ability for _, ability in CARD_COLUMNS), AVERAGE)
"""The valid names of columns."""

_UNITS = {"percent": 100.0, "fraction": 1.0}
SCHEMA = 2
_KEYS = {"title", "source", "benchmark", "unit", "columns", "rows"}
_IMPROVEMENT = "printed_maximal_improvement"
_SETTINGS = ("settings", "settings_source")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """The published numbers of one model."""

    name: str
    """The name of the row, unique in its table: "base", "rotation"."""
    model: str
    """The Hub id of the model."""
    values: Mapping[str, float]
    """The values by column, as fractions. Columns without a number are absent."""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A published table."""

    title: str
    source: str
    benchmark: tuple[str, ...]
    """Full names of the tasks that the numbers belong to. They are shown next to no other task."""
    columns: tuple[str, ...]
    """Names from `COLUMNS`, in the printed order."""
    rows: tuple[PublishedRow, ...]
    improvement: Mapping[str, float]
    """The printed row of maximal improvements by column, as fractions. Not recomputed; may be empty."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How the numbers were measured, by the name of the setting, as far as it is known."""
    settings_source: str = ""
    """Where the settings are stated."""

    def row(self, name: str) -> PublishedRow:
        """Returns the row with a name.

        Raises:
            UsageError: there is no such row.
        """
        for row in self.rows:
            if row.name == name:
                return row
        known = [row.name for row in self.rows]
        raise UsageError(
            f"no published row {clean(name)} in {clean(self.title)} (there are {', '.join(map(clean, known))})"
            f"{did_you_mean(name, known)}"
        )


def names() -> list[str]:
    """Returns the names of the tables that come with the package."""
    folder = files("ssl4rl_bench.reports").joinpath("published")
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_published(name: str | Path) -> PublishedTable:
    """Loads a table by its name or from a file.

    Args:
        name: one of `names()`, or the path of a file (anything that ends in ".json" or has a folder in it).

    Raises:
        UsageError: there is no such table or file.
        DataError: the file does not have this form; names the place and what is expected there.
        UsageError: it states an unknown extractor or aggregation.
    """
    text = str(name)
    if isinstance(name, str) and not text.endswith(".json") and "/" not in text:
        if text not in names():
            raise UsageError(
                f"no published table {clean(text)} (there are {', '.join(names())}){did_you_mean(text, names())}"
            )
        return parse_published(
            files("ssl4rl_bench.reports").joinpath("published", f"{text}.json").read_bytes(), text
        )
    try:
        data = Path(text).read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise UsageError(f"cannot read the published table {clean(text, 200)}: {reason}") from None
    return parse_published(data, clean(text, 200))


def parse_published(data: bytes, where: str) -> PublishedTable:
    """Parses the content of a file.

    Args:
        where: the name of the file in messages.

    Raises:
        DataError: as `load_published`.
    """
    try:
        value = parse_json(data)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}); a published table is one JSON object") from None
    if not isinstance(value, dict):
        raise DataError(f"{where} is not a JSON object")
    check_schema(value, where, SCHEMA, absent=SCHEMA, error=DataError)
    if "benchmark" not in value:
        raise DataError(
            f"{where} has no benchmark, so its numbers could be shown next to those of another one; say which "
            'tasks they are of, as in "benchmark": ["mmbench_dev_en"]'
        )
    _check_keys(where, value, _KEYS, {_IMPROVEMENT, "schema", *_SETTINGS})
    scale = _UNITS.get(value["unit"]) if isinstance(value["unit"], str) else None
    if scale is None:
        raise DataError(f'{where}: unit must be "percent" or "fraction"')
    columns = _columns(where, value["columns"])
    if not isinstance(value["rows"], list) or not value["rows"]:
        raise DataError(f"{where}: rows must be a list with at least one row")
    rows: list[PublishedRow] = []
    for row_number, row in enumerate(value["rows"], start=1):
        place = f"{where}: row {row_number}"
        if not isinstance(row, dict):
            raise DataError(f"{place} is not an object with name, model and values")
        _check_keys(place, row, {"name", "model", "values"}, set())
        name = _text(place, row, "name")
        if name in {other.name for other in rows}:
            raise DataError(f"{place} has the name {clean(name)} again; give each row a different name")
        values = _values(place, row["values"], columns, scale, 0.0)
        rows.append(PublishedRow(name, _text(place, row, "model"), values))
    printed = value.get(_IMPROVEMENT)
    improvement = (
        {} if printed is None else _values(f"{where}: {_IMPROVEMENT}", printed, columns, scale, -1.0)
    )
    return PublishedTable(
        _text(where, value, "title"),
        _text(where, value, "source"),
        _benchmark(where, value["benchmark"]),
        columns,
        tuple(rows),
        improvement,
        *_settings(where, value),
    )


def check_benchmarks(tables: Sequence[PublishedTable], tasks: Sequence[str]) -> None:
    """Checks that each table belongs to one of the tasks that it is shown next to.

    Args:
        tasks: full names of the benchmarks that are shown.

    Raises:
        UsageError: a table belongs to none of them.
    """
    for table in tables:
        if not set(table.benchmark) & set(tasks):
            raise UsageError(
                f"--published: {clean(table.title)} belongs to {_listed(table.benchmark)}, and the runs to "
                f"{_listed(tasks) or 'no benchmark'}: published numbers are shown only next to the same benchmark; "
                "leave the table out, or show runs of that benchmark"
            )


def _listed(tasks: Sequence[str]) -> str:
    return ", ".join(clean(short_name(name)) for name in tasks)


def _benchmark(where: str, value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise DataError(f'{where}: benchmark must be a list of task names, such as ["mmbench_dev_en"]')
    full = tuple(full_name(name) for name in names)
    for name in full:
        if not re.fullmatch(r"\w{1,100}", name):
            raise DataError(
                f"{where}: benchmark {clean(name)} is not the name of a task, such as mmbench_dev_en"
            )
    return full


def _settings(where: str, value: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Returns the stated settings and their source, both empty if the file has none.

    Raises:
        DataError: they do not have this form.
        UsageError: an unknown extractor or aggregation.
    """
    if _SETTINGS[0] not in value:
        return {}, ""
    stated = value[_SETTINGS[0]]
    if not isinstance(stated, dict):
        raise DataError(f'{where}: settings must be an object, such as {{"max_tokens": 2048}}')
    for name, item in stated.items():
        if name not in STATED:
            raise DataError(
                f"{where}: no setting {clean(name)} (known: {', '.join(STATED)}){did_you_mean(name, STATED)}"
            )
        if not isinstance(item, str | int | float) or isinstance(item, bool):
            raise DataError(f"{where}: the setting {name} is not a text or a number")
    for name, check in (("extractor", check_extractor), ("aggregation", check_aggregation)):
        if name in stated:
            check(str(stated[name]))
    if _SETTINGS[1] not in value:
        raise DataError(f"{where} has settings and no settings_source; say where they are stated")
    return stated, _text(where, value, _SETTINGS[1])


def _check_keys(where: str, value: Mapping[str, Any], needed: set[str], optional: set[str]) -> None:
    if missing := sorted(needed - value.keys()):
        raise DataError(f"{where} has no {missing[0]}; it needs {', '.join(sorted(needed))}")
    if unknown := sorted(value.keys() - needed - optional):
        raise DataError(
            f"{where} has an unknown key {clean(unknown[0])}{did_you_mean(unknown[0], needed | optional)}"
        )


def _text(where: str, value: Mapping[str, Any], key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: {key} must be a non-empty string")
    return text


def _columns(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: columns must be a list of names ({', '.join(COLUMNS)})")
    for name in value:
        if name not in COLUMNS:
            raise DataError(
                f"{where}: no column {clean(name)} (known: {', '.join(COLUMNS)}){did_you_mean(str(name), COLUMNS)}"
            )
    if len(set(value)) < len(value):
        raise DataError(f"{where}: a column appears twice in columns")
    return tuple(value)


def _values(where: str, value: object, columns: Sequence[str], scale: float, low: float) -> dict[str, float]:
    """Returns the values by column, as fractions; `low` is the smallest valid fraction."""
    if not isinstance(value, list) or len(value) != len(columns):
        raise DataError(f"{where} needs {len(columns)} values, one for each column")
    out = {}
    for column, item in zip(columns, value, strict=True):
        if item is None:
            continue
        printed = number(item)
        if printed is None or not low <= printed / scale <= 1.0:
            raise DataError(
                f"{where}: {clean(item)} under {column} is not a number from {low * scale:g} to {scale:g}"
            )
        out[column] = printed / scale
    return out
