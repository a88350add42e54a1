"""Where the data of a benchmark comes from, as its task file states it (`metadata.source`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from ssl4rl_bench.core.errors import did_you_mean
from ssl4rl_bench.core.names import HubName

_MD5 = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class DataSource:
    """The published file of a benchmark, and the facts that a downloaded copy is checked against."""

    file: str | None = None
    """The name of the published file, as VLMEvalKit names it."""
    url: str | None = None
    """The https address of the file."""
    md5: str | None = None
    """The MD5 of the file in lower-case hex; None if it is unverified."""
    size: int | None = None
    """The size of the file in bytes; None if it is not known."""
    editions: Mapping[str, str] = field(default_factory=dict)
    """Other published states of the file: MD5 to a description in a few words."""
    hub: str | None = None
    """The hub data set with the same questions, as `names.HubName` parses it."""
    questions: int | None = None
    """The number of rows of the complete data; None if it is unverified."""
    licence: str | None = None
    """A short note about the licence of the data."""
    unverified: tuple[str, ...] = ()
    """The names of fields whose values were not found in a source, or which are therefore missing."""
    left_out: str | None = None
    """Which rows are left out, because they need a judge or cannot be scored. None: every row is asked."""


def parse_source(value: Mapping[str, Any]) -> DataSource:
    """Checks the value of `metadata.source` and returns it.

    Raises:
        ValueError: for an unknown key or a value of the wrong form; the message is a clause.
    """
    known = [item.name for item in fields(DataSource)]
    for key, content in value.items():
        if key not in known:
            raise ValueError(f"unknown key {key} in metadata.source{did_you_mean(str(key), known)}")
        form, is_valid = _FORMS[key]
        if not is_valid(content):
            raise ValueError(f"metadata.source.{key} must be {form}")
    unverified = tuple(value.get("unverified", ()))
    return DataSource(**{**value, "unverified": unverified})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_md5(value: Any) -> bool:
    return isinstance(value, str) and _MD5.fullmatch(value) is not None


def _is_hub_name(value: Any) -> bool:
    return isinstance(value, str) and HubName.parse(value) is not None


_SCHEMES = ("https://", "http://127.0.0.1:")
"""The second one is for tests, which start a server."""

_FORMS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "file": ("the name of a file, without folders", lambda v: _is_text(v) and PurePath(v).name == v),
    "url": ("an https address", lambda v: _is_text(v) and v.startswith(_SCHEMES)),
    "md5": ("32 lower-case hex digits", _is_md5),
    "size": ("a whole number above 0", lambda v: type(v) is int and v > 0),
    "editions": (
        "a mapping of MD5 digests (32 lower-case hex digits) to descriptions",
        lambda v: isinstance(v, dict) and all(_is_md5(key) and _is_text(text) for key, text in v.items()),
    ),
    "hub": ("a hub data set, such as owner/name", _is_hub_name),
    "questions": ("a whole number above 0", lambda v: type(v) is int and v > 0),
    "licence": ("a text", _is_text),
    "unverified": (
        "a list of keys of metadata.source",
        lambda v: isinstance(v, list) and all(key in _FORMS for key in v),
    ),
    "left_out": ("a text", _is_text),
}
"""What each key must be, in words and as a check."""
