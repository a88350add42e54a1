"""Page headers are read as pyarrow writes them, and damaged ones end in a ValueError at once."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.task.tables.parquet_pages import BYTE_ARRAY, Chunk, pages, row_groups


def written(**how: Any) -> tuple[io.BytesIO, Any]:
    table = pa.table({"a": [f"text {number % 50} " * 9 for number in range(5000)], "b": list(range(5000))})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=2000, data_page_size=2000, write_batch_size=100, **how)
    return file, pq.ParquetFile(file).metadata


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("checksums", [True, False])
def test_pages_add_up_to_the_column(version: str, coded: bool, compression: str, checksums: bool) -> None:
    file, metadata = written(
        data_page_version=version,
        use_dictionary=coded,
        compression=compression,
        write_page_checksum=checksums,
    )
    groups = row_groups(file)
    assert [len(group) for group in groups] == [metadata.num_columns] * metadata.num_row_groups
    for number, group in enumerate(groups):
        for at, chunk in enumerate(group):
            column = metadata.row_group(number).column(at)
            assert (chunk.path, chunk.physical == BYTE_ARRAY) == ("ab"[at], at == 0)
            found = list(pages(file, chunk))
            assert sum(page.n_values for page in found if not page.dictionary) == column.num_values
            assert [page.dictionary for page in found] == [coded] + [False] * (len(found) - 1)
            assert sum(page.compressed for page in found) < column.total_compressed_size
            headers = column.total_compressed_size - sum(page.compressed for page in found)
            assert sum(page.uncompressed for page in found) + headers == column.total_uncompressed_size
            assert not any(page.prefixes for page in found)


def test_prefix_coding_is_told() -> None:
    file, _ = written(use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY", "b": "PLAIN"})
    prefixes = [{page.prefixes for page in pages(file, chunk)} for chunk in row_groups(file)[0]]
    assert prefixes == [{True}, {False}]


@given(st.binary(max_size=60), st.integers(0, 100))
@settings(max_examples=examples(500), deadline=None)
def test_any_bytes_are_pages_or_an_error(data: bytes, more: int) -> None:
    try:
        found = list(pages(io.BytesIO(data), Chunk("a", 6, 0, len(data) + more)))
    except ValueError:
        return
    assert all(page.uncompressed >= 0 and page.n_values >= 0 for page in found)


@pytest.mark.parametrize(
    "data",
    [
        b"\x19\xf1" + b"\xff" * 8 + b"\x7f",  # a list of very many truth values
        b"\x19\xf9" + b"\xff" * 8 + b"\x7f" + b"\x19" * 50,  # lists in lists
        b"\x1c" * 60,  # structs in structs
        b"\x15\xff" + b"\xff" * 20,  # a number without an end
        b"\x18\xff\xff\xff\xff\x7f",  # a text longer than the file
    ],
)
def test_hostile_headers_end_at_once(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|column"):
        list(pages(io.BytesIO(data), Chunk("a", 6, 0, len(data))))


@given(st.binary(max_size=80))
@settings(max_examples=examples(500), deadline=None)
def test_any_footer_is_row_groups_or_an_error(data: bytes) -> None:
    file = io.BytesIO(b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1")
    with contextlib.suppress(ValueError):
        assert all(chunk.start <= chunk.end for group in row_groups(file) for chunk in group)


def test_a_structs_columns_have_dotted_paths() -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"image": [{"bytes": b"x", "path": None}], "n": [1]}), file)
    assert [chunk.path for chunk in row_groups(file)[0]] == ["image.bytes", "image.path", "n"]
