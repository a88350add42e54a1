"""Writes parquet files in row groups of bounded size; `datasets` decodes their images, pandas reads bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ssl4rl_bench.datasets.files import DataFile, Writer
from ssl4rl_bench.datasets.work import Record

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS, GROUP_BYTES = 64, 32 << 20
"""A row group ends after this many rows or bytes of images."""
_IMAGE = {"_type": "Image"}


Row = dict[str, Any]


class ParquetWriter(Writer):
    """Writes one split to one parquet file.

    Args:
        row_of: makes the row of a record; not needed for `add_row`.
    """

    suffix = "parquet"

    def __init__(self, folder: Path, split: str, row_of: Callable[[Record], Row] | None = None) -> None:
        super().__init__(folder, split)
        self._row_of = row_of
        self._writer: Any = None
        self._rows: list[Row] = []
        self._n_bytes = 0

    def add(self, record: Record) -> None:
        assert self._row_of is not None
        self.add_row(self._row_of(record))

    def add_row(self, row: Row) -> None:
        """Adds a row with the columns of the first one; `images` is a list of {"bytes", "path"}."""
        self._rows.append(row)
        self._n_bytes += sum(len(image["bytes"]) for image in row["images"])
        if len(self._rows) == GROUP_ROWS or self._n_bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        if self._writer is None:
            self._writer = _writer(self.file, _schema(self._rows[0]))
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._writer.schema))
        self.n_samples += len(self._rows)
        self._rows, self._n_bytes = [], 0

    def close(self) -> DataFile:
        self._flush()
        if self._writer is not None:
            self._writer.close()
        return super().close()


def _writer(file: BinaryIO, schema: pa.Schema) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = [name for name in schema.names if name != "images"]
    return pq.ParquetWriter(
        file,
        schema,
        compression="none",  # images are compressed already
        use_dictionary=[name for name in text if pa.types.is_string(schema.field(name).type)],
        write_statistics=text,
    )


def _schema(row: Mapping[str, Any]) -> pa.Schema:
    """Returns the schema of rows like this one, with the metadata that `datasets` reads."""
    import pyarrow as pa

    full = {
        **row,
        "images": [{"bytes": b"", "path": ""}],
    }  # in actual rows the path is null, which has no type
    features = {name: _feature(name, value) for name, value in row.items()}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.RecordBatch.from_pylist([full]).schema.with_metadata(about)


def _feature(name: str, value: Any) -> Any:
    """Returns a column's feature in the notation of `datasets`; its version 4 still reads "Sequence"."""
    if name == "images":
        return {"feature": _IMAGE, "_type": "Sequence"}
    if isinstance(value, dict):
        return {key: _feature(key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        inner = _feature("", value[0])
        # A list of structs is in brackets: `datasets` reads a "Sequence" of a struct as a struct of lists.
        return [inner] if isinstance(value[0], dict) else {"feature": inner, "_type": "Sequence"}
    return {"dtype": "int64" if isinstance(value, int) else "string", "_type": "Value"}
