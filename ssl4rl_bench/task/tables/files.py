"""Reads rows from files: VLMEvalKit's TSV, and parquet as one file or a folder of shards.

Rows are read one after another, so that a file of any size needs memory for its distinct images only. A
small file cannot use much memory: lines and cells are limited, and the headers of parquet pages are checked
before the pages are decompressed (`parquet_pages`).
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.images import MAX_BASE64_CHARS
from ssl4rl_bench.task.tables.columns import MMBENCH, Columns, LocatedRow, OnShare, check_names
from ssl4rl_bench.task.tables.parquet import read_parquet

MAX_RECORD_CHARS = 128 << 20
"""The maximum length of a TSV row with all its lines."""
_REPORT_EVERY = 1000
"""The number of rows of a TSV file between two calls of `OnShare`."""


def read_path(
    path: Path,
    *,
    columns: Columns = MMBENCH,
    folder: str | None = None,
    split: str | None = None,
    images: bool = True,
    on_share: OnShare | None = None,
) -> Iterator[LocatedRow]:
    """Returns the rows of a TSV file, a parquet file, or a folder with parquet files.

    Args:
        columns: The columns that are read; a TSV file's rows contain all of their columns.
        folder: In a folder, prefer the shards under a sub-folder of this name (a hub data set's "en").
        split: In a folder, prefer the shards whose names start with this ("dev-00000-of-00002.parquet").
        images: If False, images are left out where this saves reading them: their column is then None.
        on_share: Callback that receives the share that has been read.

    Raises:
        DataError: if there is no such file, or it does not have the expected format.
    """
    if not path.is_dir():
        return _read_file(path, columns, images, on_share)
    shards = [(str(shard.relative_to(path)), shard) for shard in _shards(path, folder, split)]
    return read_files(shards, columns=columns, images=images, on_share=on_share)


def read_files(
    files: Sequence[tuple[str, Path]],
    *,
    columns: Columns = MMBENCH,
    images: bool = True,
    on_share: OnShare | None = None,
) -> Iterator[LocatedRow]:
    """Yields the rows of several TSV or parquet files; the place of a row includes the name of its file.

    Raises:
        DataError: as for `read_path`.
    """
    sizes = [file.stat().st_size for _, file in files]
    total, before = max(1, sum(sizes)), 0
    for (name, file), size in zip(files, sizes, strict=True):

        def report(share: float, before: int = before, size: int = size) -> None:
            if on_share is not None:
                on_share((before + share * size) / total)

        for where, row in _read_file(file, columns, images, report):
            yield f"{name}, {where}", row
        before += size


def _read_file(path: Path, columns: Columns, images: bool, on_share: OnShare | None) -> Iterator[LocatedRow]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    if start == b"PK\x03\x04":
        raise DataError(f"{path} is an Excel or zip file: save the sheet as TSV (tab-separated UTF-8).")
    if start == b"PAR1":
        yield from read_parquet(path, columns=columns, images=images, on_share=on_share)
    else:
        yield from read_tsv(path, columns=columns, on_share=on_share)


def read_tsv(
    path: Path, *, columns: Columns = MMBENCH, on_share: OnShare | None = None, delimiter: str = "\t"
) -> Iterator[LocatedRow]:
    """Yields the rows of a tab-separated UTF-8 file with a header and pandas' quoting.

    Args:
        delimiter: "," for a file that is separated by commas.

    Raises:
        DataError: if it has another format, a column occurs twice, or a row is longer than
            `MAX_RECORD_CHARS`.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_BASE64_CHARS))
    size = max(1, path.stat().st_size)
    line = 1
    try:
        with path.open("rb") as binary:
            records = _records(_lines(binary), delimiter)
            header, n_lines = next(records, ([], 0))
            if not header:
                raise DataError(f"{path} is empty: give a TSV or parquet file with {columns.title}.")
            _check_header(path, header, columns, delimiter)
            line += n_lines
            for number, (fields, n_lines) in enumerate(records):
                # The limit of the csv module is global to the process, and other code may have raised it.
                if max(map(len, fields), default=0) > MAX_BASE64_CHARS:
                    raise csv.Error(f"a field is larger than {MAX_BASE64_CHARS} characters")
                if on_share is not None and number % _REPORT_EVERY == 0:
                    on_share(binary.tell() / size)
                if len(fields) == len(header):
                    yield f"line {line}", dict(zip(header, fields, strict=True))
                elif fields:
                    yield f"line {line}", f"it has {len(fields)} columns where the header has {len(header)}"
                line += n_lines
    except _TooLong:
        raise DataError(
            f"{path}, line {line} is longer than {MAX_RECORD_CHARS >> 20} MiB: check the quotes and line ends "
            "from there on."
        ) from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is not UTF-8 text, in line {_undecodable(path)}: save it as UTF-8."
        ) from None
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line} is not a row of a TSV ({error}): check the quotes from there on."
        ) from None


class _TooLong(Exception):
    """A row is longer than `MAX_RECORD_CHARS`."""


_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)|[^\r\n]++")


def _lines(file: BinaryIO) -> Iterator[str]:
    r"""Yields the lines of a UTF-8 file with their ends, which are \n, \r\n or \r.

    This is six times as fast as `io.TextIOWrapper`, which decodes lines of 90 kB in pieces.

    Raises:
        _TooLong: a line has more than `MAX_RECORD_CHARS` bytes.
        UnicodeDecodeError: a line is not UTF-8.
    """
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    while line := file.readline(MAX_RECORD_CHARS + 1):
        if len(line) > MAX_RECORD_CHARS:
            raise _TooLong
        text = line.decode()
        if "\r" not in text.removesuffix("\r\n"):
            yield text
        else:
            yield from _LINE.findall(text)


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[list[str], int]]:
    """Yields the fields of each record, and its number of lines.

    A line without a quote is a complete record; splitting it is four times as fast as the csv module, which
    matters for lines of 60 kB.
    """
    for line in lines:
        if '"' in line:
            reader = csv.reader(_limited(chain((line,), lines)), delimiter=delimiter)
            yield next(reader), reader.line_num
        else:
            bare = line.rstrip("\r\n")
            yield bare.split(delimiter) if bare else [], 1


def _limited(lines: Iterable[str]) -> Iterator[str]:
    """Yields the lines of one record, and raises `_TooLong` if they are too long together."""
    n_chars = 0
    for line in lines:
        n_chars += len(line)
        if n_chars > MAX_RECORD_CHARS:
            raise _TooLong
        yield line


def _check_header(path: Path, header: list[str], columns: Columns, delimiter: str) -> None:
    if len(header) > 1:
        check_names(path, header, columns)
        return
    if delimiter == ",":
        raise DataError(f"{path} is not separated by commas: give a CSV file with {columns.title}.")
    if "," in header[0]:
        raise DataError(f"{path} is separated by commas: save it as TSV (tab-separated UTF-8).")
    raise DataError(f"{path} is not tab-separated: give a TSV or parquet file with {columns.title}.")


def _undecodable(path: Path) -> int:
    """Returns the number of the first line that is not UTF-8. The reader decodes ahead, so it cannot tell."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    raise AssertionError("called for a file that is UTF-8")


def _shards(path: Path, folder: str | None, split: str | None) -> list[Path]:
    shards = sorted(path.rglob("*.parquet"))
    if not shards:
        raise DataError(f"{path} has no .parquet files: give the folder of the shards, or a file.")
    inside = [shard for shard in shards if folder in shard.relative_to(path).parts[:-1]]
    shards = inside or shards
    return [shard for shard in shards if split and shard.name.startswith(split)] or shards
