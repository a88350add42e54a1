"""The figure of `additivity`: bars for each ability, below them the mix minus its best task and minus the sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.reports.figures.palette import INK, MUTED, SERIES
from ssl4rl_bench.reports.figures.sheet import SIGN, Sheet, frame, minus, whisker
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views.additivity import Sums
    from ssl4rl_bench.reports.views.contrasts import Contrast


def draw(columns: Sequence[Sums], names: Sequence[str], mix: str) -> Sheet:
    """
    Args:
        names: of the single tasks.
    """
    left, tall = 62.0, 190.0
    whole = columns[0].total is not None
    sheet = Sheet(26 + 13 * ((len(names) + 2) // 3) + tall + (46 if whole else 33))
    entries = [
        *((name, SERIES[at % len(SERIES)], "bar") for at, name in enumerate(names)),
        (mix, INK, "bar"),
        *([("sum of the single tasks", INK, "empty")] if whole else []),
    ]
    y = sheet.legend(10, entries, left) + 4
    axes = sheet.axes(left, y, sheet.width - left - 6, tall)
    values = [end for each in columns for part in (*each.singles, each.mix) for end in _ends(part)]
    values += [end for each in columns if each.total for end in _ends(each.total)]
    frame(axes, len(columns), values)
    sheet.text(left - 6, y + 3, "points", MUTED, ha="right")
    for at, each in enumerate(columns):
        _bars(axes, at, each)
    slot = (sheet.width - left - 6) / len(columns)
    y += tall + 10
    for label, row in (("", 0), ("mix − best", 1), ("mix − sum", 2)):
        if row < 2 or whole:
            sheet.text(4, y + 13 * row, label, MUTED, ha="left")
    for at, each in enumerate(columns):
        x = left + (at + 0.5) * slot
        sheet.text(x, y, each.column.header, bold=True)
        for row, part in ((1, each.mix_minus_best), (2, each.mix_minus_sum)):
            if part is not None:
                _number(sheet, x, y + 13 * row, part)
            elif whole:
                sheet.text(x, y + 13 * row, NO_DATA, MUTED)
    sheet.text(
        left,
        y + (39 if whole else 26),
        "whiskers: 95% intervals; ▲ ▼ beyond chance after correction",
        MUTED,
        ha="left",
    )
    return sheet


def _bars(axes: Any, at: int, each: Sums) -> None:
    n = len(each.singles) + 1 + (each.total is not None)
    wide = 0.84 / n
    parts = [*((single, SERIES[k % len(SERIES)]) for k, single in enumerate(each.singles)), (each.mix, INK)]
    for number, (part, colour) in enumerate(parts):
        x = at + 0.08 + (number + 0.5) * wide
        axes.bar(x, 100 * part.value, wide * 0.86, color=colour, alpha=0.75, linewidth=0, zorder=2)
        whisker(axes, x, part.value, part.ci95, INK, marker=None)
    if each.total is not None:
        x = at + 0.08 + (n - 0.5) * wide
        how = {"facecolor": "none", "edgecolor": INK, "linewidth": 0.9}
        axes.bar(x, 100 * each.total.value, wide * 0.86, zorder=2, **how)
        whisker(axes, x, each.total.value, each.total.ci95, INK, marker=None)


def _number(sheet: Sheet, x: float, y: float, part: Contrast) -> None:
    text = minus(f"{100 * part.value:+.1f}") + (f" {MARKS[part.mark]}" if part.mark else "")
    sheet.text(x, y, text, SIGN[part.mark] if part.mark else INK, bold=bool(part.mark))


def _ends(part: Contrast) -> tuple[float, ...]:
    return (part.value, *(part.ci95 or ()))
