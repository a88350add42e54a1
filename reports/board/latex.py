r"""Exports boards, the overview and tables of probes as LaTeX that fits one or both columns of a paper."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from ssl4rl_bench import __version__
from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardRow
from ssl4rl_bench.reports.board.latex_table import TexCell, TexRow, TexTable, format_table
from ssl4rl_bench.reports.board.overview import Overview
from ssl4rl_bench.reports.board.overview_text import column_lines, overview_lines, overview_title
from ssl4rl_bench.reports.board.probes import PARTS, ProbeRow, margin_caption, probe_notes, shown_margins
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.naming import CORRECTIONS, unit_name
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, p_value, percent, points, span
from ssl4rl_bench.reports.text.short_names import short_names
from ssl4rl_bench.reports.text.tex import code_comments

_BOLD = "Bold: no row of the column is better beyond chance, where some row is beaten beyond chance."
_NOTE = 600
"""The maximum length of a note, in characters."""


def to_latex(
    boards: Sequence[Board],
    probes: Sequence[ProbeRow] = (),
    intervals: bool = False,
    overview: Overview | None = None,
    narrow: bool = False,
) -> str:
    """Formats an overview, each board, and all probes together, as tables with captions and labels.

    Names are shortened to the parts in which they differ; a note gives the full ones.

    Args:
        intervals: show 95% intervals in small print.
        narrow: fit one column of a paper with two (219 pt); otherwise the text width of a paper with one (345 pt),
            or both columns of one with two.
    """
    tables = [_overview(overview, intervals)] if overview else []
    tables += [_board(board, intervals) for board in boards]
    tables += [_probes(probes)] if probes else []
    labels = _distinct([table.label for table in tables])
    texts = [
        format_table(replace(table, label=label), narrow) for table, label in zip(tables, labels, strict=True)
    ]
    if not texts:
        return ""
    kind = "table fits a column" if narrow else "table* fits both columns"
    head = [
        f"% Written by ssl4rl-bench {__version__}. Needs in the preamble: \\usepackage{{booktabs}}",
        f"% Each {kind} of a paper with two columns"
        + (" (219 pt)." if narrow else ", and the text of a paper with one (345 pt)."),
        *code_comments(texts),
    ]
    return "\n".join([*head, *texts])


def _board(board: Board, intervals: bool) -> TexTable:
    names, notes = _short([row.label for row in board.rows if row.kind != "published"])
    names += [clean(row.label) for row in board.rows if row.kind == "published"]
    ns = {row.cells[-1].n for row in board.rows if row.kind != "published"}
    bold = [
        _is_telling([row.cells[index].best for row in board.rows if row.kind != "published"])
        for index in range(len(board.columns))
    ]
    rows = []
    for index, (row, name) in enumerate(zip(board.rows, names, strict=True)):
        first_published = row.kind == "published" and board.rows[index - 1].kind != "published"
        cells = _cells(row, bold, intervals)
        last = row.cells[-1]
        if len(ns) > 1:
            cells.append(TexCell(NO_DATA if last.n is None else str(last.n)))
        cells.append(TexCell(percent(last.unread)))
        rows.append(TexRow(name, tuple(cells), italic=row.kind == "published", rule=first_published))
    rows += _improvement(board, len(rows[0].cells))
    unit = unit_name(board.aggregation, board.kind)
    n_text = f", n = {ns.pop():,} {unit}" if len(ns) == 1 and None not in ns else ""
    headers = (
        *(clean(column.header) for column in board.columns),
        *(["n"] if len(ns) > 1 else []),
        "Unread %",
    )
    title = f"Accuracy on {short(board.task)} in percent ({board.aggregation}{n_text})."
    return TexTable(
        f"{title} {_marks(board.correction, 'all cells of a level', names[0])}{_small_print(intervals)} {_BOLD}",
        f"tab:{_slug(short(board.task))}-{_slug(board.aggregation)}",
        headers,
        tuple(rows),
        (
            *notes,
            *_detectable(cell.difference for row in board.rows for cell in row.cells),
            *_notes(board.notes),
        ),
    )


def _cells(row: BoardRow, bold: Sequence[bool], intervals: bool) -> list[TexCell]:
    return [
        TexCell(
            percent(cell.value),
            interval(cell.ci95) if intervals and cell.ci95 else "",
            cell.mark,
            cell.best and telling,
        )
        for cell, telling in zip(row.cells, bold, strict=True)
    ]


def _improvement(board: Board, n_cells: int) -> Iterator[TexRow]:
    """Yields the greatest difference in each column, and its p-value as a maximum."""
    if not any(board.improvement):
        return
    gains = [points(best.value) if best else NO_DATA for best in board.improvement]
    ps = [p_value(best.p) if best else NO_DATA for best in board.improvement]
    for name, texts in (("Maximal improvement", gains), ("p (max-T)", ps)):
        cells = [TexCell(text) for text in texts]
        yield TexRow(name, (*cells, *[TexCell("")] * (n_cells - len(cells))), rule=texts is gains)


def _overview(overview: Overview, intervals: bool) -> TexTable:
    names, notes = _short([row.label for row in overview.rows])
    n_columns = range(len(overview.columns))
    bold = [
        _is_telling([cell.best for row in overview.rows if (cell := row.cells[index])]) for index in n_columns
    ]
    details = {"n", *(("difference", "its interval", "p corrected") if intervals else ())}
    runs = zip(names, overview.rows, strict=True)
    rows: list[TexRow] = []
    for line in overview_lines(overview, intervals):
        if line.kind == "detail":
            if line.label in details:
                rows.append(TexRow(line.label, tuple(map(TexCell, line.cells)), detail=True))
            continue
        name, run = next(runs)
        cells = (
            TexCell(percent(cell.value), "", cell.mark, cell.best and telling) if cell else TexCell(NO_DATA)
            for cell, telling in zip(run.cells, bold, strict=True)
        )
        rows.append(TexRow(name, tuple(cells), rule=bool(rows) and intervals))
    marks = _marks(overview.correction, "this table", names[0])
    return TexTable(
        f"{overview_title(overview)}. Accuracy in percent, differences in points. {marks}{_small_print(intervals)} "
        f"{_BOLD}",
        "tab:benchmarks",
        tuple(column.header for column in overview.columns),
        tuple(rows),
        (
            *notes,
            *_detectable(cell.difference for row in overview.rows for cell in row.cells if cell),
            f"{'; '.join(column_lines(overview))}.",
            *_notes(overview.notes),
        ),
    )


def _probes(probes: Sequence[ProbeRow]) -> TexTable:
    labels = list(dict.fromkeys(row.label for row in probes))
    names, notes = _short(labels)
    name_of = dict(zip(labels, names, strict=True))
    headers = {"exact": "Exact", "per_position": "Per place", "valid": "Valid"}
    parts = [part for part in PARTS if any(part in row.parts for row in probes)]
    n_margin, _ = shown_margins(probes)
    rows: list[TexRow] = []
    for task in dict.fromkeys(row.task for row in probes):
        of_task = [row for row in probes if row.task == task]
        rows.append(TexRow(_probe_heading(of_task), rule=bool(rows)))
        rows += [
            TexRow(name_of[row.label], (*_probe_cells(row, parts), *_margins(row, n_margin > 1)))
            for row in of_task
        ]
    caption = (
        f"SSL probes. Accuracy in percent, differences in points. Arrows: better or worse than {names[0]} beyond "
        "chance after correction. Small print: 95% intervals."
    )
    shown = ("Accuracy", "Above chance", *(headers[part] for part in parts), "Difference", "p corrected")
    shown += ("Margin", "Margin diff.", "p of diff.") if n_margin > 1 else ("Margin",)
    notes += _detectable(row.difference for row in probes)
    return TexTable(
        caption,
        "tab:ssl-probes",
        shown,
        tuple(rows),
        (*notes, *margin_caption(probes), *_notes(probe_notes(probes))),
    )


def _probe_heading(rows: Sequence[ProbeRow]) -> str:
    """Returns the name of a probe with its chance level and number of samples."""
    ns = sorted({row.n for row in rows if row.n is not None})
    n = f"n = {ns[0]:,}" + (f" to {ns[-1]:,}" if len(ns) > 1 else "") if ns else f"n = {NO_DATA}"
    return f"{short(rows[0].task)}, chance {percent(rows[0].chance)}, {n}"


def _probe_cells(row: ProbeRow, parts: Sequence[str]) -> tuple[TexCell, ...]:
    cells = [
        TexCell(percent(row.accuracy), interval(row.ci95) if row.ci95 else ""),
        TexCell(percent(row.chance_corrected)),
        *(TexCell(percent(row.parts.get(part))) for part in parts),
    ]
    difference = row.difference
    if difference is None:
        return (*cells, TexCell(""), TexCell(""))
    ends = interval(difference.ci95, True) if difference.ci95 else ""
    return (
        *cells,
        TexCell(points(difference.value), ends, difference.mark),
        TexCell(p_value(difference.p_corrected)),
    )


def _margins(row: ProbeRow, has_differences: bool) -> tuple[TexCell, ...]:
    """Returns the cells of the margin, its difference from the baseline's, and the corrected p of that."""
    value, ends, _ = row.margin.cells()
    if not has_differences:
        return (TexCell(value),)
    difference, difference_ends, p = row.margin_difference_cells()
    return (
        TexCell(value, "" if row.margin.ci95 is None else ends),
        TexCell(difference, difference_ends if row.margin_difference else ""),
        TexCell(p),
    )


