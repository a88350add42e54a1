"""A map of differences: runs by columns, coloured by size, and below them what would have been found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, WORSE
from ssl4rl_bench.reports.figures.sheet import Sheet, fit, minus
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA

_STRONGEST = 0.55
"""Opacity of a tile's strongest colour: the numbers on it stay readable."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Differences to a baseline, in points."""

    headers: Sequence[str]
    labels: Sequence[tuple[str, str]]
    """Each run's name, and what stands below it."""
    cells: Sequence[Sequence[Difference | None]]
    """(runs, columns)"""
    top: float
    """The strongest colour's difference, a fraction."""
    intervals: bool = False
    """Whether they stand below the differences, which then have one decimal instead of two."""
    framed: Collection[tuple[int, int]] = ()
    """Rows and columns of tiles with a frame."""

    def texts(self, cell: Difference) -> tuple[str, str]:
        """What stands on a tile."""
        text = f"{self._signed(cell.value)} {MARKS[cell.mark]}".rstrip()
        if not self.intervals:
            return text, ""
        return text, f"[{', '.join(map(self._signed, cell.ci95))}]" if cell.ci95 else NO_DATA

    def draw(self, sheet: Sheet, left: float, y: float, wide: float, tall: float) -> float:
        """Draws tiles of a size, with names to the left of them.

        Returns:
            Where it ends.
        """
        middles = [left + (at + 0.5) * wide for at in range(len(self.headers))]
        for middle, header in zip(middles, self.headers, strict=True):
            sheet.text(middle, y + 9, header, MUTED)
        y += 18
        for row, ((name, below), line) in enumerate(zip(self.labels, self.cells, strict=True)):
            centre = y + tall / 2
            size, bold = (8.5, True) if below else (8.0, False)
            text = fit(name, left - 14, size, bold)
            sheet.text(left - 8, centre - 5 * bool(below), text, side="right", size=size, bold=bold)
            sheet.text(left - 8, centre + 6, fit(below, left - 14), MUTED, side="right")
            for at, (middle, cell) in enumerate(zip(middles, line, strict=True)):
                if cell is None:
                    sheet.text(middle, centre, NO_DATA, MUTED)
                    continue
                x = middle - wide / 2
                _tint(sheet, x + 1, y + 1, wide - 2, tall - 2, cell.value / self.top)
                if (row, at) in self.framed:
                    sheet.box(x + 1.5, y + 1.5, wide - 3, tall - 3, edge=INK)
                text, ends = self.texts(cell)
                size = 9.0 if ends else 8.0
                sheet.text(middle, centre - 5 * bool(ends), text, size=size, bold=bool(cell.mark))
                sheet.text(middle, centre + 6, ends)
            y += tall
        sheet.text(left - 8, y + 9, "MDE", MUTED, side="right")
        for at, middle in enumerate(middles):
            least = median_mde(line[at] for line in self.cells)
            text = NO_DATA if least is None else f"±{100.0 * least:.{1 if self.intervals else 2}f}"
            sheet.text(middle, y + 9, text, MUTED)
        return y + 18

    def scale(self, sheet: Sheet, x: float, y: float, width: float, steps: int = 21) -> None:
        """Draws the colours from most worse to most better, and the differences that they stand for."""
        for at in range(steps):
            _tint(sheet, x + width * at / steps, y, width / steps, 8.0, 2.0 * at / (steps - 1) - 1.0)
        sheet.text(x, y + 16, self._signed(-self.top), MUTED, side="left")
        sheet.text(x + width / 2, y + 16, "0", MUTED)
        sheet.text(x + width, y + 16, self._signed(self.top), MUTED, side="right")

    def _signed(self, value: float) -> str:
        decimals = 1 if self.intervals else 2
        return minus(f"{round(100.0 * value, decimals) + 0.0:+.{decimals}f}")


def strongest(cells: Iterable[Difference | None]) -> float:
    """`HeatMap.top` of maps with these cells."""
    return max([0.01, *(abs(cell.value) for cell in cells if cell is not None)])


def median_mde(cells: Iterable[Difference | None]) -> float | None:
    """The median of the least differences that would have been found, a fraction; None where nothing was compared."""
    known = [cell.mde for cell in cells if cell is not None]
    return median(known) if known else None


def _tint(sheet: Sheet, x: float, y: float, width: float, height: float, share: float) -> None:
    """Draws a colour from -1 (the most worse) to 1 (the most better)."""
    sheet.box(x, y, width, height, BETTER if share > 0 else WORSE, _STRONGEST * abs(share))
