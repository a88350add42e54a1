"""The figure of `bias`: for each ability each checkpoint's gain from sight, and beside it how much more it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.reports.figures.palette import INK, MUTED, RULE, SERIES
from ssl4rl_bench.reports.figures.sheet import MARKERS, SIGN, TEXT, Sheet, fit, frame, whisker
from ssl4rl_bench.reports.text.numbers import MARKS

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views.bias import Blinding, Model

_LEFT = 66.0
_GAP = 22.0


def draw(found: Sequence[Blinding], baseline: str) -> Sheet:
    labels = list(dict.fromkeys(model.label for blinding in found for model in blinding.models))
    looks = {
        label: (INK if not at else SERIES[(at - 1) % len(SERIES)], MARKERS[at % len(MARKERS)])
        for at, label in enumerate(labels)
    }
    heights = [_height(blinding) for blinding in found]
    lines = 1 + len(labels) // 3
    sheet = Sheet(14 + 13 * lines + sum(height + 46 for height in heights))
    y = sheet.legend(10, [(label, *look) for label, look in looks.items()], _LEFT) + 4
    for blinding, height in zip(found, heights, strict=True):
        _panels(sheet, y, height, blinding, baseline, looks)
        y += height + 46
    return sheet


def _height(blinding: Blinding) -> float:
    return len(blinding.models[0].cells) * (9.0 * len(blinding.models) + 9.0)


def _panels(
    sheet: Sheet,
    y: float,
    height: float,
    blinding: Blinding,
    baseline: str,
    looks: dict[str, tuple[str, str]],
) -> None:
    columns = [cell.column for cell in blinding.models[0].cells]
    two = len(blinding.models) > 1
    wide = (sheet.width - _LEFT - 16 - (_GAP if two else 0)) / (2 if two else 1)
    right = _LEFT + wide + _GAP
    slot = height / len(columns)
    instead = {"blank": "blank images", "shuffled": "another's images", "none": "no images"}[blinding.image]
    sheet.text(
        _LEFT, y + 8, fit(f"Gain from sight: real minus {instead}", wide, 8.0, True), ha="left", bold=True
    )
    gains = sheet.axes(_LEFT, y + 18, wide, height)
    frame(
        gains,
        len(columns),
        [end for m in blinding.models for c in m.cells for end in (c.gain.value, *(c.gain.ci95 or ()))],
        horizontal=True,
    )
    axes = [gains]
    if two:
        sheet.text(right, y + 8, fit(f"… minus {baseline}'s gain", wide, 8.0, True), ha="left", bold=True)
        more = sheet.axes(right, y + 18, wide, height)
        ends = [
            end
            for m in blinding.models
            for c in m.cells
            if c.more
            for end in (c.more.value, *(c.more.ci95 or ()))
        ]
        frame(more, len(columns), ends, horizontal=True)
        axes.append(more)
    for at, column in enumerate(columns):
        sheet.text(_LEFT - 8, y + 18 + (at + 0.5) * slot, column.header, ha="right")
        for one in axes:
            if at:
                one.axhline(at, color=RULE, linewidth=0.6)
    for number, model in enumerate(blinding.models):
        _dots(axes, columns, model, (number + 1) / (len(blinding.models) + 1), looks[model.label])
    sheet.text(_LEFT + wide / 2, y + height + 34, "points", MUTED)
    if two:
        sheet.text(right + wide / 2, y + height + 34, "points; ▲ ▼ beyond chance after correction", MUTED)


def _dots(
    axes: Sequence[Any], columns: Sequence[object], model: Model, share: float, look: tuple[str, str]
) -> None:
    colour, marker = look
    for cell in model.cells:
        y = columns.index(cell.column) + share
        whisker(axes[0], y, cell.gain.value, cell.gain.ci95, colour, marker=marker, horizontal=True)
        if cell.more is None:
            continue
        whisker(axes[1], y, cell.more.value, cell.more.ci95, colour, marker=marker, horizontal=True)
        if cell.more.mark:
            _mark(axes[1], cell.more.mark, y)


def _mark(axes: Any, mark: str, y: float) -> None:
    """In the margin to the right of the axes."""
    axes.annotate(
        MARKS[mark],
        (1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        ha="left",
        va="center_baseline",
        color=SIGN[mark],
        fontsize=TEXT,
    )
