"""The curves of a watched training run: every ability and every probe over steps, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.board.text import category
from ssl4rl_bench.reports.figures.axes import PERCENT, over_steps, reach, ticks
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, WORSE
from ssl4rl_bench.reports.figures.sheet import Sheet, fit
from ssl4rl_bench.reports.text.cells import CellEstimate, Result, cell_estimate, dig, short
from ssl4rl_bench.reports.text.numbers import interval, percent
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.score.headline import headline_of

COLUMNS = 3
MARKS = {"pass": ("o", BETTER), "fail": ("X", WORSE), "inconclusive": ("D", MUTED), "baseline": ("s", INK)}
"""The marker and the colour of each verdict."""
_PANEL, _GAP, _LEFT, _TOP = (138.0, 88.0), (38.0, 42.0), 34.0, 42.0


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A checkpoint on the curves."""

    step: float
    """The training step; a fraction such as 300.5 for a checkpoint that lies between two steps."""
    name: str
    verdict: str
    result: Result


@dataclass(frozen=True, slots=True)
class _Panel:
    task: str
    name: str
    cell: tuple[str, ...]
    """The path of keys to the value in a task's aggregates."""
    chance: float | None

    @property
    def title(self) -> str:
        task = short(self.task)
        return f"{task}: {category(self.name)}" if self.name else task

    def of(self, result: Result | None) -> CellEstimate | None:
        """Returns the panel's value in a run, or None if the run lacks it."""
        return cell_estimate(dig(result, "tasks", self.task, "aggregates", *self.cell))


def curves(points: Sequence[CurvePoint], baseline: Result | None = None) -> View:
    """Makes a panel per benchmark, per ability and per probe; the table has the same numbers.

    Args:
        points: the checkpoints, in any order.
        baseline: the result drawn as a band; None if the baseline is one of the points.
    """
    points = sorted(points, key=lambda point: point.step)
    panels = _panels([point.result for point in points])
    return View(
        name="curves",
        title="Abilities and probes over training",
        sentence=_sentence(points),
        headers=("Step", "Verdict", *(panel.title for panel in panels)),
        rows=tuple(
            (clean(point.name), point.verdict, *(_cell(panel.of(point.result)) for panel in panels))
            for point in points
        ),
        sheet=_draw(points, panels, baseline),
    )


def _panels(results: Sequence[Result]) -> list[_Panel]:
    panels: dict[_Panel, None] = {}
    for result in results:
        for task, scores in dig(result, "tasks").items():
            probe = dig(scores, "probe")
            if probe:
                panels[_Panel(task, "", ("row_micro", "overall"), number(probe.get("chance")))] = None
                continue
            how = headline_of(results, task)
            panels[_Panel(task, "", (how, "overall"), None)] = None
            for ability in dig(scores, "aggregates", how, "l2"):
                panels[_Panel(task, ability, (how, "l2", ability), None)] = None
    return list(panels)


def _draw(points: Sequence[CurvePoint], panels: Sequence[_Panel], baseline: Result | None) -> Sheet:
    rows = max(1, math.ceil(len(panels) / COLUMNS))
    sheet = Sheet(height=_TOP + rows * (_PANEL[1] + _GAP[1]))
    shown = list(dict.fromkeys(point.verdict for point in points))
    entries = [(name, MARKS[name][1], MARKS[name][0]) for name in MARKS if name in shown]
    if baseline is not None:
        entries.append(("the baseline and its 95% interval", MUTED, "bar"))
    sheet.legend(10.0, entries)
    for index, panel in enumerate(panels):
        row, column = divmod(index, COLUMNS)
        left, top = _LEFT + column * (_PANEL[0] + _GAP[0]), _TOP + row * (_PANEL[1] + _GAP[1])
        sheet.text(left, top - 8, fit(panel.title, _PANEL[0], bold=True), side="left", bold=True)
        _fill(sheet, (left, top, *_PANEL), panel, points, baseline)
    return sheet


def _fill(
    sheet: Sheet,
    box: tuple[float, float, float, float],
    panel: _Panel,
    points: Sequence[CurvePoint],
    baseline: Result | None,
) -> None:
    measured = [(point, cell) for point in points if (cell := panel.of(point.result)) is not None]
    steps = [point.step for point, _ in measured]
    old = panel.of(baseline)
    seen = reach([*(cell for _, cell in measured), old])
    seen += [] if panel.chance is None else [panel.chance]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    air = max(0.02, 0.08 * (high - low))
    scale = low - air, high + air
    axes = over_steps(sheet, box, steps, scale, ticks(*scale, 6, PERCENT))
    if old is not None:
        if old.ci95 is not None:
            axes.band(axes.across, old.ci95, MUTED, opacity=0.15)
        axes.level(old.value, MUTED)
    if panel.chance is not None:
        axes.level(panel.chance, INK, width=0.8, dashes=(0.8, 1.6))
    for point, cell in measured:
        if cell.ci95 is not None:
            axes.line((point.step, point.step), cell.ci95, BETTER, opacity=0.6)
    axes.line(steps, [cell.value for _, cell in measured], BETTER, width=1.0)
    for point, cell in measured:
        axes.marks([point.step], [cell.value], *MARKS.get(point.verdict, ("o", INK)), size=4.0)


def _sentence(points: Sequence[CurvePoint]) -> str:
    counts = {
        name: sum(point.verdict == name for point in points) for name in ("pass", "fail", "inconclusive")
    }
    judged = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none judged yet"
    plural = "" if len(points) == 1 else "s"
    return (
        f"{len(points)} checkpoint{plural}: {judged}. Percent over training steps; bars are 95% intervals of each "
        "accuracy alone, dotted lines a blind guess; the verdict is based on paired differences, which are more "
        "precise."
    )


def _cell(cell: CellEstimate | None) -> str:
    if cell is None:
        return percent(None)
    return percent(cell.value) + (f" {interval(cell.ci95)}" if cell.ci95 else "")
