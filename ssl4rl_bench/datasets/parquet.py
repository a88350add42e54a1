"""Parquet files whose images `datasets` decodes and pandas reads as bytes, in pieces of bounded size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.datasets.files import DataFile, HashingFile
from ssl4rl_bench.datasets.work import Record

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS, GROUP_BYTES = 64, 32 << 20
"""A row group ends after so many rows, or image bytes."""
_IMAGE = {"_type": "Image"}


class ParquetWriter:
    """One split in one file."""

    def __init__(self, folder: Path, split: str, row_of: Callable[[Record], dict[str, Any]]) -> None:
        self._name, self._row_of = f"{split}.parquet", row_of
        self._file = HashingFile(folder / self._name)
        self._writer: Any = None
        self._rows: list[dict[str, Any]] = []
        self._n_bytes = self._n_samples = 0

    def add(self, record: Record) -> None:
        self._rows.append(self._row_of(record))
        self._n_bytes += sum(len(image.data) for image in record.images)
        if len(self._rows) == GROUP_ROWS or self._n_bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        if self._writer is None:
            self._writer = _writer(self._file, _schema(self._rows[0]))
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._writer.schema))
        self._n_samples += len(self._rows)
        self._rows, self._n_bytes = [], 0

    def close(self) -> DataFile:
        self._flush()
        if self._writer is not None:
            self._writer.close()
        self._file.close()
        return DataFile(self._name, self._file.sha256, self._file.n_bytes, self._n_samples)


def _writer(file: HashingFile, schema: pa.Schema) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = [name for name in schema.names if name != "images"]
    return pq.ParquetWriter(
        pa.PythonFile(file, mode="w"),
        schema,
        compression="none",  # images are compressed already
        use_dictionary=[name for name in text if pa.types.is_string(schema.field(name).type)],
        write_statistics=text,
    )


def _schema(row: Mapping[str, Any]) -> pa.Schema:
    """Of rows like this one, with what `datasets` wants to know."""
    import pyarrow as pa

    fields = [pa.field(name, _arrow(name, value)) for name, value in row.items()]
    features = {name: _feature(name, value) for name, value in row.items()}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _arrow(name: str, value: Any) -> pa.DataType:
    import pyarrow as pa

    if name == "images":
        return pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    if isinstance(value, dict):
        return pa.struct([(key, _arrow(key, inner)) for key, inner in value.items()])
    if isinstance(value, list):
        return pa.list_(_arrow("", value[0]))
    return pa.int64() if isinstance(value, int) else pa.string()


def _feature(name: str, value: Any) -> Any:
    """In the words of `datasets`; its version 4 still reads the older word for a list."""
    if name == "images":
        return {"feature": _IMAGE, "_type": "Sequence"}
    if isinstance(value, dict):
        return {key: _feature(key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        inner = _feature("", value[0])
        # A list of structs in brackets: a "Sequence" of a struct would be read as a struct of lists.
        return [inner] if isinstance(value[0], dict) else {"feature": inner, "_type": "Sequence"}
    return {"dtype": "int64" if isinstance(value, int) else "string", "_type": "Value"}
