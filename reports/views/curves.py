"""The curves of a watched training run: every ability and every probe over steps, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.board.columns import columns_of
from ssl4rl_bench.reports.board.text import category
from ssl4rl_bench.reports.figures.axes import PERCENT, over_steps, reach, ticks
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, WORSE
from ssl4rl_bench.reports.figures.sheet import Sheet, fit
from ssl4rl_bench.reports.text.cells import CellEstimate, Result, cell_estimate, dig, short
from ssl4rl_bench.reports.text.margins import MARGIN, margin_of, nats, nats_interval
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, listed, percent
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.score.headline import headline_of

COLUMNS = 3
MARKS = {"pass": ("o", BETTER), "fail": ("X", WORSE), "inconclusive": ("D", MUTED), "baseline": ("s", INK)}
"""The marker and the colour of each verdict."""
_BASELINE = "the baseline and its 95% interval"
_PANEL, _GAP, _LEFT, _TOP = (138.0, 88.0), (38.0, 52.0), 34.0, 42.0
_ALONE = (_LEFT, 4.0, 200.0, 110.0)
"""Left, top, width and height of the axes of a panel on a sheet of its own."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A checkpoint on the curves."""

    step: float
    """The training step; a fraction such as 300.5 for a checkpoint that lies between two steps."""
    name: str
    verdict: str
    result: Result
    reason: str = ""
    """The test or guard that decided the verdict, in one sentence; empty for a pass."""


@dataclass(frozen=True, slots=True)
class _Panel:
    task: str
    name: str
    cell: tuple[str, ...]
    """The path of keys to the value in a task's aggregates."""
    chance: float | None
    """The value of a guess; None for a benchmark."""
    is_margin: bool = False
    """Whether the values are margins in nats instead of fractions."""

    @property
    def title(self) -> str:
        task = short(self.task)
        if self.is_margin:
            return f"{task}: margin (nats)"
        return (
            task if self.chance is not None else f"{task}: {category(self.name) if self.name else 'Average'}"
        )

    @property
    def guess(self) -> str:
        """The label of the line of a guess."""
        return "a guess: 0" if self.is_margin else f"chance {percent(self.chance).rstrip('0').rstrip('.')}%"

    def of(self, result: Result | None) -> CellEstimate | None:
        """Returns the panel's value in a run, or None if the run lacks it."""
        return cell_estimate(dig(result, "tasks", self.task, *self.cell))

    def forms(self, points: Sequence[CurvePoint]) -> set[str]:
        """Returns the forms in which the margins were measured. Margins in different forms are not comparable."""
        margins = [margin_of(point.result, self.task) for point in points] if self.is_margin else []
        return {margin.form for margin in margins if margin.value is not None}

    def text(self, cell: CellEstimate | None) -> str:
        """Returns the text of a value for the table."""
        if cell is None:
            return NO_DATA
        value, ends = (nats, nats_interval) if self.is_margin else (percent, interval)
        return value(cell.value) + (f" {ends(cell.ci95)}" if cell.ci95 else "")


def curves(points: Sequence[CurvePoint], baseline: Result | None = None) -> View:
    """Makes a panel per benchmark, per ability and per probe; the table has the same numbers.

    Args:
        points: the checkpoints, in any order.
        baseline: the result drawn as a band; None if the baseline is one of the points.
    """
    points = sorted(points, key=lambda point: point.step)
    panels = _panels([point.result for point in points])
    reasons = ("Decided by",) if any(point.reason for point in points) else ()
    return View(
        name="curves",
        title="Abilities and probes over training",
        sentence=_sentence(points, panels),
        headers=("Step", "Verdict", *reasons, *(panel.title for panel in panels)),
        rows=tuple(
            (
                clean(point.name),
                point.verdict,
                *(clean(point.reason, 300) for _ in reasons),
                *(panel.text(panel.of(point.result)) for panel in panels),
            )
            for point in points
        ),
        sheet=_draw(points, panels, baseline),
        panels=tuple(_panel_sheets(points, panels, baseline)),
        texts=("Verdict", *reasons),
    )


