"""Training task by ability: what each checkpoint gained or lost against the baseline, negative transfer marked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median

from ssl4rl_bench.comparison.compare import compare
from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import COLUMNS
from ssl4rl_bench.reports.board.probes import AGGREGATION, probe_tasks
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, WORSE
from ssl4rl_bench.reports.figures.sheet import STRONGEST, Sheet, fit, minus, style, svg_of, width_of
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA, percent, points
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.runs import Runs, short
from ssl4rl_bench.reports.views.training import same_task, words
from ssl4rl_bench.reports.views.wording import listed, noted, worst_first
from ssl4rl_bench.score.aggregate import OVERALL

_ROW = 30.0
_GAP = 14.0


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    headers: tuple[str, ...]
    tasks: tuple[str, ...]
    """Each column's probe; empty for abilities."""
    cells: tuple[tuple[Difference | None, ...], ...]
    """(checkpoints, columns)"""


def transfer(runs: Runs) -> View:
    """The view of checkpoints against the baseline.

    Holm's correction as in `compare`: all checkpoints' abilities are one family, their Averages another, and each
    probe's checkpoints one.

    Raises:
        UsageError: no benchmark, no second run, or runs that must not be compared.
    """
    candidates = runs.need_candidates("transfer")
    found = compare(runs.baseline, candidates, runs.benchmark, aggregation=runs.aggregation, allow=runs.allow)
    columns = [c for c in COLUMNS if any(each.find(c.level, c.name) for each in found)]
    abilities = _Panel(
        f"{short(runs.benchmark)}, {runs.aggregation}",
        tuple(column.header for column in columns),
        ("",) * len(columns),
        tuple(tuple(each.find(column.level, column.name) for column in columns) for each in found),
    )
    panels = [abilities]
    notes = [note for each in found for note in each.notes]
    probes = probe_tasks([runs.baseline, *candidates])
    if probes:
        by_probe = [
            compare(runs.baseline, candidates, task, by=OVERALL, aggregation=AGGREGATION, allow=runs.allow)
            for task in probes
        ]
        notes += [note for each in by_probe for one in each for note in one.notes]
        panels.append(
            _Panel(
                "SSL probes, accuracy",
                tuple(words([task]) for task in probes),
                tuple(probes),
                tuple(tuple(each[at].overall for each in by_probe) for at in range(len(candidates))),
            )
        )
    names = [clean(run.label) for run in candidates]
    trained = [runs.trained.get(run.label) for run in candidates]
    with style():
        sheet = _draw(panels, names, trained)
        svg = svg_of(sheet)
    return View(
        name="transfer",
        title=f"Transfer: what each training changed against {clean(runs.baseline.label)}, in points",
        sentence=_sentence(clean(runs.baseline.label), names, abilities)
        + _on_average(names, abilities)
        + noted(notes),
        headers=("Checkpoint", "Trained on", *(header for panel in panels for header in panel.headers)),
        rows=(
            *(
                (name, words(tasks), *(_text(cell) for panel in panels for cell in panel.cells[at]))
                for at, (name, tasks) in enumerate(zip(names, trained, strict=True))
            ),
            ("MDE", "", *(_mde_text(panel, at) for panel in panels for at in range(len(panel.headers)))),
        ),
        svg=svg,
        figure=sheet.figure,
    )


def _text(cell: Difference | None) -> str:
    if cell is None or cell.ci95 is None:
        return NO_DATA if cell is None else points(cell.value)
    return f"{points(cell.value)}{MARKS[cell.mark]}\n[{points(cell.ci95[0])},\n{points(cell.ci95[1])}]"


def _mde_text(panel: _Panel, at: int, decimals: int = 2) -> str:
    known = [cell.mde for row in panel.cells if (cell := row[at]) is not None]
    return NO_DATA if not known else f"±{100 * median(known):.{decimals}f}"


def _sentence(baseline: str, names: Sequence[str], panel: _Panel) -> str:
    """Abilities only: the Average is their sum, not another ability."""
    single = [at for at, header in enumerate(panel.headers) if header != "Average"]
    marked = [
        (names[row], panel.headers[at], cell)
        for row, line in enumerate(panel.cells)
        for at in single
        if (cell := line[at]) is not None and cell.mark
    ]
    up = {name for name, _, cell in marked if cell.mark == "better"}
    down = {name for name, _, cell in marked if cell.mark == "worse"}
    n = len(names)
    if not marked:
        mdes = [cell.mde for line in panel.cells for cell in (line[at] for at in single) if cell is not None]
        if not mdes:
            return "The questions belong to none of MMBench's abilities, so only the Average is compared."
        which = "The checkpoint is not" if n == 1 else f"None of {n} checkpoints is"
        return (
            f"{which} shown to be better or worse than {baseline} on any ability; differences below "
            f"{percent(min(mdes))} to {percent(max(mdes))} points, depending on the ability, would rarely be found."
        )
    text = (
        f"Of {n} checkpoint{'s' if n > 1 else ''}, {_are(up)} shown to be better than {baseline} on some ability, "
        f"and {_are(down)} worse on some"
    )
    lost = worst_first([each for each in marked if each[2].mark == "worse"])
    if not lost:
        return f"{text}; no negative transfer is shown, which is not to say that there is none."
    shown = [
        f"{name} on {listed([f'{header} ({points(cell.value)})' for who, header, cell in lost if who == name])}"
        for name in list(dict.fromkeys(name for name, _, _ in lost))[:4]
    ]
    more = [f"{len(down) - 4} more"] if len(down) > 4 else []
    text += f". Negative transfer, in points: {'; '.join([*shown, *more])}"
    name, header, cell = lost[0]
    if abs(cell.from_reading.value) >= 0.0005:
        text += (
            f". Of the greatest, {name}'s on {header}, {points(cell.from_reading.value)} points come from replies "
            f"that could be read in one of the two runs only, {points(cell.from_answers.value)} from changed answers"
        )
    return f"{text}."


