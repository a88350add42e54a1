"""Writes tables of outside text as xlsx and tsv files that come back unchanged, or refuses by row and column.

Neither format holds every text. A spreadsheet's cell has at most 32,767 UTF-16 units, and its XML no control
characters. openpyxl cuts a longer text, and XML parsers read a carriage return as a line feed. pandas, with which
VLMEvalKit reads files, ends a text at a NUL. Nothing is cut or replaced here; the error names another format.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ssl4rl_bench.core.errors import DataError, MissingDependency
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.interop.predictions.xlsx import CELL_UNITS

MAX_CELL = CELL_UNITS - 2
"""The longest text in UTF-16 units. One that fills its cell counts as a cut one (`predictions.xlsx.may_be_cut`)."""
MAX_ROWS = 1_048_576
"""The rows of a sheet (Microsoft, "Excel specifications and limits")."""

Cell = str | int | None
_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that XML 1.0 does not allow, and the carriage return, which its parsers replace."""
_ESCAPE = re.compile("_x[0-9A-Fa-f]{4}_")
"""What spreadsheets show as one character (ECMA-376, ST_Xstring), and pandas as it stands."""
_NOT_IN_UTF8 = re.compile("[\ud800-\udfff]")
_NOT_IN_TSV = re.compile("[\0\ud800-\udfff]")


def xlsx_bytes(name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """Returns a workbook with one sheet. Texts are text cells, so that none becomes a formula or a number.

    Args:
        name: the name of the file, for messages.
        rows: the cells of each row, the first of which identifies it in messages. None is an empty cell.

    Raises:
        MissingDependency: openpyxl is not installed.
        DataError: a text that a cell cannot hold, or too many rows; names the row, the column and another format.
    """
    if len(rows) >= MAX_ROWS:
        raise DataError(
            f"{name}: a sheet holds {MAX_ROWS - 1:,} rows, and there are {len(rows):,}; write .tsv"
        )
    for column, row, text in _texts(columns, rows):
        if match := _NOT_IN_XML.search(text):
            fix = "--to lm-eval" if match[0] == "\0" or _NOT_IN_UTF8.match(match[0]) else "a .tsv file"
            raise _refused(name, column, row, _called(match[0]), fix)
        if match := _ESCAPE.search(text):
            reason = f"{match[0]}, which spreadsheets take for one character"
            raise _refused(name, column, row, reason, "a .tsv file")
        if (length := len(text.encode("utf-16-le")) // 2) > MAX_CELL:
            reason = f"{length:,} characters, which a cell of {CELL_UNITS:,} may cut"
            raise _refused(name, column, row, reason, "a .tsv file")
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
    except ModuleNotFoundError:
        raise MissingDependency.of("xlsx files need openpyxl", "xlsx") from None
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")

    def cell(value: Cell) -> object:
        made = WriteOnlyCell(sheet, value=value)
        if isinstance(value, str):
            made.data_type = "s"  # openpyxl takes "=..." for a formula and "#N/A" for an error
        return made

    sheet.append([cell(column) for column in columns])
    for values in rows:
        sheet.append([cell(value) for value in values])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def tsv_bytes(name: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Returns a table with tabs in which every cell is quoted, as VLMEvalKit writes it (`smp/file.py`, `dump_tsv`).

    Raises:
        DataError: a text with a NUL or a lone surrogate; names the row, the column and another format.
    """
    table = list(rows)
    for column, row, text in _texts(columns, table):
        if match := _NOT_IN_TSV.search(text):
            raise _refused(name, column, row, _called(match[0]), "--to lm-eval")
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows(table)
    return stream.getvalue().encode("utf-8")


def check_utf8(name: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Checks that no text has a lone surrogate, which UTF-8 does not have.

    Raises:
        DataError: names the row and the column.
    """
    for column, row, text in _texts(columns, rows):
        if match := _NOT_IN_UTF8.search(text):
            raise _refused(name, column, row, _called(match[0]), "--to lm-eval")


def file_bytes(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """Returns the table in the format of the file's suffix, `.xlsx` or `.tsv`.

    Raises:
        MissingDependency, DataError: as `xlsx_bytes` and `tsv_bytes`.
    """
    return (xlsx_bytes if path.suffix == ".xlsx" else tsv_bytes)(path.name, columns, rows)


def _texts(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterable[tuple[str, Cell, str]]:
    """Yields the column, the first cell of the row, and the text of each cell that holds one."""
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            if isinstance(value, str):
                yield column, row[0], value


def _called(character: str) -> str:
    return f"the character U+{ord(character):04X}"


def _refused(name: str, column: str, row: Cell, reason: str, fix: str) -> DataError:
    return DataError(
        f"{name} cannot hold row {one_line(str(row))}: its {column} has {reason}; write {fix} instead"
    )
