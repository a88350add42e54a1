"""The columns of a table that a reader needs, and how their names are matched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ssl4rl_bench.core.errors import DataError

LocatedRow: TypeAlias = tuple[str, Mapping[str, Any] | str]
"""The place of a row ("line 7"), and its values by column name, or why it cannot be split into columns."""
Reader: TypeAlias = Callable[..., Iterator[LocatedRow]]
"""Reads a source from its start; with `images=False` it may return None instead of images."""
OnShare: TypeAlias = Callable[[float], None]
"""Callback that receives the share of a source that has been read, from 0 to 1."""

_LETTER = re.compile("[a-z]")


def normal(name: str) -> str:
    """Returns the form in which column names are compared: case, `_`, `-` and a space do not matter.

    It is "A", "B", ... for the options, and lower-case such as `l2-category` for other columns.
    """
    form = name.strip().lower().replace("_", "-").replace(" ", "-")
    return form.upper() if _LETTER.fullmatch(form) else form


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a task reads, in addition to the options A, B, ..."""

    texts: tuple[str, ...]
    """The names of text columns, in their `normal` form."""
    images: tuple[str, ...]
    """The names of columns with images, in their `normal` form."""
    title: str = "the columns that the task needs"
    """What the columns are called in messages."""
    lists: bool = False
    """Whether an image column may hold a list of images."""

    def match(self, names: Iterable[str]) -> dict[str, str]:
        """Maps the normal names of the columns that the data has to their names in the data."""
        columns: dict[str, str] = {}
        for name in names:
            form = normal(name)
            if form in self.texts or form in self.images or (len(form) == 1 and form.isupper()):
                columns.setdefault(form, name)
        return columns


MMBENCH = Columns(
    texts=("index", "question", "hint", "answer", "category", "l2-category", "split"),
    images=("image",),
    title="MMBench's columns",
)
"""The columns of MMBench's schema."""


def check_names(path: Path, names: Sequence[str], columns: Columns) -> None:
    """Raises DataError if a column occurs twice, up to differences that `normal` ignores."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0][:40]!r} twice: remove or rename one of them.")
    for first, name in columns.match(names).items():
        again = [other for other in names if other != name and columns.match([other]).keys() == {first}]
        if again:
            raise DataError(
                f"{path} has the columns {name!r} and {again[0]!r}, which mean the same: rename one of them."
            )
