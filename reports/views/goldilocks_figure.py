"""The figure of `goldilocks`: the baseline above chance, and below it the checkpoints trained at each difficulty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssl4rl_bench.reports.figures.palette import INK, MUTED
from ssl4rl_bench.reports.figures.sheet import SIGN, Sheet, fit, frame, whisker, width_of

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views.goldilocks import Step


def draw(steps: Sequence[Step], name: str, told: bool) -> Sheet:
    left, tall, gap = 34.0, 150.0, 26.0
    sheet = Sheet(24 + tall + (gap + tall if told else 0) + 62)
    kinds = list(dict.fromkeys(step.kind for step in steps))
    slots = len(steps) + 0.6 * (len(kinds) - 1)
    places, at = [], 0.0
    for number_, step in enumerate(steps):
        at += 0.6 if number_ and steps[number_ - 1].kind != step.kind else 0.0
        places.append(at + 0.5)
        at += 1.0
    wide = sheet.width - left - 6
    title = f"{name}: accuracy above chance, percent of what is possible"
    # Six points of air: drawn bold text may be a little wider than `width_of` says.
    sheet.text(left, 12, fit(title, wide - 6.0, 8.0, True), bold=True, ha="left")
    axes = sheet.axes(left, 24, wide, tall)
    frame(axes, slots, [end for step in steps for end in (step.above or 0.0, *(step.ci95 or ()))])
    for place, step in zip(places, steps, strict=True):
        if step.above is not None:
            whisker(axes, place, step.above, step.ci95, INK)
    y = 24 + tall
    if told:
        title = (
            "Checkpoints trained at it: difference on Average, points (▲ better, ▼ worse after correction)"
        )
        sheet.text(left, y + gap - 12, fit(title, wide - 6.0, 8.0, True), bold=True, ha="left")
        lower = sheet.axes(left, y + gap, wide, tall)
        ends = [end for step in steps for _, each in step.trained for end in (each.value, *(each.ci95 or ()))]
        frame(lower, slots, ends)
        for place, step in zip(places, steps, strict=True):
            n = len(step.trained)
            for number_, (_, each) in enumerate(step.trained):
                x = place + (number_ - (n - 1) / 2) * min(0.22, 0.7 / n)
                marker = {"better": "^", "worse": "v", "": "o"}[each.mark]
                whisker(lower, x, each.value, each.ci95, SIGN[each.mark], marker=marker, size=6.0)
        y += gap + tall
    _difficulties(sheet, y, [left + place * wide / slots for place in places], wide / slots, steps)
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
        sheet.line([from_, to], [y + 39, y + 39], MUTED, linewidth=0.7)
        sheet.text((from_ + to) / 2, y + 48, fit(kind, to - from_))
