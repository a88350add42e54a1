"""Boards and differences on a terminal. Names are untrusted: they are cleaned and never read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.comparison.result import HEADERS, Comparison, Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardCell
from ssl4rl_bench.reports.board.probes import (
    MARGIN_DIFFERENCE_HEADERS,
    PROBE_HEADERS,
    ProbeRow,
    shown_margins,
)
from ssl4rl_bench.reports.text.cells import plain_table, short
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.margins import MARGIN_HEADERS
from ssl4rl_bench.reports.text.numbers import (
    MARKS,
    NO_DATA,
    interval,
    p_value,
    percent,
    points,
    points_and_interval,
)

LEGEND = "▲ better, ▼ worse than the baseline after correction; bold: no row is better beyond chance"


_BOARD = Narrowing(drop=("Unread %", "n"), names=("Model",))
_DIFFERENCES = Narrowing(
    drop=("p", "up/down", ("Base", "New"), ("by reading", "by answers"), "MDE"),
    stack=("95% interval", "Diff"),
)
_PROBES = Narrowing(
    drop=(
        *(
            "Exact",
            "Per place",
            "Valid",
            "p of margin",
            "95% of margin",
            "Above chance",
            "95% of margin diff",
        ),
        *("MDE", ("Margin diff", "p corr. of margin"), "Margin", "Chance", "95% interval", "Unread %", "n"),
    ),
    names=("Model",),
)


def category(name: str) -> str:
    """Returns the name that tables use for a category, safe to print."""
    return HEADERS.get(name, clean(name))


def board_table(board: Board, intervals: bool = False) -> Table:
    """Makes a table with one row per run, followed by the maximal improvement and its p-value."""
    title = f"{clean(board.task)} · {board.aggregation} · against {clean(board.baseline)}"
    abilities = (column.header.replace("-", "-\n").replace(" ", "\n") for column in board.columns)
    table = plain_table(title, ["Model", *abilities, "n", "Unread\n%"], narrowing=_BOARD)
    for row in board.rows:
        published = row.kind == "published"
        table.add_row(
            Text(clean(row.label), style="dim italic" if published else ""),
            *(_cell(cell, intervals) for cell in row.cells),
            Text(NO_DATA if row.cells[-1].n is None else str(row.cells[-1].n)),
            Text(percent(row.cells[-1].unread)),
            style="dim" if published else None,
        )
    if any(board.improvement):
        table.add_section()
        table.add_row(
            "Maximal Improvement", *(points(best.value) if best else NO_DATA for best in board.improvement)
        )
        table.add_row("  p (max-T)", *(p_value(best.p) if best else NO_DATA for best in board.improvement))
    return table


def winners(board: Board) -> str:
    """Names the checkpoint with the maximal improvement in each column; empty for a single checkpoint."""
    if len({row.label for row in board.rows if row.kind == "checkpoint"}) < 2:
        return ""
    columns: dict[str, list[str]] = {}
    for column, best in zip(board.columns, board.improvement, strict=True):
        if best:
            columns.setdefault(clean(best.candidate), []).append(column.header)
    return "maximal improvement: " + "; ".join(
        f"{candidate} ({', '.join(headers) if len(columns) > 1 else 'all columns'})"
        for candidate, headers in columns.items()
    )


def difference_table(comparison: Comparison) -> Table:
    """Makes a table with one row per category: both values, the difference, and the statistics behind it."""
    title = f"{clean(comparison.candidate)} minus {clean(comparison.baseline)} · {clean(comparison.task)}"
    headers = ("Category", "n", "Base", "New", "Diff", "95% interval", "p", "p corr.", "MDE", "up/down")
    table = plain_table(
        f"{title} · {comparison.aggregation} · {comparison.correction}",
        (*headers, "by reading", "by answers"),
        narrowing=_DIFFERENCES,
    )
    # A single category has the questions of the overall cell.
    average, *abilities = comparison.cells
    for cell in (*(abilities if len(abilities) > 1 else ()), average):
        style = {"better": "green", "worse": "red", "": ""}[cell.mark]
        table.add_row(
            Text(category(cell.name)),
            str(cell.n),
            percent(cell.baseline),
            percent(cell.candidate),
            Text(points(cell.value) + MARKS[cell.mark], style=style),
            interval(cell.ci95, signed=True),
            p_value(cell.p),
            p_value(cell.p_corrected),
            percent(cell.mde),
            f"{cell.gained}/{cell.lost}",
            points(cell.from_reading.value),
            points(cell.from_answers.value),
        )
    return table


def probe_difference_table(rows: Sequence[ProbeRow]) -> Table:
    """Makes a table with one row per probe and run."""
    n_margin, n_change = shown_margins(rows)
    diff = ("Diff", "95% of Diff", "p corr.", "MDE")
    margins = (*MARGIN_HEADERS[:n_margin], *MARGIN_DIFFERENCE_HEADERS[:n_change])
    headers = ("Probe", "Model", *PROBE_HEADERS, "Unread %", *diff, *margins)
    table = plain_table(
        "SSL probes", [header.replace(" ", "\n") for header in headers], "llr", narrowing=_PROBES
    )
    for row in rows:
        difference = row.difference
        table.add_row(
            Text(short(row.task)),
            Text(clean(row.label)),
            *row.cells(),
            percent(row.unread),
            points(difference.value) + MARKS[difference.mark] if difference else "",
            interval(difference.ci95, signed=True) if difference else "",
            p_value(difference.p_corrected) if difference else "",
            percent(difference.mde) if difference else "",
            *row.margin.cells()[:n_margin],
            *row.margin_difference_cells()[:n_change],
        )
    return table


def sentence(difference: Difference, candidate: str, baseline: str, what: str) -> str:
    """Puts a difference into words. It never claims equality, but says what size would have been found."""
    word = {"better": "better than", "worse": "worse than", "": "not told apart from"}[difference.mark]
    text = (
        f"{clean(candidate)} is {word} {clean(baseline)} on {what}: "
        f"{points_and_interval(difference.value, difference.ci95)}, corrected p {p_value(difference.p_corrected)}, "
        f"n {difference.n}, {difference.gained} up and {difference.lost} down"
    )
    if not difference.mark:
        text += f"; a difference below {percent(difference.mde)} points would rarely be found"
        if difference.needed:
            text += f", one of this size needs {difference.needed} questions"
    return text + "."


def _cell(cell: BoardCell, intervals: bool) -> Text:
    text = Text(percent(cell.value) + MARKS[cell.mark], style="bold" if cell.best else "")
    if intervals and cell.ci95:
        text.append(f"\n{interval(cell.ci95)}", style="dim")
    return text
