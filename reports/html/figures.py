"""The page's figures, drawn with matplotlib: differences as a map, categories as bars, and as radar charts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from ssl4rl_bench.comparison import Difference
from ssl4rl_bench.reports.board import Board, BoardCell, Row
from ssl4rl_bench.reports.cells import clean
from ssl4rl_bench.reports.html.svg import inline, to_svg
from ssl4rl_bench.reports.numbers import MARKS, percent, points
from ssl4rl_bench.reports.palette import BETTER, INK, MUTED, PAPER, RULE, WORSE

_TEXT = 8.0
"""Points; 11 pixels on the page."""
_STRONGEST = 0.55
"""Opacity of the map's strongest colour: the numbers on it stay readable."""
_LABEL = 28
"""Characters of a run's name."""


def heat_map(board: Board, prefix: str) -> str:
    """Candidates by columns: the difference to the baseline in points, marked where it is beyond chance.

    Below stand the smallest differences that each column could have shown (MDE), and the scale with those of the
    column that has most questions. Empty without candidates.

    Args:
        prefix: of the ids of its elements.
    """
    rows = [row for row in board.rows if row.kind == "checkpoint"]
    found = [[cell.difference for cell in row.cells] for row in rows]
    known = [each for line in found for each in line if each is not None]
    if not known:
        return ""
    top = max(0.01, max(abs(each.value) for each in known))
    left, width, height = 112.0, 62.0, 24.0
    n = len(board.columns)
    with _axes(left + n * width + 4, (len(rows) + 1) * height + 62) as (figure, axes):
        for at, column in enumerate(board.columns):
            _write(axes, left + (at + 0.5) * width, 12, column.header, MUTED)
        for number, (row, line) in enumerate(zip(rows, found, strict=True)):
            y = 20 + number * height
            _write(axes, left - 8, y + height / 2, _short(row.label), INK, ha="right")
            for at, each in enumerate(line):
                _tile(axes, left + at * width, y, width, height, each, top)
        y = 20 + len(rows) * height
        _write(axes, left - 8, y + height / 2, "MDE", MUTED, ha="right")
        for at in range(n):
            least = _mde([line[at] for line in found])
            text = "–" if least is None else f"±{percent(least)}"
            _write(axes, left + (at + 0.5) * width, y + height / 2, text, MUTED)
        _scale(axes, left, y + height + 12, n * width, top, _mde([line[-1] for line in found]))
        svg = to_svg(figure)
    label = f"Differences to {clean(board.baseline)} in points, {len(rows)} runs by {n} columns; the table has the numbers"
    return inline(svg, prefix, label)


def bars(board: Board, column: int, prefix: str) -> str:
    """One column of the board: a bar a run with its 95% interval, a line where the baseline stands."""
    rows = [row for row in board.rows if row.cells[column].value is not None]
    if not rows:
        return ""
    base = next((row.cells[column].value for row in rows if row.kind == "baseline"), None)
    left, width, height = 96.0, 128.0, 17.0
    with _axes(left + width + 44, len(rows) * height + 20) as (figure, axes):
        for tick in (0, 50, 100):
            x = left + width * tick / 100
            axes.plot([x, x], [0, len(rows) * height], color=RULE, linewidth=0.6, zorder=0)
            _write(axes, x, len(rows) * height + 10, f"{tick}", MUTED, size=7)
        for at, row in enumerate(rows):
            _bar(axes, row, row.cells[column], left, width, at * height, height)
        if base is not None:
            x = left + width * base
            axes.plot([x, x], [0, len(rows) * height], color=INK, linewidth=0.8, dashes=(2, 2), zorder=4)
        svg = to_svg(figure)
    return inline(svg, prefix, f"{board.columns[column].header}: accuracy of {len(rows)} runs with intervals")


def radar(board: Board, row: Row, prefix: str) -> str:
    """A run's abilities (filled) and the baseline's (dashed) on the axes of a wheel; empty with fewer than three."""
    base = next(each for each in board.rows if each.kind == "baseline")
    axes_of = [
        (column, cell.value, other.value)
        for column, cell, other in zip(board.columns, row.cells, base.cells, strict=True)
        if column.level != "overall" and cell.value is not None and other.value is not None
    ]
    if len(axes_of) < 3:
        return ""
    size, radius = 150.0, 72.0
    with _axes(2 * size, 2 * (size - 42)) as (figure, axes):
        x0, y0 = size, size - 42
        angles = [2 * math.pi * at / len(axes_of) - math.pi / 2 for at in range(len(axes_of))]

        def ring(values: Sequence[float]) -> tuple[list[float], list[float]]:
            ends = [
                (x0 + radius * v * math.cos(a), y0 + radius * v * math.sin(a))
                for v, a in zip(values, angles, strict=True)
            ]
            return [x for x, _ in (*ends, ends[0])], [y for _, y in (*ends, ends[0])]

        for level in (0.25, 0.5, 0.75, 1.0):
            axes.plot(*ring([level] * len(angles)), color=RULE, linewidth=0.6)
        for angle, (column, _, _) in zip(angles, axes_of, strict=True):
            axes.plot(
                [x0, x0 + radius * math.cos(angle)],
                [y0, y0 + radius * math.sin(angle)],
                color=RULE,
                linewidth=0.6,
            )
            side = "center" if abs(math.cos(angle)) < 0.1 else "left" if math.cos(angle) > 0 else "right"
            _write(
                axes,
                x0 + (radius + 8) * math.cos(angle),
                y0 + (radius + 10) * math.sin(angle),
                column.header,
                MUTED,
                ha=side,
            )
        axes.plot(*ring([b for _, _, b in axes_of]), color=INK, linewidth=0.9, dashes=(3, 2))
        if row is not base:
            own = ring([v for _, v, _ in axes_of])
            axes.fill(*own, facecolor=BETTER, alpha=0.15, linewidth=0)
            axes.plot(*own, color=BETTER, linewidth=1.3)
        svg = to_svg(figure)
    return inline(svg, prefix, f"{clean(row.label)} on {len(axes_of)} abilities beside {clean(base.label)}")


