"""MMBench's rows from files: VLMEvalKit's TSV, and parquet in one file or in a folder of shards.

Rows are read one after another, so that a file of any size needs the memory of its distinct images only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ssl4rl_bench.errors import DataError
from ssl4rl_bench.images import MAX_BASE64_CHARS
from ssl4rl_bench.mmbench_rows import Located, column_names

_BATCH_ROWS = 64


def read_path(path: Path, *, folder: str | None = None, split: str | None = None) -> Iterator[Located]:
    """Rows of a TSV file, a parquet file, or a folder with parquet files.

    Args:
        folder: In a folder, prefer the shards under a sub-folder of this name (a hub data set's "en").
        split: In a folder, prefer the shards whose names start with this ("dev-00000-of-00002.parquet").

    Raises:
        DataError: if there is no such file, or it is not what it should be.
    """
    if path.is_dir():
        shards = _shards(path, folder, split)
        for shard in shards:
            for where, row in read_parquet(shard):
                yield f"{shard.relative_to(path)}, {where}", row
        return
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    if start == b"PK\x03\x04":
        raise DataError(f"{path} is an Excel or zip file: save the sheet as TSV (tab-separated UTF-8).")
    yield from read_parquet(path) if start == b"PAR1" else read_tsv(path)


def read_tsv(path: Path) -> Iterator[Located]:
    """Rows of a tab-separated UTF-8 file with a header, quoted as pandas quotes.

    Raises:
        DataError: if it is something else.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_BASE64_CHARS))
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            records = _records(file)
            header, n_lines = next(records, ([], 0))
            if not header:
                raise DataError(f"{path} is empty: give a TSV or parquet file with MMBench's columns.")
            _check_header(path, header)
            line += n_lines
            for fields, n_lines in records:
                if len(fields) == len(header):
                    yield f"line {line}", dict(zip(header, fields, strict=True))
                elif fields:
                    yield f"line {line}", f"it has {len(fields)} columns where the header has {len(header)}"
                line += n_lines
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is not UTF-8 text, in line {_undecodable(path)}: save it as UTF-8."
        ) from None
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line} is no row of a TSV ({error}): check the quotes from there on."
        ) from None


def read_parquet(path: Path) -> Iterator[Located]:
    """Rows of a parquet file, only the columns of MMBench's schema.

    Raises:
        DataError: if it is not a whole parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            names = file.schema_arrow.names
            wanted = list(column_names(names).values()) or names
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise DataError(
            f"{path} is not a whole parquet file ({_first_line(error)}): copy or download it again."
        ) from None


def _records(lines: Iterator[str]) -> Iterator[tuple[list[str], int]]:
    """The fields of each record, and how many lines it takes.

    A line without a quote is a record as it is; splitting it is four times as fast as the csv module, which
    matters with lines of 60 kB.
    """
    for line in lines:
        if '"' in line:
            reader = csv.reader(chain((line,), lines), delimiter="\t")
            yield next(reader), reader.line_num
        else:
            bare = line.rstrip("\r\n")
            yield bare.split("\t") if bare else [], 1


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) > 1:
        return
    if "," in header[0]:
        raise DataError(f"{path} is separated by commas: save it as TSV (tab-separated UTF-8).")
    raise DataError(f"{path} is not tab-separated: give a TSV or parquet file with MMBench's columns.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _undecodable(path: Path) -> int:
    """The first line that is not UTF-8; the reader cannot tell, as it decodes ahead of where it is."""
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
