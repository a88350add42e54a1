"""The figure of `additivity`: bars for each ability, below them the mix minus its best task and minus the sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssl4rl_bench.reports.figures.axes import Axes, reach, slots
from ssl4rl_bench.reports.figures.palette import INK, MUTED, SERIES, SIGN
from ssl4rl_bench.reports.figures.sheet import Sheet, minus
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views.additivity import Sums
    from ssl4rl_bench.reports.views.contrasts import Contrast

_LEFT, _TALL = 62.0, 190.0


def draw(columns: Sequence[Sums], names: Sequence[str], mix: str) -> Sheet:
    """
    Args:
        names: of the single tasks.
    """
    whole = columns[0].total is not None
    sheet = Sheet()
    looks = [*((SERIES[at % len(SERIES)], "bar") for at in range(len(names))), (INK, "bar"), (INK, "empty")]
    labels = [*names, mix, *(["sum of the single tasks"] if whole else [])]
    entries = [(label, *look) for label, look in zip(labels, looks, strict=False)]
    y = sheet.legend(10, entries, _LEFT) + 4
    wide = sheet.width - _LEFT - 6
    ends = reach(cell for each in columns for cell in (*each.singles, each.mix, each.total))
    axes = slots(sheet, (_LEFT, y, wide, _TALL), len(columns), ends)
    sheet.text(_LEFT - 6, y - 5, "points", MUTED, side="right")
    for at, each in enumerate(columns):
        _bars(axes, at, each, looks)
    y += _TALL + 10
    for at, each in enumerate(columns):
        sheet.text(_LEFT + (at + 0.5) * wide / len(columns), y, each.column.header, bold=True)
    parts: list[tuple[str, list[Contrast | None]]] = [
        ("mix − best", [each.mix_minus_best for each in columns])
    ]
    parts += [("mix − sum", [each.mix_minus_sum for each in columns])] if whole else []
    for label, cells in parts:
        y += 13
        sheet.text(4, y, label, MUTED, side="left")
        for at, cell in enumerate(cells):
            x = _LEFT + (at + 0.5) * wide / len(columns)
            if cell is None:
                sheet.text(x, y, NO_DATA, MUTED)
                continue
            text = f"{minus(f'{100 * cell.value:+.1f}')} {MARKS[cell.mark]}".rstrip()
            sheet.text(x, y, text, SIGN[cell.mark] if cell.mark else INK, bold=bool(cell.mark))
    note = "whiskers: 95% intervals; ▲ ▼ beyond chance after correction"
    sheet.text(_LEFT, y + 13, note, MUTED, side="left")
    sheet.height = y + 20
    return sheet


def _bars(axes: Axes, at: int, each: Sums, looks: Sequence[tuple[str, str]]) -> None:
    cells = [*each.singles, each.mix, *([each.total] if each.total else [])]
    wide = 0.84 / len(cells)
    for number, (cell, (colour, look)) in enumerate(zip(cells, looks, strict=False)):
        x = at + 0.08 + (number + 0.5) * wide
        sides = x - 0.43 * wide, x + 0.43 * wide
        if look == "bar":
            axes.band(sides, (0.0, cell.value), colour, opacity=0.75)
        else:
            axes.band(sides, (0.0, cell.value), None, edge=colour)
        axes.whisker(x, cell, INK, marker=None)
