"""Draws the figure of `attend`: effects of hidden parts, attention by layer, and maps of hidden cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.reports.figures.axes import Axes, reach, ticks
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, RULE, SERIES, WORSE
from ssl4rl_bench.reports.figures.sheet import MODELS, Sheet, fit, minus

_NAMES = {
    "asked": "Asked hidden",
    "other": "Other hidden",
    "empty": "Empty hidden",
    "contrast": "Asked − other",
    "blank": "Blank",
    "shuffled": "Shuffled",
}
_LEFT, _GAP, _SLOT, _SIDE = 82.0, 42.0, 34.0, 34.0
_STRONGEST = 0.6
_PER_LINE = 3


@dataclass(frozen=True, slots=True)
class _Point:
    """A value with its interval."""

    value: float
    ci95: tuple[float, float] | None


def draw(values: Mapping[str, Any]) -> Sheet:
    """Draws the result of `attend` in JSON values."""
    sheet = Sheet()
    models: Sequence[Mapping[str, Any]] = values["models"]
    colours = [INK, *(SERIES[index % len(SERIES)] for index in range(len(models) - 1))]
    looks = [(colour, MODELS[index % len(MODELS)]) for index, colour in enumerate(colours)]
    legend = [(model["label"], *look) for model, look in zip(models, looks, strict=True)]
    has_layers = any(model["layers"] for model in models)
    y = sheet.legend(10, legend, _LEFT) + 6
    wide = (sheet.width - _LEFT - 16 - _GAP) / 2 if has_layers else sheet.width - _LEFT - 16
    bottom = _effects(sheet, (_LEFT, y, wide), models, looks)
    if has_layers:
        bottom = max(bottom, _layers(sheet, (_LEFT + wide + _GAP, y, wide), models, looks))
    if any(model["cells"] for model in models):
        bottom = _maps(sheet, bottom + 8, models)
    sheet.height = bottom
    return sheet


def _effects(
    sheet: Sheet, place: tuple[float, float, float], models: Sequence[Any], looks: Sequence[tuple[str, str]]
) -> float:
    """Draws the effects of all checkpoints, a line per effect; returns the lower end."""
    left, top, wide = place
    names = list(models[0]["effects"])
    points = [[_point(model["effects"][name]) for name in names] for model in models]
    ends = [0.0, *reach(point for line in points for point in line)]
    air = 0.06 * (max(ends) - min(ends)) or 1.0
    high = _SLOT * len(names)
    sheet.text(left, top + 6, "Change of the margin, nats", side="left", bold=True)
    axes = Axes(
        sheet,
        (left, top + 14, wide, high),
        (0.0, len(names)),
        (min(ends) - air, max(ends) + air),
        sideways=True,
    )
    axes.ticks(ticks(*axes.values, 5))
    axes.level(0.0, INK, width=0.8)
    for index, name in enumerate(names):
        bold = index == len(names) - 1
        sheet.text(left - 8, top + 14 + (index + 0.5) * _SLOT, _NAMES[name], side="right", bold=bold)
        if index:
            axes.line((index, index), axes.values, RULE, width=0.6)
        for number, (line, (colour, marker)) in enumerate(zip(points, looks, strict=True)):
            axes.whisker(index + (number + 1) / (len(looks) + 1), line[index], colour, marker)
    return top + 14 + high + 20


def _layers(
    sheet: Sheet, place: tuple[float, float, float], models: Sequence[Any], looks: Sequence[tuple[str, str]]
) -> float:
    """Draws attention by layer, with the raw ratio in grey; returns the lower end."""
    left, top, wide = place
    rows = [(model["layers"], look) for model, look in zip(models, looks, strict=True) if model["layers"]]
    points = [[_Point(row["ratio"], _ends(row["ci95"])) for row in layers] for layers, _ in rows]
    raw = [row["raw"] for layers, _ in rows for row in layers]
    ends = [1.0, *raw, *reach(point for line in points for point in line)]
    air = 0.08 * (max(ends) - min(ends)) or 0.1
    n, high = max(len(layers) for layers, _ in rows), _SLOT * 4
    sheet.text(left, top + 6, "Attention: asked over not asked, by layer", side="left", bold=True)
    axes = Axes(sheet, (left, top + 14, wide, high), (0.0, n), (min(ends) - air, max(ends) + air))
    axes.ticks(ticks(*axes.values, 6))
    axes.level(1.0, INK, width=0.8)
    step = max(1, n // 12)
    for index in range(0, n, step):
        sheet.text(axes.place(index + 0.5, axes.values[0])[0], top + 14 + high + 9, str(index + 1), MUTED)
    for number, ((layers, (colour, marker)), line) in enumerate(zip(rows, points, strict=True)):
        middles = [index + 0.5 for index in range(len(layers))]
        axes.line(middles, [row["raw"] for row in layers], MUTED, width=0.8, opacity=0.5, dashes=(3.0, 2.0))
        for index, point in enumerate(line):
            axes.whisker(index + (number + 1) / (len(rows) + 1), point, colour, marker)
    sheet.text(
        left, top + 14 + high + 22, "dashed grey: raw ratio over the area, not evidence", MUTED, side="left"
    )
    return top + 14 + high + 32


def _maps(sheet: Sheet, top: float, models: Sequence[Any]) -> float:
    """Draws for each checkpoint a map of the change of the margin by hidden cell; returns the lower end."""
    shown = [model for model in models if model["cells"]]
    strongest = max([0.01, *(abs(cell["value"]) for model in shown for cell in model["cells"])])
    sheet.text(_LEFT, top + 6, "Change of the margin if a cell is hidden, nats", side="left", bold=True)
    top += 14
    n = math.isqrt(len(shown[0]["cells"]))
    for number, model in enumerate(shown):
        row, column = divmod(number, _PER_LINE)
        left = _LEFT + column * (n * _SIDE + 14)
        y = top + row * (n * _SIDE + 28)
        sheet.text(left, y + 8, fit(model["label"], n * _SIDE), side="left")
        for index, cell in enumerate(model["cells"]):
            i, j = divmod(index, n)
            x, above = left + j * _SIDE, y + 16 + i * _SIDE
            share = cell["value"] / strongest
            sheet.box(
                x + 0.5,
                above + 0.5,
                _SIDE - 1,
                _SIDE - 1,
                BETTER if share > 0 else WORSE,
                _STRONGEST * abs(share),
            )
            sheet.text(x + _SIDE / 2, above + _SIDE / 2, minus(f"{cell['value']:+.2f}"))
    return top + (1 + (len(shown) - 1) // _PER_LINE) * (n * _SIDE + 28)


def _point(mean: Mapping[str, Any]) -> _Point:
    return _Point(float(mean["value"]), _ends(mean["ci95"]))


def _ends(ends: Sequence[float] | None) -> tuple[float, float] | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
