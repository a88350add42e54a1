"""Sizes of a parquet file's pages, from their headers, before any page is decompressed.

pyarrow decompresses whole pages, allocates what a page's header says, and does not show these headers; the file's
metadata, which it shows, says only what the writer claims for a whole column. `mmbench_files` asks here first, so
that a small file cannot take all memory. The format: https://github.com/apache/parquet-format (PageHeader, in
Thrift's compact protocol).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

_HEADER = 4096
"""Bytes that hold most headers."""
_MAX_HEADER = 1 << 20
"""Bytes that hold all: they may contain a column's smallest and largest value."""
_DEPTH = 8
_DELTA_BYTE_ARRAY = 7
_STRUCT, _LIST, _SET, _MAP, _BINARY, _DOUBLE = 12, 9, 10, 11, 8, 7


@dataclass(frozen=True, slots=True)
class Page:
    """What a page's header says."""

    dictionary: bool
    prefixes: bool
    """Whether a value may repeat the one before it (DELTA_BYTE_ARRAY), so that it is larger than its page says."""
    n_values: int
    compressed: int
    """Bytes in the file."""
    uncompressed: int
    """Bytes that the reader allocates."""


def pages(file: BinaryIO, column: Any) -> Iterator[Page]:
    """The pages of a column chunk (pyarrow's `ColumnChunkMetaData`), in order.

    Raises:
        ValueError: for headers that are damaged, or do not fill the chunk.
    """
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    end, at = start + column.total_compressed_size, start
    while at < end:
        fields, length = _header(file, at, end)
        sizes = fields.get(2), fields.get(3)
        body: dict[int, Any] = next(
            (fields[key] for key in (5, 7, 8) if isinstance(fields.get(key), dict)), {}
        )
        n_values, encoding = body.get(1, 0), body.get(4 if 8 in fields else 2)
        uncompressed, compressed = (size if isinstance(size, int) else -1 for size in sizes)
        if min(uncompressed, compressed) < 0 or not isinstance(n_values, int) or n_values < 0:
            raise ValueError("a page has a damaged header")
        yield Page(7 in fields, encoding == _DELTA_BYTE_ARRAY, n_values, compressed, uncompressed)
        at += length + compressed
    if at != end:
        raise ValueError("a page reaches beyond its column")


def _header(file: BinaryIO, at: int, end: int) -> tuple[dict[int, Any], int]:
    """A header's fields and length."""
    for most in (_HEADER, _MAX_HEADER):
        file.seek(at)
        reader = _Compact(file.read(min(most, end - at)))
        try:
            return reader.struct(), reader.at
        except _CutOff:
            continue
    raise ValueError("a page's header is cut off")


class _CutOff(Exception):
    pass


class _Compact:
    """A reader of Thrift's compact protocol; values of no interest are skipped."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Integer and struct fields by their ids."""
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            kind, step = head & 15, head >> 4
            number = number + step if step else self._int()
            fields[number] = self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise ValueError("a page's header is nested too deeply")
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._int()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _DOUBLE:
            self._skip(8)
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in (_LIST, _SET):
            head = self._byte()
            length = head >> 4 if head >> 4 != 15 else self._varint()
            for _ in range(length):
                # A list's truth values take a byte each, unlike a field's.
                self._value(3 if head & 15 in (1, 2) else head & 15, depth + 1)
        elif kind == _MAP:
            raise ValueError("a page's header holds a map")
        else:
            raise ValueError("a page's header is damaged")
        return None

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise _CutOff
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a page's header is damaged")

    def _int(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, n_bytes: int) -> None:
        self.at += n_bytes
        if self.at > len(self._data):
            raise _CutOff
