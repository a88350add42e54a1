"""Reads the documents of a task of lmms-eval as a `datasets.Dataset`, from the hub or from `--data`.

Images stay encoded until they are needed. Neither code of a data set nor a file that a row names is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import DataError, MissingDependency, UsageError
from ssl4rl_bench.core.names import HubName
from ssl4rl_bench.core.types import HubSource
from ssl4rl_bench.task.tables.hub import open_table
from ssl4rl_bench.task.tables.parquet import first_line

if TYPE_CHECKING:
    from datasets import Dataset

FORMATS = {
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
}
"""Suffixes of files, mapped to the names that the `datasets` package has for their formats."""
_BASE64 = ("iVBORw0KGgo", "/9j/", "UklGR")
"""The first characters of a PNG, a JPEG and a WebP in base64."""


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of a task."""

    table: Dataset
    name: str
    """The name that is recorded with the results."""
    hub: HubSource | None = None


def open_documents(
    default: HubName, *, data: str | None, config: str | None, split: str, commit: str | None
) -> Documents:
    """Opens the documents that the user gave (`data`), or those that the task names.

    Args:
        default: the data set of the task.
        data: a file, a folder of parquet files, or a hub data set, which replaces only the source.
        config, split: the configuration and split that the task asks.
        commit: the commit of a hub data set that an earlier load recorded.

    Raises:
        UsageError: `data` is neither a path nor the name of a hub data set.
        DataError: the data cannot be read, or an image is only named in it.
        MissingDependency: the `datasets` package is missing.
    """
    path = None if data is None else Path(data).expanduser()
    if path is not None and path.exists():
        files = sorted(path.glob("**/*.parquet")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"the folder {data} has no parquet file: name a file or another folder")
        return Documents(_table(str(data), files), path.name)
    name = default if data is None else HubName.parse(data)
    if name is None:
        raise UsageError(
            f"--data {data} is neither a file or folder nor a hub id (owner/name, owner/name@revision or "
            "owner/name#configuration/split)."
        )
    opened = open_table(name, config=config, split=split, commit=commit)
    return Documents(_table(str(name), [file for _, file in opened.files]), str(name), opened.source)


def _table(where: str, files: Sequence[Path]) -> Dataset:
    try:
        import datasets
    except ImportError:
        raise MissingDependency.of("the documents of lmms-eval need the datasets package", "lmms") from None
    kind = FORMATS.get(files[0].suffix.lower())
    if kind is None:
        raise DataError(f"{where} is not a table: give a file of one of {', '.join(FORMATS)}")
    options: dict[str, Any] = {"delimiter": "\t"} if files[0].suffix.lower() == ".tsv" else {}
    had_bars = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        table = datasets.load_dataset(
            kind, data_files=[str(file) for file in files], split="train", **options
        )
    except Exception as error:  # datasets raises errors of many kinds for damaged files
        raise DataError(f"{where} cannot be read as {kind}: {first_line(error)}") from None
    finally:
        if had_bars:
            datasets.enable_progress_bars()
    if not len(table):
        raise DataError(f"{where} has no documents")
    for column in table.column_names:
        table = _with_pictures(where, table, column)
    return table


def _with_pictures(where: str, table: Dataset, column: str) -> Dataset:
    """Declares a column of encoded images as images, and checks that none is only named."""
    import base64

    import datasets

    feature = table.features[column]
    if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string"):
        first = next((text for text in table.select(range(min(8, len(table))))[column] if text), "")
        if not first.startswith(_BASE64):
            return table

        def decoded(row: dict[str, Any]) -> dict[str, Any]:
            text = row[column]
            return {column: {"bytes": base64.b64decode(text), "path": None} if text else None}

        features = datasets.Features({**table.features, column: datasets.Image(decode=False)})
        table = table.map(decoded, features=features, keep_in_memory=True)
        return table.cast_column(column, datasets.Image())
    is_binary = isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary")
    if is_binary or (isinstance(feature, dict) and set(feature) == {"bytes", "path"}):
        table = table.cast_column(column, datasets.Image())
    if isinstance(table.features[column], datasets.Image):
        _check_bytes(where, table, column)
    return table


def _check_bytes(where: str, table: Dataset, column: str) -> None:
    import datasets

    cells = table.cast_column(column, datasets.Image(decode=False)).select_columns([column])
    for number, row in enumerate(cells):
        cell = row[column]
        if cell is not None and cell["bytes"] is None:
            raise DataError(
                f"{where}, row {number + 1}: {column} names a file and has no bytes, and files that data name are "
                "not opened: store the image in the table"
            )
