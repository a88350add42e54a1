"""The page's figures, drawn with matplotlib: differences as a map, categories as bars, and as radar charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardCell, Row
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, PAPER, RULE, WORSE
from ssl4rl_bench.reports.html.canvas import Canvas, Side
from ssl4rl_bench.reports.text.numbers import MARKS, percent, points

_STRONGEST = 0.5
"""Opacity of the map's strongest colour: the numbers on it stay readable."""


def heat_map(board: Board, prefix: str) -> str:
    """Candidates by columns: the difference to the baseline in points, marked where it is beyond chance.

    Below stand the least differences that each column would have shown with 80% power (MDE; the median of the
    candidates'), and the scale with that of the average. Empty without candidates.

    Args:
        prefix: of the ids of its elements.
    """
    rows = [row for row in board.rows if row.kind == "checkpoint"]
    found = [[cell.difference for cell in row.cells] for row in rows]
    known = [each for line in found for each in line if each is not None]
    if not known:
        return ""
    top = max(0.01, max(abs(each.value) for each in known))
    left, width, height, n = 112.0, 62.0, 24.0, len(board.columns)
    canvas = Canvas(left + n * width + 4, (len(rows) + 1) * height + 72)
    for at, column in enumerate(board.columns):
        canvas.text(left + (at + 0.5) * width, 12, column.header, MUTED)
    for number, (row, line) in enumerate(zip(rows, found, strict=True)):
        y = 20 + number * height
        canvas.text(left - 8, y + height / 2, clean(row.label, 24), INK, "right")
        for at, each in enumerate(line):
            _tile(canvas, left + at * width, y, width, height, each, top)
    y = 20 + len(rows) * height
    canvas.text(left - 8, y + height / 2, "MDE", MUTED, "right")
    for at in range(n):
        least = _mde([line[at] for line in found])
        text = "–" if least is None else f"±{percent(least)}"
        canvas.text(left + (at + 0.5) * width, y + height / 2, text, MUTED)
    _scale(canvas, left, y + height + 12, n * width, top, _mde([line[-1] for line in found]))
    size = f"{len(rows)} runs by {n} columns"
    return canvas.svg(
        prefix, f"Differences to {clean(board.baseline)} in points, {size}; a table has the numbers"
    )


def bars(board: Board, column: int, prefix: str) -> str:
    """One column of the board: a bar a run with its 95% interval, a line where the baseline stands."""
    rows = [row for row in board.rows if row.cells[column].value is not None]
    if not rows:
        return ""
    base = next((row.cells[column].value for row in rows if row.kind == "baseline"), None)
    left, width, height = 96.0, 128.0, 17.0
    bottom = len(rows) * height
    canvas = Canvas(left + width + 46, bottom + 20)
    for tick in (0, 50, 100):
        x = left + width * tick / 100
        canvas.line([x, x], [0, bottom], RULE, 0.6)
        canvas.text(x, bottom + 10, f"{tick}", MUTED, size=8)
    for at, row in enumerate(rows):
        _bar(canvas, row, row.cells[column], left, width, at * height, height)
    if base is not None:
        x = left + width * base
        canvas.line([x, x], [0, bottom], INK, 0.8, (2, 2))
    return canvas.svg(
        prefix, f"{board.columns[column].header}: accuracy of {len(rows)} runs with 95% intervals"
    )


