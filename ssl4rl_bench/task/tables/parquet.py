"""Reads parquet files row by row, after checking the sizes of their pages (`parquet_pages`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.tables import parquet_pages
from ssl4rl_bench.task.tables.columns import MMBENCH, Columns, LocatedRow, OnShare, check_names


def read_parquet(
    path: Path, *, columns: Columns = MMBENCH, images: bool = True, on_share: OnShare | None = None
) -> Iterator[LocatedRow]:
    """Yields the rows of a parquet file, with only the given columns.

    Equal texts in a batch are the same object, and the size of batches is limited in bytes.

    Raises:
        DataError: if it is not a complete parquet file, a column occurs twice or contains lists (unless
            `columns.lists`), or it expands to much more than its size (the limits in `parquet_pages`).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet_pages.check_footer(path)
        with path.open("rb") as raw, pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_names(path, names, columns)
            known = columns.match(names)
            if not known:  # the caller reports the error and names these columns
                yield from [("row 1", dict.fromkeys(names))] * (file.metadata.num_rows > 0)
                return
            leaves = _leaves(path, file.schema_arrow, known, columns)
            blank = {} if images else {known[name]: None for name in columns.images if name in known}
            leaves = [leaf for leaf in leaves if leaf.partition(".")[0] not in blank]
            coded, batch_rows = parquet_pages.check_pages(path, raw, file, set(leaves))
            coded = [leaf for leaf in coded if _LIST_PATH not in leaf]
        number = 0
        options = {"pre_buffer": False, "buffer_size": 1 << 20, "read_dictionary": coded}
        with pq.ParquetFile(path, **options) as file:
            n_rows = max(1, file.metadata.num_rows)
            for group, n_batch in enumerate(batch_rows):
                batches = file.iter_batches(n_batch, row_groups=[group], columns=leaves)
                for batch in batches:
                    values_read = [_values(column) for column in batch.columns]
                    for values in zip(*values_read, strict=True):
                        number += 1
                        yield f"row {number}", dict(zip(batch.schema.names, values, strict=True)) | blank
                    if on_share is not None:
                        on_share(number / n_rows)
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise DataError(
            f"{path} is not a complete parquet file ({first_line(error)}): copy or download it again."
        ) from None


_LIST_PATH = ".list."
"""The part of a column's path that a list adds in the files of pyarrow, pandas and `datasets`."""


def _leaves(path: Path, schema: Any, known: dict[str, str], columns: Columns) -> list[str]:
    """Returns the paths of the columns to read. Only an image may be a struct (of bytes and path)."""
    import pyarrow as pa

    leaves: list[str] = []
    for name, column in known.items():
        kind, prefix = schema.field(column).type, column
        if columns.lists and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            prefix = f"{column}{_LIST_PATH}{kind.value_field.name}"
            kind = kind.value_type
        if name in columns.images and pa.types.is_struct(kind):
            fields = [field for field in kind if field.name in ("bytes", "path")]
            if fields and not any(pa.types.is_nested(field.type) for field in fields):
                leaves += (f"{prefix}.{field.name}" for field in fields)
                continue
        if pa.types.is_nested(kind):
            wanted = "bytes, base64 or a struct of bytes and path" if name in columns.images else "text"
            raise DataError(
                f"{path}: its column {column!r} holds {str(kind)[:40]} instead of {wanted}: convert it."
            )
        leaves.append(prefix)
    return leaves


def _values(column: Any) -> list[Any]:
    """Returns a column's values; in a dictionary-coded column, equal values are the same object."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        codes = column.indices
        used = codes.unique().drop_null()
        values = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
        return [values.get(code) for code in codes.to_pylist()]
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        fields = [_values(column.field(name)) for name in names]
        validity = column.is_valid().to_pylist()
        return [
            dict(zip(names, parts, strict=True)) if valid else None
            for valid, parts in zip(validity, zip(*fields, strict=True), strict=True)
        ]
    values_read: list[Any] = column.to_pylist()
    return values_read


def first_line(error: Exception) -> str:
    """Returns the first line of a library's error, or the error's name, to be quoted in a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