@contextmanager
def _axes(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """A figure in points, y downwards, without a frame. Names may hold "$", which is no formula here."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.parse_math": False, "font.size": _TEXT}):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        yield figure, axes


def _write(
    axes: Any,
    x: float,
    y: float,
    text: str,
    colour: str,
    *,
    ha: str = "center",
    size: float = _TEXT,
    bold: bool = False,
) -> None:
    axes.text(
        x,
        y,
        text,
        color=colour,
        ha=ha,
        va="center_baseline",
        fontsize=size,
        fontweight="bold" if bold else "normal",
        zorder=5,
    )


def _tile(
    axes: Any, x: float, y: float, width: float, height: float, each: Difference | None, top: float
) -> None:
    from matplotlib.patches import Rectangle

    if each is None:
        _write(axes, x + width / 2, y + height / 2, "–", MUTED)
        return
    axes.add_patch(
        Rectangle(
            (x + 1, y + 1),
            width - 2,
            height - 2,
            facecolor=BETTER if each.value > 0 else WORSE,
            alpha=_STRONGEST * abs(each.value) / top,
            linewidth=0,
        )
    )
    text = f"{_minus(points(each.value))}{' ' if each.mark else ''}{MARKS[each.mark]}"
    _write(axes, x + width / 2, y + height / 2, text, INK, bold=bool(each.mark))


def _scale(axes: Any, x: float, y: float, width: float, top: float, mde: float | None) -> None:
    """The map's colours from most worse to most better, with what could not have been found bracketed."""
    from matplotlib.patches import Rectangle

    steps = 21
    for at in range(steps):
        value = 2 * at / (steps - 1) - 1
        axes.add_patch(
            Rectangle(
                (x + width * at / steps, y),
                width / steps,
                7,
                facecolor=BETTER if value > 0 else WORSE,
                alpha=_STRONGEST * abs(value),
                linewidth=0,
            )
        )
    middle = x + width / 2
    for share, text in ((0.0, _minus(points(-top))), (0.5, "0"), (1.0, points(top))):
        _write(
            axes,
            x + share * width,
            y + 16,
            text,
            MUTED,
            ha=("left", "center", "right")[int(2 * share)],
            size=7,
        )
    if mde is not None and mde < top:
        half = width / 2 * mde / top
        axes.plot([middle - half, middle + half], [y + 3.5, y + 3.5], color=INK, linewidth=0.8)
        for end in (middle - half, middle + half):
            axes.plot([end, end], [y - 1, y + 8], color=INK, linewidth=0.8)
    text = "" if mde is None else f"inside ±{percent(mde)} on Average: too small to be found with 80% power"
    _write(axes, middle, y + 28, text, MUTED, size=7)


def _bar(axes: Any, row: Row, cell: BoardCell, left: float, width: float, y: float, height: float) -> None:
    from matplotlib.patches import Rectangle

    value = cell.value or 0.0
    published = row.kind == "published"
    colour = {"better": BETTER, "worse": WORSE, "": MUTED}[cell.mark]
    axes.add_patch(
        Rectangle(
            (left, y + 4),
            width * value,
            height - 8,
            facecolor=PAPER if published else colour,
            edgecolor=MUTED,
            linewidth=0.7 if published else 0,
            alpha=None if published else 0.55,
            zorder=2,
        )
    )
    if cell.ci95:
        low, high = (left + width * end for end in cell.ci95)
        middle = y + height / 2
        axes.plot([low, high], [middle, middle], color=INK, linewidth=0.9, zorder=3)
        for end in (low, high):
            axes.plot([end, end], [middle - 2.5, middle + 2.5], color=INK, linewidth=0.9, zorder=3)
    _write(axes, left - 6, y + height / 2, _short(row.label, 20), MUTED if published else INK, ha="right")
    _write(
        axes,
        left + width + 6,
        y + height / 2,
        f"{percent(value)}{MARKS[cell.mark]}",
        INK,
        ha="left",
        bold=bool(cell.mark),
    )


def _mde(differences: Sequence[Difference | None]) -> float | None:
    known = [each.mde for each in differences if each is not None]
    return median(known) if known else None


def _short(label: str, limit: int = _LABEL) -> str:
    return clean(label, limit)


def _minus(text: str) -> str:
    return text.replace("-", "−")
