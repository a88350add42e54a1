"""Curves of a watched training run: every ability and every probe over steps, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.board.text import HEADERS
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, RULE, SERIES, WORSE
from ssl4rl_bench.reports.figures.sheet import TEXT, WIDTH, Sheet, fit, minus, style, svg_of
from ssl4rl_bench.reports.text.cells import Result, dig
from ssl4rl_bench.reports.text.numbers import percent
from ssl4rl_bench.reports.views.base import View

COLUMNS = 3
MARKS = {"pass": ("o", BETTER), "fail": ("X", WORSE), "inconclusive": ("D", MUTED), "baseline": ("s", INK)}
"""A verdict's marker and colour."""
_PANEL, _GAP, _LEFT, _TOP = (138.0, 88.0), (38.0, 42.0), 34.0, 42.0
_RIGHT = WIDTH - _LEFT - COLUMNS * _PANEL[0] - (COLUMNS - 1) * _GAP[0]
assert _RIGHT > 0


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint."""

    step: float
    """With its part: 300.5 for one that lies between two steps."""
    name: str
    verdict: str
    result: Result


@dataclass(frozen=True, slots=True)
class _Panel:
    task: str
    name: str
    cell: tuple[str, ...]
    """Where its value stands in a task's aggregates."""
    chance: float | None

    @property
    def title(self) -> str:
        task = clean(short_name(self.task))
        return f"{task}: {HEADERS.get(self.name, clean(self.name))}" if self.name else task

    def of(self, result: Result) -> tuple[float, tuple[float, float] | None] | None:
        """Value and interval, fractions; None where a run lacks it."""
        cell = dig(result, "tasks", self.task, "aggregates", *self.cell)
        value, ends = number(cell.get("value")), [number(end) for end in cell.get("ci95") or ()]
        if value is None:
            return None
        low_high = (
            (ends[0], ends[1]) if len(ends) == 2 and ends[0] is not None and ends[1] is not None else None
        )
        return value, low_high


def curves(points: Sequence[Point], baseline: Result | None = None) -> View:
    """A panel for each benchmark, each of its abilities, and each probe; the table has the same numbers.

    Args:
        points: in any order.
        baseline: drawn as a band, where it is not one of the points.
    """
    points = sorted(points, key=lambda point: point.step)
    panels = _panels(point.result for point in points)
    with style():
        sheet = _draw(points, panels, baseline)
        svg = svg_of(sheet)
    return View(
        name="curves",
        title="Abilities and probes over training",
        sentence=_sentence(points),
        headers=("Step", "Verdict", *(panel.title for panel in panels)),
        rows=tuple(
            (clean(point.name), point.verdict, *(_cell(panel.of(point.result)) for panel in panels))
            for point in points
        ),
        svg=svg,
        figure=sheet.figure,
    )


def _panels(results: Iterable[Result]) -> list[_Panel]:
    found: dict[_Panel, None] = {}
    for result in results:
        for task, scores in dig(result, "tasks").items():
            probe = dig(scores, "probe")
            if probe:
                found[_Panel(task, "", ("row_micro", "overall"), number(probe.get("chance")))] = None
                continue
            found[_Panel(task, "", ("circular_micro", "overall"), None)] = None
            for ability in dig(scores, "aggregates", "circular_micro", "l2"):
                found[_Panel(task, ability, ("circular_micro", "l2", ability), None)] = None
    return list(found)


def _draw(points: Sequence[Point], panels: Sequence[_Panel], baseline: Result | None) -> Sheet:
    rows = max(1, math.ceil(len(panels) / COLUMNS))
    sheet = Sheet(_TOP + rows * (_PANEL[1] + _GAP[1]))
    shown = list(dict.fromkeys(point.verdict for point in points))
    entries = [(name, MARKS[name][1], MARKS[name][0]) for name in MARKS if name in shown]
    if baseline is not None:
        entries.append(("the baseline and its 95% interval", MUTED, "bar"))
    sheet.legend(10.0, entries)
    for at, panel in enumerate(panels):
        row, column = divmod(at, COLUMNS)
        left, top = _LEFT + column * (_PANEL[0] + _GAP[0]), _TOP + row * (_PANEL[1] + _GAP[1])
        sheet.text(left, top - 8, fit(panel.title, _PANEL[0], bold=True), ha="left", bold=True)
        axes = sheet.axes(left, top, *_PANEL)
        _fill(axes, panel, points, baseline)
    return sheet


def _fill(axes: Any, panel: _Panel, points: Sequence[Point], baseline: Result | None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    found = [(point, value) for point in points if (value := panel.of(point.result)) is not None]
    steps = [point.step for point, _ in found]
    axes.plot(steps, [100.0 * cell[0] for _, cell in found], color=SERIES[0], linewidth=1.0, zorder=3)
    seen = [cell[0] for _, cell in found]
    for point, cell in found:
        height, ends = cell
        if ends is not None:
            span = [100.0 * end for end in ends]
            axes.plot([point.step] * 2, span, color=SERIES[0], linewidth=0.9, alpha=0.6, zorder=2)
            seen += ends
        marker, colour = MARKS.get(point.verdict, ("o", INK))
        axes.plot(
            [point.step],
            [100.0 * height],
            marker=marker,
            color=colour,
            markersize=4,
            markeredgewidth=0,
            zorder=4,
        )
    if baseline is not None and (old := panel.of(baseline)) is not None:
        axes.axhline(100.0 * old[0], color=MUTED, linewidth=0.9, zorder=1)
        seen.append(old[0])
        if old[1] is not None:
            axes.axhspan(100.0 * old[1][0], 100.0 * old[1][1], color=MUTED, alpha=0.15, linewidth=0, zorder=0)
            seen += old[1]
    if panel.chance is not None:
        axes.axhline(100.0 * panel.chance, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        seen.append(panel.chance)
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    air = max(0.02, 0.08 * (high - low))
    axes.set_ylim(100.0 * (low - air), 100.0 * (high + air))
    reach = 0.04 * (max(steps) - min(steps)) or 1.0 if steps else 1.0
    axes.set_xlim(min(steps, default=0.0) - reach, max(steps, default=1.0) + reach)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(labelsize=TEXT - 1)
    axes.grid(True, color=RULE, linewidth=0.5)


def _sentence(points: Sequence[Point]) -> str:
    counts = {
        name: sum(point.verdict == name for point in points) for name in ("pass", "fail", "inconclusive")
    }
    judged = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none judged yet"
    return (
        f"{len(points)} checkpoints: {judged}. Percent over training steps; bars are 95% intervals of each accuracy "
        "alone, dotted lines a blind guess; the verdict rests on paired differences, which are sharper."
    )


def _cell(found: tuple[float, tuple[float, float] | None] | None) -> str:
    if found is None:
        return percent(None)
    value, ends = found
    return percent(value) + (f" [{percent(ends[0])}, {percent(ends[1])}]" if ends else "")
