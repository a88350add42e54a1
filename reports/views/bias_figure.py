"""The figure of `bias`: for each ability each checkpoint's gain from sight, and beside it how much more it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssl4rl_bench.reports.figures.axes import reach, slots
from ssl4rl_bench.reports.figures.palette import INK, MUTED, RULE, SERIES, SIGN
from ssl4rl_bench.reports.figures.sheet import MODELS, Sheet, fit
from ssl4rl_bench.reports.text.numbers import MARKS

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views.bias import Blinding
    from ssl4rl_bench.reports.views.contrasts import Contrast

_LEFT, _GAP = 66.0, 22.0
_INSTEAD = {"blank": "blank images", "shuffled": "another's images", "none": "no images"}


def draw(found: Sequence[Blinding], baseline: str) -> Sheet:
    labels = list(dict.fromkeys(model.label for blinding in found for model in blinding.models))
    colours = [INK, *(SERIES[at % len(SERIES)] for at in range(len(labels) - 1))]
    looks = {
        label: (colour, MODELS[at % len(MODELS)])
        for at, (label, colour) in enumerate(zip(labels, colours, strict=True))
    }
    sheet = Sheet()
    y = sheet.legend(10, [(label, *look) for label, look in looks.items()], _LEFT) + 4
    for blinding in found:
        models = blinding.models
        gains: list[list[Contrast | None]] = [[cell.gain for cell in model.cells] for model in models]
        more = [[cell.more for cell in model.cells] for model in models]
        panels = [(f"Gain from sight: real minus {_INSTEAD[blinding.image]}", "points", gains)]
        if len(models) > 1:
            note = "points; ▲ ▼ beyond chance after correction"
            panels.append((f"… minus {baseline}'s gain", note, more))
        headers = [cell.column.header for cell in models[0].cells]
        y = _panels(sheet, y, headers, panels, [looks[model.label] for model in models])
    sheet.height = y
    return sheet


def _panels(
    sheet: Sheet,
    y: float,
    headers: Sequence[str],
    panels: Sequence[tuple[str, str, Sequence[Sequence[Contrast | None]]]],
    looks: Sequence[tuple[str, str]],
) -> float:
    """Draws panels beside each other: title, note, and contrasts (models, columns); returns where they end."""
    slot = 9.0 * len(looks) + 9.0
    height = len(headers) * slot
    wide = (sheet.width - _LEFT - 16 + _GAP) / len(panels) - _GAP
    for at, header in enumerate(headers):
        sheet.text(_LEFT - 8, y + 18 + (at + 0.5) * slot, header, side="right")
    for number, (title, note, cells) in enumerate(panels):
        left = _LEFT + number * (wide + _GAP)
        sheet.text(left, y + 8, fit(title, wide, bold=True), side="left", bold=True)
        ends = reach(cell for line in cells for cell in line)
        axes = slots(sheet, (left, y + 18, wide, height), len(headers), ends, sideways=True)
        for at in range(1, len(headers)):
            axes.line((at, at), axes.values, RULE, width=0.6)
        for at, (line, (colour, marker)) in enumerate(zip(cells, looks, strict=True)):
            for column, cell in enumerate(line):
                if cell is None:
                    continue
                # Labels that are equal when they are shortened share a line.
                place = column % len(headers) + (at + 1) / (len(looks) + 1)
                axes.whisker(place, cell, colour, marker)
                if cell.mark and number:
                    y_mark = axes.place(place, 0.0)[1]
                    sheet.text(left + wide + 3, y_mark, MARKS[cell.mark], SIGN[cell.mark], side="left")
        sheet.text(left + wide / 2, y + height + 38, note, MUTED)
    return y + height + 50