def _are(names: Collection[str]) -> str:
    return f"{len(names) or 'none'} {'is' if len(names) < 2 else 'are'}"


def _on_average(names: Sequence[str], panel: _Panel) -> str:
    """Who is better and who worse on the whole, where anybody is."""
    at = panel.headers.index("Average") if "Average" in panel.headers else None
    if at is None:
        return ""
    out = []
    for mark in ("better", "worse"):
        own = [
            f"{name} ({points(cell.value)})"
            for name, line in zip(names, panel.cells, strict=True)
            if (cell := line[at]) is not None and cell.mark == mark
        ]
        if own:
            out.append(f"{listed(own)} {'is' if len(own) == 1 else 'are'} {mark}")
    return f" On Average {' and '.join(out)}." if out else ""


def _draw(panels: Sequence[_Panel], names: Sequence[str], trained: Sequence[tuple[str, ...] | None]) -> Sheet:
    cells = [cell for panel in panels for line in panel.cells for cell in line if cell is not None]
    top = max(0.01, *(abs(cell.value) for cell in cells))
    left = 8 + min(
        126.0, max(60.0, *(width_of(name, 8.5, True) for name in names), *map(width_of, map(words, trained)))
    )
    wide = max(
        max((width_of(_small(cell)) for cell in cells), default=0.0) + 7,
        *(width_of(header) + 6 for panel in panels for header in panel.headers),
    )
    most = max(len(panel.headers) for panel in panels)
    tall = sum(34 + (len(names)) * _ROW + 16 for _ in panels) + (len(panels) - 1) * _GAP
    sheet = Sheet(tall + 60, max(left + 8 + most * wide + 4, left + 330))
    y = 4.0
    for panel in panels:
        sheet.text(left + 8, y + 7, panel.title, bold=True, ha="left")
        for at, header in enumerate(panel.headers):
            sheet.text(left + 8 + (at + 0.5) * wide, y + 23, header, MUTED)
        y += 34
        for row, line in enumerate(panel.cells):
            sheet.text(left, y + 10, fit(names[row], left - 8, 8.5, True), ha="right", size=8.5, bold=True)
            sheet.text(left, y + 21, fit(words(trained[row]), left - 8), MUTED, ha="right")
            for at, cell in enumerate(line):
                own = any(same_task(panel.tasks[at], task) for task in trained[row] or ())
                _tile(sheet, left + 8 + at * wide, y, wide, cell, top, own)
            y += _ROW
        sheet.text(left, y + 8, "MDE", MUTED, ha="right")
        for at in range(len(panel.headers)):
            sheet.text(left + 8 + (at + 0.5) * wide, y + 8, _mde_text(panel, at, 1), MUTED)
        y += 16 + _GAP
    _scale(sheet, left + 8, y - 6, top, any(panel.tasks[0] for panel in panels))
    return sheet


def _tile(
    sheet: Sheet, x: float, y: float, wide: float, cell: Difference | None, top: float, own: bool
) -> None:
    if cell is None:
        sheet.text(x + wide / 2, y + _ROW / 2, NO_DATA, MUTED)
        return
    sheet.box(
        x + 1,
        y + 1,
        wide - 2,
        _ROW - 2,
        fill=BETTER if cell.value > 0 else WORSE,
        alpha=STRONGEST * abs(cell.value) / top,
    )
    if own:
        sheet.box(x + 1.5, y + 1.5, wide - 3, _ROW - 3, edge=INK)
    text = minus(f"{100 * cell.value:+.1f}") + (f" {MARKS[cell.mark]}" if cell.mark else "")
    sheet.text(x + wide / 2, y + 10, text, size=9.0, bold=bool(cell.mark))
    sheet.text(x + wide / 2, y + 21.5, _small(cell))


def _small(cell: Difference) -> str:
    if cell.ci95 is None:
        return NO_DATA
    return minus(f"[{100 * cell.ci95[0]:+.1f}, {100 * cell.ci95[1]:+.1f}]")


def _scale(sheet: Sheet, x: float, y: float, top: float, probes: bool) -> None:
    """The colours from most worse to most better, and what the marks say."""
    wide, steps = 150.0, 21
    for at in range(steps):
        value = 2 * at / (steps - 1) - 1
        sheet.box(
            x + wide * at / steps,
            y,
            wide / steps,
            8,
            fill=BETTER if value > 0 else WORSE,
            alpha=STRONGEST * abs(value),
        )
    sheet.text(x, y + 16, minus(f"{-100 * top:.1f}"), MUTED, ha="left")
    sheet.text(x + wide / 2, y + 16, "0", MUTED)
    sheet.text(x + wide, y + 16, f"+{100 * top:.1f}", MUTED, ha="right")
    lines = [f"{MARKS['better']} better, {MARKS['worse']} worse after correction; [95% interval]"]
    lines.append("MDE: found with 80% power (median of rows)")
    if probes:
        lines.append("framed: the probe that it was trained on")
    for at, line in enumerate(lines):
        sheet.text(x + wide + 12, y + 4 + 12 * at, line, MUTED, ha="left")
