"""The content of a view of a set of runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ssl4rl_bench.core.atomic import write_bytes, write_text
from ssl4rl_bench.reports.figures.sheet import Sheet


@dataclass(frozen=True, slots=True)
class View:
    """A figure, a small table, and one sentence that the numbers support."""

    name: str
    """The name on the command line: "transfer"."""
    title: str
    sentence: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Texts, one per header in each row."""
    sheet: Sheet | None = field(default=None, compare=False, repr=False)
    """The figure; None if there is nothing to draw."""
    panels: tuple[tuple[str, Sheet], ...] = field(default=(), compare=False, repr=False)
    """The same figure in parts with captions, which a page arranges by its width; empty if there are no parts."""
    texts: tuple[str, ...] = ()
    """The headers of columns that hold text and not numbers."""
    note: str = ""
    """Explanations of the table's columns, shown below it."""
    verdict: str = ""
    """The verdict of a gate (pass, fail or inconclusive), which colours the heading of its page."""
    links: tuple[str, ...] = ()
    """For each row, the fragment of its question in the page's sample browser; empty if rows are no questions."""

    def write(self, folder: Path) -> list[Path]:
        """Writes the figure, if there is one, as NAME.svg and NAME.png.

        Raises:
            StoreError: they cannot be written.
        """
        if self.sheet is None:
            return []
        svg, png = (folder / f"{self.name}.{form}" for form in ("svg", "png"))
        drawn = str(self.sheet.svg(self.title))
        write_text(svg, drawn.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))
        write_bytes(png, self.sheet.png())
        return [svg, png]
