"""Reads the rows of a table of predictions from any of the file types in which tools write them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.parsing import MAX_UNPACKED, parse_json
from ssl4rl_bench.interop.predictions.rows import limited, refuse
from ssl4rl_bench.interop.predictions.xlsx import read_xlsx
from ssl4rl_bench.task.tables.columns import Columns, LocatedRow, normal
from ssl4rl_bench.task.tables.files import read_tsv
from ssl4rl_bench.task.tables.parquet import read_parquet

IDS = ("index", "id", "question-id", "doc-id")
"""Columns with the id of a question; the first that a file has counts."""
TEXTS = ("prediction", "text", "reply", "response", "output")
"""Columns with the reply; the first that a file has counts."""
_OTHERS = (
    "task",
    "repeat",
    "finish-reason",
    "error",
    "reasoning",
    "thinking",
    "question",
    "target",
    "answer",
    "hit",
    "score",
)
_COLUMNS = Columns(texts=(*IDS, *TEXTS, *_OTHERS), images=(), title="the columns id and text")
_MAX_LINE = 16 << 20
"""The maximum length in bytes of a line of a JSONL file."""
TABLE_SUFFIXES = (".xlsx", ".tsv", ".csv", ".parquet", ".json", ".jsonl")


def read_rows(path: Path) -> Iterator[LocatedRow]:
    """Yields the rows of a table; their columns have `normal` names.

    Raises:
        DataError: the file cannot be read.
        MissingDependency: an .xlsx file without openpyxl.
    """
    for where, row in limited(path, _raw_rows(path)):
        yield where, row if isinstance(row, str) else _named(row)


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the place and the value of each line of a JSONL file; for a faulty line a `ValueError`.

    Raises:
        DataError: the file cannot be read, or a line is longer than 16 MiB.
    """
    with _opened(path) as file:
        for count, line in enumerate(iter(lambda: file.readline(_MAX_LINE + 1), b""), start=1):
            if len(line) > _MAX_LINE:
                refuse(path, f"has a line {count} of more than {_MAX_LINE >> 20} MiB, which is not read")
            text = line.removeprefix(codecs.BOM_UTF8) if count == 1 else line
            if text.strip():
                try:
                    yield f"line {count}", parse_json(text, nan_is_null=True)
                except ValueError as error:
                    yield f"line {count}", error


def json_file(path: Path) -> Any:
    """Returns the value of a JSON file, with None for NaN.

    Raises:
        DataError: the file cannot be read, is too large, or is not JSON.
    """
    with _opened(path) as file:
        data = file.read(MAX_UNPACKED + 1)
    if len(data) > MAX_UNPACKED:
        refuse(path, f"is larger than {MAX_UNPACKED >> 20} MiB, and is not read: save it as JSONL or TSV")
    try:
        return parse_json(data, nan_is_null=True)
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}): export it again") from None


def _raw_rows(path: Path) -> Iterator[LocatedRow]:
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        return read_xlsx(path)
    if suffix == ".parquet":
        return read_parquet(path, columns=_COLUMNS)
    if suffix in (".tsv", ".csv"):
        return read_tsv(path, columns=_COLUMNS, delimiter="," if suffix == ".csv" else "\t")
    items = json_lines(path) if suffix == ".jsonl" else _records(path)
    return ((where, _object(value)) for where, value in items)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    value = json_file(path)
    if not isinstance(value, list):
        refuse(path, "is not a list of rows: give a list of objects, or JSONL")
    return ((f"row {number}", item) for number, item in enumerate(value, start=1))


def _object(value: Any) -> Mapping[str, Any] | str:
    if isinstance(value, ValueError):
        return f"it is not JSON ({value})"
    return value if isinstance(value, dict) else "it is not an object"


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns that count, by their `normal` names; options are "A" to "Z"."""
    named: dict[str, Any] = {}
    for name, value in row.items():
        form = normal(str(name))
        if form in _COLUMNS.texts or (len(form) == 1 and form in ascii_uppercase):
            named.setdefault(form, value)
    return named


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from None