def _panels(results: Sequence[Result]) -> list[_Panel]:
    panels: dict[_Panel, None] = {}
    for result in results:
        for task, scores in dig(result, "tasks").items():
            probe = dig(scores, "probe")
            if probe:
                accuracy = ("aggregates", "row_micro", "overall")
                panels[_Panel(task, "", accuracy, number(probe.get("chance")))] = None
                if any(margin_of(other, task).value is not None for other in results):
                    panels[_Panel(task, "", ("probe", "margin"), 0.0, is_margin=True)] = None
                continue
            how = headline_of(results, task)
            panels[_Panel(task, "", ("aggregates", how, "overall"), None)] = None
            measured = dig(scores, "aggregates", how, "l2")
            for column in columns_of(results, task):
                if column.name in measured:
                    panels[_Panel(task, column.name, ("aggregates", how, "l2", column.name), None)] = None
    return list(panels)


def _draw(points: Sequence[CurvePoint], panels: Sequence[_Panel], baseline: Result | None) -> Sheet:
    rows = max(1, math.ceil(len(panels) / COLUMNS))
    sheet = Sheet(height=_TOP + rows * (_PANEL[1] + _GAP[1]))
    sheet.legend(10.0, _legend(points, baseline))
    for index, panel in enumerate(panels):
        row, column = divmod(index, COLUMNS)
        left, top = _LEFT + column * (_PANEL[0] + _GAP[0]), _TOP + row * (_PANEL[1] + _GAP[1])
        sheet.text(left, top - 8, fit(panel.title, _PANEL[0], bold=True), side="left", bold=True)
        _fill(sheet, (left, top, *_PANEL), panel, points, baseline)
    return sheet


def _panel_sheets(
    points: Sequence[CurvePoint], panels: Sequence[_Panel], baseline: Result | None
) -> Iterator[tuple[str, Sheet]]:
    """Yields a sheet with the legend, and one per panel with its title as the caption."""
    left, top, width, height = _ALONE
    legend = Sheet(left + width + 8)
    legend.height = legend.legend(8.0, _legend(points, baseline))
    if panels:
        yield "", legend
    for panel in panels:
        sheet = Sheet(left + width + 8, top + height + 30)
        _fill(sheet, _ALONE, panel, points, baseline)
        yield panel.title, sheet


def _legend(points: Sequence[CurvePoint], baseline: Result | None) -> list[tuple[str, str, str]]:
    shown = {point.verdict for point in points}
    entries = [(name, MARKS[name][1], MARKS[name][0]) for name in MARKS if name in shown]
    if baseline is not None:
        entries.append((_BASELINE, MUTED, "bar"))
    return entries


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
    air = max(0.005 if panel.is_margin else 0.02, 0.08 * (high - low))
    scale = low - air, high + air
    marks = ticks(*scale, 6) if panel.is_margin else ticks(*scale, 6, PERCENT, "%")
    axes = over_steps(sheet, box, steps, scale, marks, only_steps=True)
    left, top, width, height = box
    sheet.text(left + width / 2, top + height + 20, "training step", MUTED)
    if old is not None:
        if old.ci95 is not None:
            axes.band(axes.across, old.ci95, MUTED, opacity=0.15)
        axes.level(old.value, MUTED)
    if panel.chance is not None:
        axes.level(panel.chance, INK, width=0.8, dashes=(0.8, 1.6))
        x, y = axes.place(axes.across[1], panel.chance)
        sheet.text(x - 2, y - 5, panel.guess, INK, side="right")
    for point, cell in measured:
        if cell.ci95 is not None:
            axes.line((point.step, point.step), cell.ci95, BETTER, opacity=0.6)
    if len(panel.forms(points)) < 2:
        axes.line(steps, [cell.value for _, cell in measured], BETTER, width=1.0)
    for point, cell in measured:
        axes.marks([point.step], [cell.value], *MARKS.get(point.verdict, ("o", INK)), size=4.0)


def _sentence(points: Sequence[CurvePoint], panels: Sequence[_Panel]) -> str:
    counts = {
        name: sum(point.verdict == name for point in points) for name in ("pass", "fail", "inconclusive")
    }
    judged = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none judged yet"
    plural = "" if len(points) == 1 else "s"
    return (
        f"{len(points)} checkpoint{plural}: {judged}. Bars are 95% intervals of each accuracy alone, dotted lines "
        "the chance level of a blind guess; the verdict is based on paired differences, which are more precise."
        + (f" {MARGIN}" if any(panel.is_margin for panel in panels) else "")
        + (
            f" Answers to {listed(mixed)} were scored in different forms: those margins are not comparable, and no "
            "line joins them."
            if (mixed := [short(panel.task) for panel in panels if len(panel.forms(points)) > 1])
            else ""
        )
    )
