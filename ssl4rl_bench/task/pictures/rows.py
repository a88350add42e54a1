"""Extracts images from a table's rows: bytes, base64, or the hub's struct of bytes and path.

No path in the data is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.task.mmbench.rows import column_names
from ssl4rl_bench.task.tables.cells import image_cell
from ssl4rl_bench.task.tables.columns import LocatedRow


def row_images(source: str, rows: Iterable[LocatedRow]) -> Iterator[tuple[str, bytes | str]]:
    """Yields the name and the image of each row that has one.

    If an image cannot be extracted, it yields a reason (text) instead of bytes. A row is named by its
    `index` column, or else by a hash of its content, so that names do not depend on the order of the rows.
    A row that refers to another row's image (MMBench's TSV files) is skipped.

    Raises:
        DataError: if there is no column `image`.
    """
    columns: dict[str, str] = {}
    for where, row in rows:
        if isinstance(row, str):
            yield where, row
            continue
        columns = columns or column_names(row)
        if "image" not in columns:
            existing = ", ".join(repr(str(name)[:40]) for name in list(row)[:12])
            raise DataError(
                f"{source} has no column image (it has {existing}): rename the column of the images."
            )
        value = row.get(columns["image"])
        try:
            content = image_cell(value)
            data = images.from_base64(content).data if isinstance(content, str) else content
        except images.ImageError as error:
            yield _name(row, columns, repr(value).encode("utf-8", "replace")), str(error)
            continue
        if isinstance(data, bytes):
            yield _name(row, columns, data), data


def _name(row: Mapping[str, Any], columns: Mapping[str, str], content: bytes) -> str:
    index = row.get(columns.get("index", ""))
    return f"row {sha256_hex(content)[:16]}" if index is None else f"index {str(index)[:40]}"
