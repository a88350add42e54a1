"""The page's figures: bars per category, and radar charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from markupsafe import Markup

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardRow
from ssl4rl_bench.reports.figures.axes import Axes
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, PAPER, RULE, SIGN
from ssl4rl_bench.reports.figures.sheet import Alignment, Sheet, width_of, wrapped
from ssl4rl_bench.reports.text.numbers import MARKS, percent

_BAR = 120.0
"""The width of a bar of 100%, in points."""
_WIDEST = 130.0
"""The width at which the name of a run is broken into lines, in points."""


def bars(board: Board, column: int) -> Markup:
    """Draws one column of the board: one bar per run with its 95% interval, and a line at the baseline."""
    rows = [row for row in board.rows if row.cells[column].value is not None]
    if not rows:
        return Markup("")
    names = [wrapped(row.label, _WIDEST) for row in rows]
    left = 10.0 + max(width_of(line) for name in names for line in name)
    tops = [0.0, *accumulate(max(17.0, 5.0 + 9.5 * len(name)) for name in names)]
    sheet = Sheet(left + _BAR + 46, tops[-1] + 20)
    axes = Axes(sheet, (left, 0.0, _BAR, tops[-1]), (0.0, tops[-1]), (0.0, 1.0), sideways=True)
    axes.ticks([(0.0, "0"), (0.5, "50"), (1.0, "100")])
    for row, name, (top, bottom) in zip(rows, names, pairwise(tops), strict=True):
        cell, y = row.cells[column], (top + bottom) / 2.0
        sides, reach = (y - 4.5, y + 4.5), (0.0, cell.value or 0.0)
        if row.kind == "published":
            axes.band(sides, reach, PAPER, edge=MUTED)
        else:
            axes.band(sides, reach, SIGN[cell.mark], opacity=0.55)
        if cell.ci95:
            axes.line((y, y), cell.ci95, INK)
            for end in cell.ci95:
                axes.line((y - 2.5, y + 2.5), (end, end), INK)
        colour = MUTED if row.kind == "published" else INK
        for index, line in enumerate(name):
            sheet.text(left - 6, y + 9.5 * (index - (len(name) - 1) / 2.0), line, colour, side="right")
        text = f"{percent(cell.value)} {MARKS[cell.mark]}".rstrip()
        sheet.text(left + _BAR + 6, y, text, side="left", bold=bool(cell.mark))
    base = next((row.cells[column].value for row in rows if row.kind == "baseline"), None)
    if base is not None:
        axes.level(base, INK, width=0.8, dashes=(2, 2))
    return sheet.svg(f"{board.columns[column].header}: accuracy of {_runs(len(rows))} with 95% intervals")


def radar(board: Board, row: BoardRow) -> Markup:
    """Draws abilities of a run (filled) and of the baseline (dashed) as a radar chart; empty below three."""
    base = next(row for row in board.rows if row.kind == "baseline")
    wheel = [
        (column.header, cell.value, other.value)
        for column, cell, other in zip(board.columns, row.cells, base.cells, strict=True)
        if column.level != "overall" and cell.value is not None and other.value is not None
    ]
    if len(wheel) < 3:
        return Markup("")
    x0, y0, radius = 132.0, 96.0, 74.0
    sheet = Sheet(2 * x0, 2 * y0)
    angles = [2 * math.pi * index / len(wheel) - math.pi / 2 for index in range(len(wheel))]
    spokes = [(math.cos(angle), math.sin(angle)) for angle in angles]

    def ring(values: Sequence[float]) -> list[tuple[float, float]]:
        return [
            (x0 + radius * value * x, y0 + radius * value * y)
            for value, (x, y) in zip(values, spokes, strict=True)
        ]

    for level in (0.25, 0.5, 0.75, 1.0):
        sheet.area(ring([level] * len(wheel)), edge=RULE, width=0.6)
    for (x, y), (header, _, _) in zip(spokes, wheel, strict=True):
        sheet.line([(x0, y0), (x0 + radius * x, y0 + radius * y)], RULE, 0.6)
        side: Alignment = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
        sheet.text(x0 + (radius + 7) * x, y0 + (radius + 10) * y, header, MUTED, side=side, size=7.5)
    others = ring([other for _, _, other in wheel])
    sheet.line([*others, others[0]], INK, 0.9, dashes=(3, 2))
    polygon = ring([value for _, value, _ in wheel])
    sheet.area(polygon, BETTER, 0.15)
    sheet.area(polygon, edge=BETTER, width=1.3)
    return sheet.svg(f"{clean(row.label)} on {len(wheel)} abilities next to {clean(base.label)}")


def _runs(n: int) -> str:
    return f"{n} run" if n == 1 else f"{n} runs"