def radar(board: Board, row: Row, prefix: str) -> str:
    """A run's abilities (filled) and the baseline's (dashed) on the axes of a wheel; empty with fewer than three."""
    base = next(each for each in board.rows if each.kind == "baseline")
    wheel = [
        (column.header, cell.value, other.value)
        for column, cell, other in zip(board.columns, row.cells, base.cells, strict=True)
        if column.level != "overall" and cell.value is not None and other.value is not None
    ]
    if len(wheel) < 3:
        return ""
    x0, y0, radius = 132.0, 96.0, 74.0
    canvas = Canvas(2 * x0, 2 * y0)
    angles = [2 * math.pi * at / len(wheel) - math.pi / 2 for at in range(len(wheel))]

    def ring(values: Sequence[float]) -> tuple[list[float], list[float]]:
        xs = [x0 + radius * value * math.cos(angle) for value, angle in zip(values, angles, strict=True)]
        ys = [y0 + radius * value * math.sin(angle) for value, angle in zip(values, angles, strict=True)]
        return [*xs, xs[0]], [*ys, ys[0]]

    for level in (0.25, 0.5, 0.75, 1.0):
        canvas.line(*ring([level] * len(wheel)), RULE, 0.6)
    for angle, (header, _, _) in zip(angles, wheel, strict=True):
        x, y = math.cos(angle), math.sin(angle)
        canvas.line([x0, x0 + radius * x], [y0, y0 + radius * y], RULE, 0.6)
        side: Side = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
        canvas.text(x0 + (radius + 7) * x, y0 + (radius + 10) * y, header, MUTED, side, 7.5)
    canvas.line(*ring([other for _, _, other in wheel]), INK, 0.9, (3, 2))
    own = ring([value for _, value, _ in wheel])
    canvas.area(*own, BETTER, 0.15)
    canvas.line(*own, BETTER, 1.3)
    return canvas.svg(prefix, f"{clean(row.label)} on {len(wheel)} abilities beside {clean(base.label)}")


def _tile(
    canvas: Canvas, x: float, y: float, width: float, height: float, each: Difference | None, top: float
) -> None:
    if each is None:
        canvas.text(x + width / 2, y + height / 2, "–", MUTED)
        return
    colour = BETTER if each.value > 0 else WORSE
    canvas.box(x + 1, y + 1, width - 2, height - 2, colour, _STRONGEST * abs(each.value) / top)
    text = f"{points(each.value)} {MARKS[each.mark]}".rstrip().replace("-", "−")
    canvas.text(x + width / 2, y + height / 2, text, INK, bold=bool(each.mark))


def _scale(canvas: Canvas, x: float, y: float, width: float, top: float, mde: float | None) -> None:
    """The map's colours from most worse to most better; what would not have been found stands in a bracket."""
    steps = 21
    for at in range(steps):
        value = 2 * at / (steps - 1) - 1
        colour = BETTER if value > 0 else WORSE
        canvas.box(x + width * at / steps, y, width / steps, 7, colour, _STRONGEST * abs(value))
    middle, half = x + width / 2, width / 2
    canvas.text(x, y + 16, points(-top).replace("-", "−"), MUTED, "left", 7)
    canvas.text(middle, y + 16, "0", MUTED, size=8)
    canvas.text(x + width, y + 16, points(top), MUTED, "right", 7)
    if mde is None:
        return
    if mde < top:
        half *= mde / top
        canvas.line([middle - half, middle + half], [y + 3.5, y + 3.5], INK)
        for end in (middle - half, middle + half):
            canvas.line([end, end], [y - 1, y + 8], INK)
    text = f"±{percent(mde)}: the least difference on Average that is found with 80% power (MDE)"
    canvas.text(middle, y + 29, text, MUTED, size=8)


def _bar(
    canvas: Canvas, row: Row, cell: BoardCell, left: float, width: float, y: float, height: float
) -> None:
    middle = y + height / 2
    printed = row.kind == "published"
    length = width * (cell.value or 0.0)
    if printed:
        canvas.box(left, y + 4, length, height - 8, PAPER, edge=MUTED)
    else:
        canvas.box(
            left, y + 4, length, height - 8, {"better": BETTER, "worse": WORSE, "": MUTED}[cell.mark], 0.55
        )
    if cell.ci95:
        low, high = (left + width * end for end in cell.ci95)
        canvas.line([low, high], [middle, middle], INK, 0.9)
        for end in (low, high):
            canvas.line([end, end], [middle - 2.5, middle + 2.5], INK, 0.9)
    canvas.text(left - 6, middle, clean(row.label, 20), MUTED if printed else INK, "right")
    text = f"{percent(cell.value)} {MARKS[cell.mark]}".rstrip()
    canvas.text(left + width + 6, middle, text, INK, "left", bold=bool(cell.mark))


def _mde(differences: Sequence[Difference | None]) -> float | None:
    known = [each.mde for each in differences if each is not None]
    return median(known) if known else None
