"""Transfer: gains and losses of each checkpoint per ability, with negative transfer marked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.columns import columns_of
from ssl4rl_bench.reports.board.probes import probe_rows, probe_tasks
from ssl4rl_bench.reports.figures.heat import HeatMap, median_mde, strongest
from ssl4rl_bench.reports.figures.palette import MUTED
from ssl4rl_bench.reports.figures.sheet import Sheet, width_of
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA, listed, percent, points, span
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.runs import ViewRuns
from ssl4rl_bench.reports.views.training import same_task, words
from ssl4rl_bench.reports.views.wording import noted


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    headers: tuple[str, ...]
    tasks: tuple[str, ...]
    """The probe of each column; empty strings for abilities."""
    cells: tuple[tuple[Difference | None, ...], ...]
    """Shape (checkpoints, columns)."""


def transfer(runs: ViewRuns) -> View:
    """Makes the view of checkpoints against the baseline.

    Holm's correction is as in `compare`: the abilities of all checkpoints are one family, their Averages
    another, and the checkpoints of each probe one more.

    Raises:
        UsageError: no benchmark, no second run, or runs that must not be compared.
    """
    candidates = runs.need_candidates("transfer")
    comparisons = compare_task(
        runs.baseline, candidates, runs.benchmark, aggregation=runs.aggregation, allow=runs.allow
    )
    columns = [
        column
        for column in columns_of((run.result for run in [runs.baseline, *candidates]), runs.benchmark)
        if any(comparison.find(column.level, column.name) for comparison in comparisons)
    ]
    abilities = _Panel(
        f"{short(runs.benchmark)}, {runs.aggregation}",
        tuple(column.header for column in columns),
        ("",) * len(columns),
        tuple(
            tuple(comparison.find(column.level, column.name) for column in columns)
            for comparison in comparisons
        ),
    )
    panels = [abilities]
    notes = [note for comparison in comparisons for note in comparison.notes]
    probes = probe_tasks([runs.baseline, *candidates])
    if probes:
        rows = probe_rows(runs.baseline, candidates, probes, allow=runs.allow)
        notes += [note for row in rows for note in row.notes]
        n = 1 + len(candidates)  # the baseline's row stands first
        panels.append(
            _Panel(
                "SSL probes, accuracy",
                tuple(words([task]) for task in probes),
                tuple(probes),
                tuple(tuple(row.difference for row in rows[index::n]) for index in range(1, n)),
            )
        )
    names = [clean(run.label) for run in candidates]
    trained = [runs.trained.get(run.label) for run in candidates]
    return View(
        name="transfer",
        title=f"Transfer: what each training changed against {clean(runs.baseline.label)}, in points",
        sentence=_sentence(clean(runs.baseline.label), names, abilities)
        + _on_average(names, abilities)
        + noted(notes),
        headers=("Checkpoint", "Trained on", *(header for panel in panels for header in panel.headers)),
        rows=(
            *(
                (name, words(tasks), *(_text(cell) for panel in panels for cell in panel.cells[index]))
                for index, (name, tasks) in enumerate(zip(names, trained, strict=True))
            ),
            (
                "MDE",
                "",
                *(
                    NO_DATA if (least := median_mde(column)) is None else f"±{percent(least)}"
                    for panel in panels
                    for column in zip(*panel.cells, strict=True)
                ),
            ),
        ),
        sheet=_draw(panels, names, trained),
    )


def _text(cell: Difference | None) -> str:
    if cell is None or cell.ci95 is None:
        return NO_DATA if cell is None else points(cell.value)
    return f"{points(cell.value)}{MARKS[cell.mark]}\n[{points(cell.ci95[0])},\n{points(cell.ci95[1])}]"


def _sentence(baseline: str, names: Sequence[str], panel: _Panel) -> str:
    """Sums up the abilities; the Average is left out, as it summarizes them."""
    single = [column for column, header in enumerate(panel.headers) if header != "Average"]
    marked = [
        (names[row], panel.headers[column], cell)
        for row, line in enumerate(panel.cells)
        for column in single
        if (cell := line[column]) is not None and cell.mark
    ]
    up = {name for name, _, cell in marked if cell.mark == "better"}
    down = {name for name, _, cell in marked if cell.mark == "worse"}
    n = len(names)
    if not marked:
        mdes = [
            cell.mde
            for line in panel.cells
            for cell in (line[column] for column in single)
            if cell is not None
        ]
        if not mdes:
            return "The questions belong to none of MMBench's abilities, so only the Average is compared."
        which = "The checkpoint is not" if n == 1 else f"None of {n} checkpoints is"
        depends = ", depending on the ability," if " to " in span(mdes) else ""
        return (
            f"{which} shown to be better or worse than {baseline} on any ability; differences below {span(mdes)} "
            f"points{depends} would rarely be found."
        )
    text = (
        f"Of {n} checkpoint{'s' if n > 1 else ''}, {_are(up)} shown to be better than {baseline} on some ability, "
        f"and {_are(down)} worse on some"
    )
    lost = sorted((item for item in marked if item[2].mark == "worse"), key=lambda item: item[2].value)
    if not lost:
        return f"{text}; no negative transfer is shown, which does not mean that there is none."
    shown = [
        f"{name} on {listed([f'{header} ({points(cell.value)})' for who, header, cell in lost if who == name])}"
        for name in list(dict.fromkeys(name for name, _, _ in lost))[:4]
    ]
    more = [f"{len(down) - 4} more"] if len(down) > 4 else []
    text += f". Negative transfer, in points: {'; '.join([*shown, *more])}"
    name, header, cell = lost[0]
    if abs(cell.from_reading.value) >= 0.0005:
        text += (
            f". Of the greatest one, {name}'s on {header}, {points(cell.from_reading.value)} points come from "
            f"replies that could be read in one of the two runs only, "
            f"{points(cell.from_answers.value)} from changed answers"
        )
    return f"{text}."


def _are(names: Collection[str]) -> str:
    return f"{len(names) or 'none'} {'is' if len(names) < 2 else 'are'}"


def _on_average(names: Sequence[str], panel: _Panel) -> str:
    """Names the checkpoints that are better or worse on Average; empty if there are none."""
    index = panel.headers.index("Average") if "Average" in panel.headers else None
    if index is None:
        return ""
    out = []
    for mark in ("better", "worse"):
        changed = [
            f"{name} ({points(cell.value)})"
            for name, line in zip(names, panel.cells, strict=True)
            if (cell := line[index]) is not None and cell.mark == mark
        ]
        if changed:
            out.append(f"{listed(changed)} {'is' if len(changed) == 1 else 'are'} {mark}")
    return f" On Average {' and '.join(out)}." if out else ""


def _draw(panels: Sequence[_Panel], names: Sequence[str], trained: Sequence[tuple[str, ...] | None]) -> Sheet:
    top = strongest(cell for panel in panels for line in panel.cells for cell in line)
    labels = [(name, words(tasks)) for name, tasks in zip(names, trained, strict=True)]
    maps = [
        HeatMap(
            panel.headers,
            labels,
            panel.cells,
            top,
            intervals=True,
            framed={
                (row, column)
                for row, tasks in enumerate(trained)
                for column, probe in enumerate(panel.tasks)
                if any(same_task(probe, task) for task in tasks or ())
            },
        )
        for panel in panels
    ]
    widths = [width_of(name, 8.5, True) for name in names] + [width_of(below) for _, below in labels]
    left = 16 + min(126.0, max(60.0, *widths))
    texts = [
        (heat_map.texts(cell)[1], 7) for heat_map in maps for line in heat_map.cells for cell in line if cell
    ]
    texts += [(header, 6) for panel in panels for header in panel.headers]
    wide = max(width_of(text) + air for text, air in texts)
    most = max(len(panel.headers) for panel in panels)
    sheet = Sheet(max(left + most * wide + 4, left + 322))
    y = 4.0
    for panel, heat_map in zip(panels, maps, strict=True):
        sheet.text(left, y + 7, panel.title, bold=True, side="left")
        y = heat_map.draw(sheet, left, y + 14, wide, 30.0) + 14
    maps[0].scale(sheet, left, y - 6, 150.0)
    lines = [
        f"{MARKS['better']} better, {MARKS['worse']} worse after correction; [95% interval]",
        "MDE: found with 80% power (median of rows)",
        *(["framed: the probe that it was trained on"] if len(panels) > 1 else []),
    ]
    for index, line in enumerate(lines):
        sheet.text(left + 162, y - 2 + 12 * index, line, MUTED, side="left")
    sheet.height = y + 32
    return sheet
