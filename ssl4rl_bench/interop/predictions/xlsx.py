"""Reads the first sheet of an Excel file row by row. Formulas are texts; nothing is computed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from ssl4rl_bench.core.errors import DataError, MissingDependency
from ssl4rl_bench.core.parsing import MAX_UNPACKED
from ssl4rl_bench.task.tables.columns import LocatedRow
from ssl4rl_bench.task.tables.parquet import first_line

CELL_UNITS = 32_767
"""The UTF-16 code units of a cell, after which Excel and the writers of .xlsx files cut a text without a mark."""
_MAX_COLUMNS = 1_000
_MAX_EMPTY_ROWS = 10_000
_ESCAPE = re.compile(r"_x(00[01][0-9A-Fa-f]|005[Ff](?=_x[0-9A-Fa-f]{4}_))_")


def read_xlsx(path: Path) -> Iterator[LocatedRow]:
    """Yields the rows below the header; empty rows are left out.

    Raises:
        MissingDependency: openpyxl is not installed.
        DataError: the file is not a workbook, would expand too much, or has a header with a name twice.
    """
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise MissingDependency.of("reading an .xlsx file needs openpyxl", "xlsx") from None
    _check_size(path)
    broken = (InvalidFileException, zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError)
    try:
        book = load_workbook(path, read_only=True, data_only=False, keep_links=False)
    except (*broken, AttributeError, IndexError, OSError, EOFError) as error:
        raise _damaged(path, error) from None
    try:
        yield from _rows(path, book)
    except (*broken, AttributeError, IndexError, OSError, EOFError) as error:
        raise _damaged(path, error) from None
    finally:
        book.close()


def may_be_cut(text: str) -> bool:
    """Whether a text fills a cell, so that its end may be lost. The cut never splits a pair of surrogates."""
    return (
        len(text) >= CELL_UNITS // 2 and len(text.encode("utf-16-le", "surrogatepass")) // 2 >= CELL_UNITS - 1
    )


def _rows(path: Path, book: Any) -> Iterator[LocatedRow]:
    if not book.worksheets:
        raise DataError(f"{path} has no sheet: export the predictions again")
    header: list[str] = []
    n_empty = 0
    for number, values in enumerate(book.worksheets[0].iter_rows(values_only=True), start=1):
        if len(values) > _MAX_COLUMNS:
            raise DataError(f"{path}, row {number} has {len(values):,} columns, which no predictions have")
        cells = [_unescaped(value) if isinstance(value, str) else value for value in values]
        if all(value is None for value in cells):
            n_empty += 1
            if n_empty > _MAX_EMPTY_ROWS:
                raise DataError(f"{path} has more than {_MAX_EMPTY_ROWS:,} empty rows: delete them")
        elif not header:
            header = ["" if value is None else str(value) for value in cells]
            names = [name for name in header if name]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise DataError(f"{path} has the column {twice[:40]!r} twice: remove or rename one of them")
        else:
            yield f"row {number}", {name: value for name, value in zip(header, cells, strict=False) if name}


def _check_size(path: Path) -> None:
    """Refuses a file that is no zip file or whose parts are too large when they are decompressed."""
    try:
        with zipfile.ZipFile(path) as parts:
            sizes = [part.file_size for part in parts.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from None
    if sum(sizes) > MAX_UNPACKED:
        raise DataError(
            f"{path} would expand to {sum(sizes) >> 20:,} MiB, and at most {MAX_UNPACKED >> 20} MiB are read: "
            "save the predictions as TSV"
        )


def _unescaped(text: str) -> str:
    """Undoes the escapes of control characters (ST_Xstring in ECMA-376, part 1, 22.9.2.19): `_x000D_` is one.

    Other escapes are left alone, as most writers do not escape a text that looks like one.
    """
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a complete .xlsx file ({first_line(error)}): copy or export it again")
