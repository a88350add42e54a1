"""Reads the sizes of a parquet file's pages from their headers, before any page is decompressed.

pyarrow decompresses complete pages, allocates the size in a page's header, and does not expose these
headers. The file's metadata, which it does expose, contains only what the writer claims for a whole column
(and pyarrow 26 aborts the process if some of it is damaged). `parquet` therefore calls this module
first, so that a small file cannot use all memory.

The format: https://github.com/apache/parquet-format (FileMetaData and PageHeader, in Thrift's compact
protocol).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from ssl4rl_bench.core.errors import DataError

BYTE_ARRAY = 6
"""The physical type of text and bytes columns."""

MAX_FOOTER_BYTES = 32 << 20
"""The maximum size of a parquet file's metadata, which is parsed as a whole."""
MAX_PAGE_BYTES = 64 << 20
"""The maximum size of a decompressed page that is more than `MAX_PAGE_RATIO` times its size in the file."""
MAX_PAGE_RATIO = 20
MAX_TOTAL_BYTES = 256 << 20
"""The maximum size of all decompressed pages if it is more than `MAX_TOTAL_RATIO` times that of the file."""
MAX_TOTAL_RATIO = 50
MAX_SMALL_ROWS = 100_000
"""The maximum number of rows of a parquet file with fewer bytes than rows."""
_BATCH_ROWS = 64
_BATCH_BYTES = 32 << 20

_Wanted: TypeAlias = Mapping[int, "_Wanted | None"]
"""The fields of a struct to keep, by their ids; None for a field that is not a struct or list of structs."""

_FOOTER: _Wanted = {4: {1: {3: {1: None, 3: None, 7: None, 9: None, 11: None}}}}
_PAGE: _Wanted = {2: None, 3: None, 5: {1: None, 2: None}, 7: {1: None}, 8: {1: None, 4: None}}
_HEADER = 4096
"""Bytes: enough for most page headers."""
_MAX_HEADER = 1 << 20
"""Bytes: enough for all page headers, which may contain a column's smallest and largest value."""
_DEPTH = 16
_DELTA_BYTE_ARRAY = 7
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column of one row group."""

    path: str
    """The column's name; the path of a field in a struct has dots."""
    physical: int
    """The column's physical type, such as `BYTE_ARRAY`."""
    start: int
    end: int
    """The range of bytes of its pages in the file, without `end`."""


@dataclass(frozen=True, slots=True)
class Page:
    """The contents of a page's header."""

    dictionary: bool
    prefixes: bool
    """Whether values may repeat a prefix of the previous one (DELTA_BYTE_ARRAY), which the size omits."""
    n_values: int
    compressed: int
    """The number of bytes in the file."""
    uncompressed: int
    """The number of bytes that the reader allocates."""


