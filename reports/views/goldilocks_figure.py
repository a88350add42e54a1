"""The figure of `goldilocks`: the baseline above chance, and below it the checkpoints trained at each difficulty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssl4rl_bench.reports.figures.axes import reach, slots
from ssl4rl_bench.reports.figures.palette import INK, MUTED, SIGN
from ssl4rl_bench.reports.figures.sheet import Sheet, fit, width_of

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views.goldilocks import Step


def draw(steps: Sequence[Step], name: str, told: bool) -> Sheet:
    left, tall, gap = 34.0, 150.0, 26.0
    sheet = Sheet()
    wide = sheet.width - left - 6
    n_kinds = len({step.kind for step in steps})
    n = len(steps) + 0.6 * (n_kinds - 1)
    places, at = [], 0.5
    for number, step in enumerate(steps):
        at += 0.6 if number and steps[number - 1].kind != step.kind else 0.0
        places.append(at)
        at += 1.0
    # Six points of air: drawn bold text may be a little wider than `width_of` says.
    title = fit(f"{name}: accuracy above chance, percent of what is possible", wide - 6.0, bold=True)
    sheet.text(left, 12, title, bold=True, side="left")
    axes = slots(sheet, (left, 24, wide, tall), n, reach(step.above for step in steps))
    for place, step in zip(places, steps, strict=True):
        if step.above is not None:
            axes.whisker(place, step.above, INK)
    y = 24 + tall
    if told:
        title = (
            "Checkpoints trained at it: difference on Average, points (▲ better, ▼ worse after correction)"
        )
        sheet.text(left, y + gap - 12, fit(title, wide - 6.0, bold=True), bold=True, side="left")
        ends = reach(cell for step in steps for _, cell in step.trained)
        lower = slots(sheet, (left, y + gap, wide, tall), n, ends)
        for place, step in zip(places, steps, strict=True):
            for number, (_, cell) in enumerate(step.trained):
                x = place + (number - (len(step.trained) - 1) / 2) * min(0.22, 0.7 / len(step.trained))
                marker = {"better": "^", "worse": "v", "": "o"}[cell.mark]
                lower.whisker(x, cell, SIGN[cell.mark], marker, size=6.0)
        y += gap + tall
    _difficulties(sheet, y, [left + place * wide / n for place in places], wide / n, steps)
    sheet.height = y + 62
    return sheet


def _difficulties(sheet: Sheet, y: float, xs: Sequence[float], slot: float, steps: Sequence[Step]) -> None:
    """Below the axes: each difficulty, every second one lower where they would touch, and the kinds."""
    for kind in dict.fromkeys(step.kind for step in steps):
        mine = [
            (x, step.difficulty.split(", ")[:2])
            for x, step in zip(xs, steps, strict=True)
            if step.kind == kind
        ]
        tight = any(width_of(text) > slot - 2 for _, lines in mine for text in lines)
        for number, (x, lines) in enumerate(mine):
            room = 2 * min(0.85 * slot if tight else 0.5 * slot, x, sheet.width - x)
            lower = number % 2 if tight else 0
            for line, text in enumerate(lines):
                sheet.text(x, y + 10 + 10 * (line + lower), fit(text, room), MUTED)
        from_, to = mine[0][0] - 0.45 * slot, mine[-1][0] + 0.45 * slot
        sheet.line([(from_, y + 39), (to, y + 39)], MUTED, 0.7)
        sheet.text((from_ + to) / 2, y + 48, fit(kind, to - from_))
