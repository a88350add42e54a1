"""The page's figures: a heat map of differences, bars per category, and radar charts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardRow
from ssl4rl_bench.reports.figures.axes import Axes
from ssl4rl_bench.reports.figures.heat import HeatMap, median_mde, strongest
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, PAPER, RULE, SIGN
from ssl4rl_bench.reports.figures.sheet import Alignment, Sheet, fit
from ssl4rl_bench.reports.text.numbers import MARKS, percent


def heat_map(board: Board) -> Markup:
    """Draws the differences from the baseline in points, candidates by columns, with marks if beyond chance.

    Below are the least differences that each column would have shown with 80% power (MDE, the median over
    candidates), and the colour scale with the MDE of the average as a bracket. Empty without candidates.
    """
    rows = [row for row in board.rows if row.kind == "checkpoint"]
    cells = [[cell.difference for cell in row.cells] for row in rows]
    if not any(cell for line in cells for cell in line):
        return Markup("")
    headers = [column.header for column in board.columns]
    drawn = HeatMap(
        headers,
        [(row.label, "") for row in rows],
        cells,
        strongest(cell for line in cells for cell in line),
    )
    left, wide = 112.0, 62.0
    width = wide * len(headers)
    sheet = Sheet(left + width + 4)
    y = drawn.draw(sheet, left, 2.0, wide, 24.0) + 14
    drawn.scale(sheet, left, y, width)
    mde = median_mde(line[-1] for line in cells)
    if mde is not None:
        middle, half = left + width / 2, width / 2 * mde / drawn.top
        if mde < drawn.top:
            sheet.line([(middle - half, y + 4), (middle + half, y + 4)], width=0.8)
            for end in (middle - half, middle + half):
                sheet.line([(end, y - 1), (end, y + 9)], width=0.8)
        note = f"±{percent(mde)}: the least difference on Average that is detected with 80% power (MDE)"
        sheet.text(middle, y + 29, note, MUTED)
    sheet.height = y + 37
    size = f"{_runs(len(rows))} by {len(headers)} columns"
    return sheet.svg(f"Differences to {clean(board.baseline)} in points, {size}; a table has the numbers")


def bars(board: Board, column: int) -> Markup:
    """Draws one column of the board: one bar per run with its 95% interval, and a line at the baseline."""
    rows = [row for row in board.rows if row.cells[column].value is not None]
    if not rows:
        return Markup("")
    left, width, height = 104.0, 120.0, 17.0
    bottom = len(rows) * height
    sheet = Sheet(left + width + 46, bottom + 20)
    axes = Axes(sheet, (left, 0.0, width, bottom), (0.0, len(rows)), (0.0, 1.0), sideways=True)
    axes.ticks([(0.0, "0"), (0.5, "50"), (1.0, "100")])
    for index, row in enumerate(rows):
        cell, y = row.cells[column], (index + 0.5) * height
        sides, reach = (index + 0.24, index + 0.76), (0.0, cell.value or 0.0)
        if row.kind == "published":
            axes.band(sides, reach, PAPER, edge=MUTED)
        else:
            axes.band(sides, reach, SIGN[cell.mark], opacity=0.55)
        if cell.ci95:
            axes.line((index + 0.5, index + 0.5), cell.ci95, INK)
            for end in cell.ci95:
                axes.line((index + 0.35, index + 0.65), (end, end), INK)
        colour = MUTED if row.kind == "published" else INK
        sheet.text(left - 6, y, fit(row.label, left - 10), colour, side="right")
        text = f"{percent(cell.value)} {MARKS[cell.mark]}".rstrip()
        sheet.text(left + width + 6, y, text, side="left", bold=bool(cell.mark))
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
