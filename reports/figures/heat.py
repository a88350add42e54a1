"""A heat map of differences: runs by columns, coloured by size, with minimum detectable effects below."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, WORSE
from ssl4rl_bench.reports.figures.sheet import Sheet, minus, wrapped
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA

_LINE = 11.0
"""The distance of the lines of a name, in points."""
_STRONGEST = 0.55
"""Opacity of a tile's strongest colour, at which the numbers on it are readable."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Differences from a baseline, in points."""

    headers: Sequence[str]
    labels: Sequence[tuple[str, str]]
    """The name of each run, and the text below it."""
    cells: Sequence[Sequence[Difference | None]]
    """Shape (runs, columns)."""
    top: float
    """The difference that has the strongest colour, as a fraction."""
    intervals: bool = False
    """Whether to show intervals below the differences, which then have one decimal instead of two."""
    framed: Collection[tuple[int, int]] = ()
    """The (row, column) of each tile with a frame."""

    def texts(self, cell: Difference) -> tuple[str, str]:
        """Returns the texts of a tile: the difference, and its interval or an empty text."""
        text = f"{self._signed(cell.value)} {MARKS[cell.mark]}".rstrip()
        if not self.intervals:
            return text, ""
        return text, f"[{', '.join(map(self._signed, cell.ci95))}]" if cell.ci95 else NO_DATA

    def draw(self, sheet: Sheet, left: float, y: float, wide: float, tall: float) -> float:
        """Draws the map with names to the left; a tile is `wide` by `tall`, and taller for a name of several lines.

        Returns:
            The lower end of the map.
        """
        middles = [left + (column + 0.5) * wide for column in range(len(self.headers))]
        for middle, header in zip(middles, self.headers, strict=True):
            sheet.text(middle, y + 9, header, MUTED)
        y += 18
        for row, ((name, below), line) in enumerate(zip(self.labels, self.cells, strict=True)):
            size, bold = (8.5, True) if below else (8.0, False)
            names = wrapped(name, left - 14, size, bold)
            notes = wrapped(below, left - 14) if below else []
            n_lines = len(names) + len(notes)
            high = max(tall, _LINE * n_lines + 6.0)
            centre = y + high / 2
            first = centre - _LINE * (n_lines - 1) / 2 + (0.5 if n_lines > 1 else 0.0)
            for index, text in enumerate((*names, *notes)):
                how: dict[str, Any] = (
                    {"size": size, "bold": bold} if index < len(names) else {"colour": MUTED}
                )
                sheet.text(left - 8, first + _LINE * index, text, side="right", **how)
            for column, (middle, cell) in enumerate(zip(middles, line, strict=True)):
                if cell is None:
                    sheet.text(middle, centre, NO_DATA, MUTED)
                    continue
                x = middle - wide / 2
                _tint(sheet, x + 1, y + 1, wide - 2, high - 2, cell.value / self.top)
                if (row, column) in self.framed:
                    sheet.box(x + 1.5, y + 1.5, wide - 3, high - 3, edge=INK)
                text, ends = self.texts(cell)
                size = 9.0 if ends else 8.0
                sheet.text(middle, centre - 5 * bool(ends), text, size=size, bold=bool(cell.mark))
                sheet.text(middle, centre + 6, ends)
            y += high
        sheet.text(left - 8, y + 9, "MDE", MUTED, side="right")
        for column, middle in enumerate(middles):
            least = median_mde(line[column] for line in self.cells)
            text = NO_DATA if least is None else f"±{100.0 * least:.{1 if self.intervals else 2}f}"
            sheet.text(middle, y + 9, text, MUTED)
        return y + 18

    def scale(self, sheet: Sheet, x: float, y: float, width: float, steps: int = 21) -> None:
        """Draws the colour scale, from the strongest loss to the strongest gain, with its differences."""
        for index in range(steps):
            _tint(sheet, x + width * index / steps, y, width / steps, 8.0, 2.0 * index / (steps - 1) - 1.0)
        sheet.text(x, y + 16, self._signed(-self.top), MUTED, side="left")
        sheet.text(x + width / 2, y + 16, "0", MUTED)
        sheet.text(x + width, y + 16, self._signed(self.top), MUTED, side="right")

    def _signed(self, value: float) -> str:
        decimals = 1 if self.intervals else 2
        return minus(f"{round(100.0 * value, decimals) + 0.0:+.{decimals}f}")


def strongest(cells: Iterable[Difference | None]) -> float:
    """Returns the `HeatMap.top` of maps with these cells."""
    return max([0.01, *(abs(cell.value) for cell in cells if cell is not None)])


def median_mde(cells: Iterable[Difference | None]) -> float | None:
    """Returns the median of the minimum detectable effects, as a fraction; None if nothing was compared."""
    known = [cell.mde for cell in cells if cell is not None]
    return median(known) if known else None


def _tint(sheet: Sheet, x: float, y: float, width: float, height: float, share: float) -> None:
    """Draws a box in the colour of a share from -1 (strongest loss) to 1 (strongest gain)."""
    sheet.box(x, y, width, height, BETTER if share > 0 else WORSE, _STRONGEST * abs(share))
