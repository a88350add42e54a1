"""What a view of a set of runs holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class View:
    """A figure, a small table, and one sentence that the numbers support."""

    name: str
    """As on the command line: "transfer"."""
    title: str
    sentence: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Texts, one for each header."""
    svg: str
    """A whole SVG document, as matplotlib writes it; empty where there is nothing to draw."""
    figure: Any = field(default=None, compare=False, repr=False)
    """The matplotlib figure that `svg` is of, for other formats."""
