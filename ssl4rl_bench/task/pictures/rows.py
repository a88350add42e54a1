"""Images out of a table's rows: bytes, base64, the hub's struct of bytes and path. No path in the data is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.task.mmbench.rows import MAX_REFERENCE_CHARS, Located, column_names, one_image

_INDEX = re.compile(r"[0-9]{1,15}(?:\.0)?")


def row_images(source: str, rows: Iterable[Located]) -> Iterator[tuple[str, bytes | str]]:
    """The image of each row that holds one, by name; a reason (text) instead of bytes where it cannot be taken out.

    A row is named by its `index` column, or else by what it holds, so that names do not depend on the rows' order.
    A row that refers to another row's image (MMBench's TSV files) adds no image and is left out.

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
            there = ", ".join(repr(str(name)[:40]) for name in list(row)[:12])
            raise DataError(
                f"{source} has no column image (it has {there}): rename the column of the images."
            )
        value = row.get(columns["image"])
        try:
            data = _bytes(value)
        except images.ImageError as error:
            yield _name(row, columns, repr(value).encode("utf-8", "replace")), str(error)
            continue
        if data is not None:
            yield _name(row, columns, data), data


def _name(row: Mapping[str, Any], columns: Mapping[str, str], content: bytes) -> str:
    index = row.get(columns.get("index", ""))
    return f"row {sha256_hex(content)[:16]}" if index is None else f"index {str(index)[:40]}"


def _bytes(value: Any) -> bytes | None:
    """None for a reference to another row."""
    value = one_image(value)
    if isinstance(value, Mapping):
        if value.get("bytes") is None and value.get("path"):
            raise images.ImageError("it is only a file name, and a file that data names is never opened")
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise images.ImageError("it is missing")
    if _INDEX.fullmatch(text):
        return None
    if len(text) <= MAX_REFERENCE_CHARS:
        raise images.ImageError(f"{text!r} is neither base64 nor the index of a row")
    return images.from_base64(text).data
