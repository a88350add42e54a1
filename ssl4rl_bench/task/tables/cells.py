"""Reads the cells of a table's rows: texts, indices, lists and images."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import EncodedImage

MAX_REFERENCE_CHARS = 64
"""An `image` text of at most this length is the index of another row, which has the image."""
_INDEX = re.compile(r"([0-9]{1,15})(?:\.0)?")


class Images:
    """The images of a source, so that equal ones become one object."""

    def __init__(self) -> None:
        self._by_hash: dict[str, EncodedImage] = {}
        self._by_text: dict[tuple[int, str], EncodedImage] = {}
        self._last: tuple[str, EncodedImage] | None = None

    def read(self, value: Any) -> EncodedImage | int:
        """Returns the image in a cell, or the index of the row that has it.

        Raises:
            ImageError: as `image_cell`, and for an image that cannot be used.
        """
        content = image_cell(value)
        if isinstance(content, int):
            return content
        if isinstance(content, bytes):
            return self._one(images.from_bytes(content))
        # The copies of a question often repeat its image. Encoding the known one takes less than half of the time
        # of decoding and hashing it again.
        if self._last is not None and self._last[0] == content:
            return self._last[1]
        middle = len(content) // 2
        place = len(content), content[middle : middle + 64]
        known = self._by_text.get(place)
        if known is None or not images.is_base64_of(content, known):
            known = self._by_text[place] = self._one(images.from_base64(content))
        self._last = content, known
        return known

    def _one(self, image: EncodedImage) -> EncodedImage:
        return self._by_hash.setdefault(image.sha256, image)


def image_cell(value: Any) -> bytes | str | int:
    """Returns the content of an `image` cell: an image as bytes or base64, or the index of another row.

    A cell contains one of these, the hub's struct of bytes and path (which is not opened), or a list of one
    item, as VLMEvalKit accepts it.

    Raises:
        ImageError: for anything else: no image, several images (which a row cannot show), or a file name.
    """
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = _listed(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) != 1:
            raise images.ImageError(f"it is a list of {len(value)} images where one is needed")
        (value,) = value
    if isinstance(value, Mapping):
        if value.get("bytes") is None and value.get("path"):
            raise images.ImageError("it is only a file name, and files that the data name are never opened")
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    text = text_of(value).strip()
    if not text:
        raise images.ImageError("it is missing")
    if len(text) > MAX_REFERENCE_CHARS:
        return text
    index = index_of(text)
    if index is None:
        raise images.ImageError(f"{quoted(text)} is neither base64 nor the index of a row")
    return index


def _listed(text: str) -> list[Any]:
    items = literal(text)
    if not isinstance(items, list):
        raise images.ImageError("it begins like a list of images but is not one")
    return items


def literal(text: str) -> Any:
    """Parses a value that is written in JSON or, as in VLMEvalKit's files, in Python; None if it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():  # Python warns of "\d" in a text, which is data here
                warnings.simplefilter("ignore")
                return parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def list_of(value: Any) -> list[Any]:
    """Returns the items of a cell that holds a list, as a list or as its text.

    Raises:
        ValueError: it holds no list; the message is a clause.
    """
    if isinstance(value, str):
        value = literal(value) if value.strip() else []
    if value is None or (isinstance(value, float) and value != value):
        return []
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError("it is not a list")
    return list(value)


def image_items(value: Any) -> list[Any]:
    """Returns the items of an image cell, which holds one image, a list of images, or nothing.

    Raises:
        ImageError: for a text that begins like a list but is not one.
    """
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = _listed(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    if isinstance(value, Mapping) and value.get("bytes") is None and not value.get("path"):
        return []
    return [] if not isinstance(value, bytes | Mapping) and not text_of(value).strip() else [value]


def index_of(text: str) -> int | None:
    """Parses a whole number, also one that was written as a float; None for any other text."""
    match = _INDEX.fullmatch(text.strip())
    return int(match[1]) if match else None


def text_of(value: Any) -> str:
    """Converts a cell to text; a missing value becomes an empty one."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return value if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """Quotes a text for a message: control characters are escaped, and a long text is cut."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."
