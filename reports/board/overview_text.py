"""The lines of an overview, which every format shows, and its table on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import BoardCell
from ssl4rl_bench.reports.board.overview import Overview, OverviewRow
from ssl4rl_bench.reports.text.cells import escape, markdown_table, plain_table
from ssl4rl_bench.reports.text.fitting import FittingTable
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA, interval, p_value, percent, points

LineKind = Literal["run", "detail"]
OVERVIEW_CAPTION = (
    "Percent, and differences in points. Marks: better or worse than the baseline beyond chance, after correction "
    "over this table. Bold: no run is better beyond chance."
)
"""What the marks mean, for files."""
_WIDE = 12
"""The width up to which parts of a header share a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an overview's table."""

    label: str
    """A run's label as it is, which is not safe to print, or what the line shows of the run above."""
    kind: LineKind
    cells: tuple[str, ...]
    best: tuple[bool, ...]
    """Whether no other run is better beyond chance, for each cell of a run's line."""


def overview_lines(overview: Overview, intervals: bool = False) -> Iterator[Line]:
    """Yields the lines of each run: its values, n where it differs from the baseline's, and the differences."""
    base = [cell.n if cell else None for cell in overview.rows[0].cells]
    for row in overview.rows:
        ns = [cell.n if cell else None for cell in row.cells]
        yield Line(
            row.label,
            "run",
            tuple(_value(cell) for cell in row.cells),
            tuple(bool(cell and cell.best) for cell in row.cells),
        )
        if intervals:
            yield _detail("95% interval", [interval(cell.ci95) if cell else NO_DATA for cell in row.cells])
        if row.is_baseline or any(n not in (None, other) for n, other in zip(ns, base, strict=True)):
            yield _detail("n", [NO_DATA if n is None else str(n) for n in ns])
        if not row.is_baseline:
            yield from _difference_lines(row, intervals)


def _difference_lines(row: OverviewRow, intervals: bool) -> Iterator[Line]:
    differences = [cell.difference if cell else None for cell in row.cells]
    yield _detail("difference", [points(one.value) if one else NO_DATA for one in differences])
    if intervals:
        ends = [interval(one.ci95, signed=True) if one else NO_DATA for one in differences]
        yield _detail("its interval", ends)
    yield _detail("p corrected", [p_value(one.p_corrected) if one else NO_DATA for one in differences])
    yield _detail("MDE", [percent(one.mde) if one else NO_DATA for one in differences])


def _value(cell: BoardCell | None) -> str:
    return percent(cell.value) + MARKS[cell.mark] if cell else NO_DATA


def _detail(label: str, cells: Sequence[str]) -> Line:
    return Line(label, "detail", tuple(cells), (False,) * len(cells))


def overview_title(overview: Overview) -> str:
    """Returns the title of the table, safe to print."""
    n = sum(bool(column.aggregation) for column in overview.columns)
    return f"{n} benchmarks, against {clean(overview.baseline)}"


def column_lines(overview: Overview) -> list[str]:
    """Says what each column is, one line per column, safe to print."""
    return [
        f"{column.header}: "
        + (
            f"{column.title}, {column.aggregation}, n counts {column.unit}"
            if column.aggregation
            else f"{column.title}{f', n counts {column.unit}' if column.unit else ''}"
        )
        for column in overview.columns
    ]


def overview_table(overview: Overview, intervals: bool = False) -> FittingTable:
    """Makes the table for a terminal."""
    table = plain_table(
        overview_title(overview), ["Model", *(_header(column.header) for column in overview.columns)]
    )
    for line in overview_lines(overview, intervals):
        if line.kind == "run":
            marked = zip(line.cells, line.best, strict=True)
            table.add_row(
                Text(clean(line.label)), *(Text(text, style="bold" if best else "") for text, best in marked)
            )
        else:
            table.add_row(Text(f"  {line.label}", style="dim"), *line.cells)
    return table


class OverviewView:
    """An overview for a terminal: its table, or on a narrow one a table per run with a row per benchmark."""

    def __init__(self, overview: Overview, intervals: bool = False) -> None:
        self._overview = overview
        self._intervals = intervals

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the table, or the tables of runs below their title."""
        table = overview_table(self._overview, self._intervals)
        if not table.is_by_row(options.max_width):
            yield table
            return
        yield Text(overview_title(self._overview), style="table.title")
        for run in _by_run(overview_lines(self._overview, self._intervals)):
            yield ""
            yield _run_table(self._overview, run)


def _by_run(lines: Iterable[Line]) -> Iterator[list[Line]]:
    run: list[Line] = []
    for line in lines:
        if line.kind == "run" and run:
            yield run
            run = []
        run.append(line)
    yield run


def _run_table(overview: Overview, run: Sequence[Line]) -> FittingTable:
    """Makes the table of one run from its lines, with a row per benchmark."""
    headers = ["Benchmark", "%", *(line.label.replace(" ", "\n") for line in run[1:])]
    table = plain_table(clean(run[0].label), headers)
    for index, column in enumerate(overview.columns):
        value, *details = (line.cells[index] for line in run)
        table.add_row(Text(column.header), Text(value, style="bold" if run[0].best[index] else ""), *details)
    return table


def _header(name: str) -> str:
    """Breaks a header after "_", "-" and spaces into lines of about `_WIDE` columns."""
    lines = [""]
    for part in name.replace("_", "_\0").replace("-", "-\0").replace(" ", " \0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > _WIDE:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def overview_markdown(overview: Overview, intervals: bool = False) -> str:
    """Formats the table with its title as Markdown, without notes."""
    rows = []
    for line in overview_lines(overview, intervals):
        if line.kind == "run":
            marked = zip(line.cells, line.best, strict=True)
            cells = [f"**{text}**" if best else text for text, best in marked]
            rows.append([escape(clean(line.label)), *cells])
        else:
            rows.append([f"*{line.label}*", *line.cells])
    headers = ["Model", *(escape(column.header) for column in overview.columns)]
    return f"**{escape(overview_title(overview))}**\n\n{markdown_table(headers, rows)}"