def _is_telling(best: Collection[bool]) -> bool:
    """Whether bold in a column shows a difference: some rows are best, and some are beaten beyond chance."""
    return any(best) and not all(best)


def _short(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns short names, safe to print, and a note with the full names of those that were shortened."""
    full = [clean(label) for label in labels]
    names = short_names(full)
    changed = [f"{name}: {label}" for name, label in zip(names, full, strict=True) if name != label]
    return names, [f"Full names. {'; '.join(changed)}."] if changed else []


def _marks(correction: str, family: str, baseline: str) -> str:
    how = CORRECTIONS.get(correction, correction)
    return f"Arrows: better or worse than {baseline} beyond chance (p < 0.05, {how} over {family})."


def _small_print(intervals: bool) -> str:
    return " Small print: 95% intervals." if intervals else ""


def _detectable(differences: Iterable[Difference | None]) -> list[str]:
    """Says which differences would be detected; "not better" without it would read as "the same"."""
    mdes = [difference.mde for difference in differences if difference]
    return [f"Least difference detected with 80% power (MDE): {span(mdes)} points."] if mdes else []


def _notes(notes: Sequence[str]) -> list[str]:
    return [clean(note, _NOTE) for note in notes]


def _slug(text: str) -> str:
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "table"


def _distinct(labels: Sequence[str]) -> list[str]:
    """Returns the labels, with numbers after repeated ones."""
    seen: Counter[str] = Counter()
    out = []
    for label in labels:
        seen[label] += 1
        out.append(label if seen[label] == 1 else f"{label}-{seen[label]}")
    return out