def check_footer(path: Path) -> None:
    """Raises DataError for a file with more metadata than `MAX_FOOTER_BYTES`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(-min(8, size), 2)
        end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] == b"PAR1" and MAX_FOOTER_BYTES < length < size:
        raise DataError(
            f"{path} has {length >> 20} MiB of metadata, and at most {MAX_FOOTER_BYTES >> 20} MiB are read: write it "
            "with fewer columns or row groups."
        )


def check_pages(path: Path, raw: Any, file: Any, leaves: set[str]) -> tuple[list[str], list[int]]:
    """Checks the sizes of a file's pages.

    Returns:
        The names of the dictionary-coded columns, and the number of rows per batch for each row group.

    Raises:
        DataError: if the pages of these columns expand too much.
        ValueError: for a damaged page header.
    """
    n_rows, size = file.metadata.num_rows, path.stat().st_size
    if n_rows > max(MAX_SMALL_ROWS, size):
        raise DataError(
            f"{path} claims {n_rows:,} rows in {size:,} bytes, which is not plausible: give another file."
        )
    coded: set[str] = set()
    batch_rows: list[int] = []
    total = 0
    for group in row_groups(raw):
        largest = 1
        for chunk in group:
            if chunk.path not in leaves:
                continue
            for page in pages(raw, chunk):
                total += page.uncompressed
                if page.uncompressed > max(MAX_PAGE_BYTES, MAX_PAGE_RATIO * page.compressed):
                    raise _expands(path, chunk.path, page.compressed, page.uncompressed)
                if page.dictionary and chunk.physical == BYTE_ARRAY:
                    coded.add(chunk.path)
                elif not page.dictionary:
                    values = 1 if page.prefixes else max(1, page.n_values)
                    largest = max(largest, page.uncompressed // values)
        batch_rows.append(max(1, min(_BATCH_ROWS, _BATCH_BYTES // largest)))
    if len(batch_rows) != file.metadata.num_row_groups:
        raise ValueError("its footer is damaged")
    if total > max(MAX_TOTAL_BYTES, MAX_TOTAL_RATIO * size):
        raise _expands(path, "", size, total)
    return sorted(coded), batch_rows


def _expands(path: Path, column: str, before: int, after: int) -> DataError:
    what = f"its column {column!r}" if column else "it"
    return DataError(
        f"{path} is not read, since {what} would expand from {before:,} bytes to {after >> 20} MiB, which no "
        "real data does: give another file."
    )


def row_groups(file: BinaryIO) -> list[list[Chunk]]:
    """Returns the column chunks of each row group, from the footer.

    Raises:
        ValueError: for a damaged footer.
    """
    file.seek(-8, 2)
    end = file.tell()
    length = int.from_bytes(file.read(4), "little")
    if length > end:
        raise ValueError("the footer is longer than the file")
    file.seek(end - length)
    try:
        groups = _Compact(file.read(length)).struct(_FOOTER).get(4, [])
        return [[_chunk(column[3]) for column in group[1]] for group in groups]
    except (_CutOff, KeyError, TypeError, AttributeError):
        raise ValueError("the footer is damaged") from None


def pages(file: BinaryIO, chunk: Chunk) -> Iterator[Page]:
    """Yields the pages of a column chunk, in order.

    Raises:
        ValueError: for headers that are damaged, or do not fill the chunk.
    """
    offset = chunk.start
    while offset < chunk.end:
        fields, length = _header(file, offset, chunk.end)
        sizes = fields.get(2), fields.get(3)
        body: dict[int, Any] = next(
            (fields[key] for key in (5, 7, 8) if isinstance(fields.get(key), dict)), {}
        )
        n_values, encoding = body.get(1, 0), body.get(4 if 8 in fields else 2)
        uncompressed, compressed = (size if isinstance(size, int) else -1 for size in sizes)
        if min(uncompressed, compressed) < 0 or not isinstance(n_values, int) or n_values < 0:
            raise ValueError("a page has a damaged header")
        yield Page(7 in fields, encoding == _DELTA_BYTE_ARRAY, n_values, compressed, uncompressed)
        offset += length + compressed
    if offset != chunk.end:
        raise ValueError("a page reaches beyond its column")


def _chunk(column: Mapping[int, Any]) -> Chunk:
    path = ".".join(part.decode("utf-8", "replace") for part in column[3])
    start, first = int(column[9]), column.get(11)
    if isinstance(first, int) and 0 < first < start:
        start = first
    if start < 0 or column[7] < 0:
        raise ValueError("the footer is damaged")
    return Chunk(path, int(column[1]), start, start + int(column[7]))


def _header(file: BinaryIO, offset: int, end: int) -> tuple[dict[int, Any], int]:
    """Returns the fields and the length of a page header."""
    for most in (_HEADER, _MAX_HEADER):
        file.seek(offset)
        reader = _Compact(file.read(min(most, end - offset)))
        try:
            return reader.struct(_PAGE), reader.offset
        except _CutOff:
            continue
    raise ValueError("a page's header is cut off")


class _CutOff(Exception):
    """The data ends within a value."""


class _Compact:
    """A reader of Thrift's compact protocol that keeps only the wanted fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def struct(self, wanted: _Wanted, depth: int = 0) -> dict[int, Any]:
        """Reads a struct, and returns the wanted fields by their ids."""
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            kind, step = head & 15, head >> 4
            number = number + step if step else self._int()
            if kind in (_TRUE, _FALSE):
                continue
            value = self._value(kind, wanted.get(number), depth + 1)
            if number in wanted:
                fields[number] = value
        return fields

    def _value(self, kind: int, wanted: _Wanted | None, depth: int) -> Any:
        if depth > _DEPTH:
            raise ValueError("a header is nested too deeply")
        if kind in (_TRUE, _FALSE, _BYTE):  # booleans take one byte in lists
            return self._byte()
        if kind in _INTEGERS:
            return self._int()
        if kind == _STRUCT:
            return self.struct(wanted or {}, depth)
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in _LISTS:
            head = self._byte()
            length = head >> 4 if head >> 4 != 15 else self._varint()
            return [self._value(head & 15, wanted, depth + 1) for _ in range(length)]
        raise ValueError("a header contains a value of an unknown type")

    def _byte(self) -> int:
        if self.offset >= len(self._data):
            raise _CutOff
        self.offset += 1
        return self._data[self.offset - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a header contains an unterminated number")

    def _int(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _bytes(self, n_bytes: int) -> bytes:
        self.offset += n_bytes
        if self.offset > len(self._data):
            raise _CutOff
        return self._data[self.offset - n_bytes : self.offset]
