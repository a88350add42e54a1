"""The overview of runs on several benchmarks: a row per run, a column per benchmark, tested as one family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.comparison.across import Average, FamilyKey, correct_across
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import BenchError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardCell, build_board, difference_record
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.naming import CORRECTIONS, unit_name
from ssl4rl_bench.reports.text.numbers import listed
from ssl4rl_bench.stats.means import mean_interval, mean_se
from ssl4rl_bench.task.taskfile import load_taskfile

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class OverviewColumn:
    """A column of an overview: a benchmark, or an average of benchmarks."""

    name: str
    """The full name of the benchmark, or the name of the average."""
    header: str
    title: str
    """What the column is, in words that are safe to print."""
    aggregation: str | None
    """The aggregation of a benchmark; None for an average."""
    unit: str
    """What n counts: "questions", "groups" or "rows"; empty for an average of several, which has no n."""
    tasks: tuple[str, ...]
    """The benchmark, or those of the average."""


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """A run of an overview."""

    label: str
    is_baseline: bool
    engine: str
    cells: tuple[BoardCell | None, ...]
    """A cell per column; None if the run did not answer the benchmark, or one of an average."""


@dataclass(frozen=True, slots=True)
class Overview:
    """A table of runs on several benchmarks."""

    baseline: str
    """The baseline's label."""
    correction: str
    family: int
    """The number of comparisons in the table, over which its p-values are corrected."""
    columns: tuple[OverviewColumn, ...]
    rows: tuple[OverviewRow, ...]
    """The baseline first."""
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Returns one record per run and column that has a value, as `Board.frame`, as fractions."""
        import pandas as pd  # here, as pages and tables do not need it

        return pd.DataFrame(self.records())

    def records(self) -> list[dict[str, Any]]:
        """Returns the records of `frame`."""
        return [
            self._record(row, column, cell)
            for row in self.rows
            for column, cell in zip(self.columns, row.cells, strict=True)
            if cell is not None
        ]

    def _record(self, row: OverviewRow, column: OverviewColumn, cell: BoardCell) -> dict[str, Any]:
        low, high = cell.ci95 or (None, None)
        difference = cell.difference
        return {
            "task": column.name if column.aggregation else None,
            "aggregation": column.aggregation,
            "model": row.label,
            "kind": "baseline" if row.is_baseline else "checkpoint",
            "engine": row.engine or None,
            "column": column.header,
            "category": None if column.aggregation else ",".join(column.tasks),
            "value": cell.value,
            "low": low,
            "high": high,
            "se": cell.se,
            "n": cell.n,
            "unread": cell.unread,
            "rank": cell.rank,
            "baseline": self.baseline if difference else None,
            **difference_record(difference),
            "difference_se": difference.se if difference else None,
            "correction": self.correction if difference else None,
            "family": difference.family if difference else None,
            "mark": cell.mark,
            "left_out": cell.left_out if difference else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Returns everything that the table shows as JSON values."""
        return {
            "baseline": self.baseline,
            "correction": self.correction,
            "family": self.family,
            "notes": list(self.notes),
            "columns": [asdict(column) for column in self.columns],
            "cells": self.records(),
        }


def answered_benchmarks(baseline: Evaluated, candidates: Sequence[Evaluated]) -> list[str]:
    """Returns the benchmarks, not probes, that the baseline and at least one candidate answered."""
    return [
        name
        for name, outcomes in baseline.outcomes.items()
        if not outcomes.probe and any(name in run.outcomes for run in candidates)
    ]


def left_out_benchmarks(baseline: Evaluated, candidates: Sequence[Evaluated]) -> list[str]:
    """Says which benchmarks are left out because the baseline, or every candidate, did not answer them."""
    runs = [baseline, *candidates]
    answered = answered_benchmarks(baseline, candidates)
    names = dict.fromkeys(name for run in runs for name, task in run.outcomes.items() if not task.probe)
    return [
        f"{short(name)} is left out: "
        + (
            "no other run answered it."
            if name in baseline.outcomes
            else f"the baseline {clean(baseline.label)} did not answer it."
        )
        for name in names
        if name not in answered
    ]


def build_boards(
    baseline: Evaluated, candidates: Sequence[Evaluated], tasks: Sequence[str], **how: Any
) -> list[Board]:
    """Builds the board of each benchmark, with the candidates that answered it and a note on the others.

    Args:
        how: arguments of `board.build_board`.

    Raises:
        UsageError: as `board.build_board`.
    """
    boards = []
    for task in tasks:
        board = build_board(baseline, [run for run in candidates if task in run.outcomes], task, **how)
        lacking = [clean(run.label) for run in candidates if task not in run.outcomes]
        note = f"{listed(lacking)} did not answer it." if lacking else ""
        boards.append(replace(board, notes=(*board.notes, note)) if note else board)
    return boards


def build_overview(
    boards: Sequence[Board], averages: Sequence[Average] = (), correction: str | None = None
) -> Overview | None:
    """Builds the overview of boards of different benchmarks with one baseline; None for fewer than two.

    The values are those of each board's overall cell. The p-values of all candidates and columns, averages
    included, are one family; so are the least detectable differences.

    Args:
        averages: `across.parse_averages` of the benchmarks of the boards.
        correction: one of `compare.CORRECTIONS`; by default Holm.

    Raises:
        UsageError: for an unknown correction.
    """
    if len(boards) < 2:
        return None
    correction = correction or "holm"
    differences = correct_across(
        (comparison for board in boards for comparison in board.comparisons), averages, correction
    )
    measured: dict[str, dict[str, BoardCell]] = {}
    engines: dict[str, str] = {}
    for board in boards:
        for row in board.rows:
            if row.kind != "published":
                measured.setdefault(row.label, {})[board.task] = row.cells[-1]
                engines[row.label] = row.engine
    benchmarks = {board.task: _column(board) for board in boards}
    columns = (
        *benchmarks.values(),
        *(_average_column(average, [benchmarks[task] for task in average.tasks]) for average in averages),
    )
    baseline = boards[0].baseline
    rows = []
    for label in [baseline, *(label for label in measured if label != baseline)]:
        cells = measured[label] | {
            column.name: cell
            for column in columns
            if column.aggregation is None and (cell := _average_cell(column, measured[label]))
        }
        rows.append(
            OverviewRow(
                label,
                label == baseline,
                engines[label],
                tuple(
                    replace(cell, difference=differences.get(FamilyKey(label, column.name)))
                    if (cell := cells.get(column.name)) is not None
                    else None
                    for column in columns
                ),
            )
        )
    notes = (*_family_notes(len(differences), correction, averages), *_missing(rows, columns))
    return Overview(baseline, correction, len(differences), columns, tuple(rows), notes)


def _column(board: Board) -> OverviewColumn:
    unit = unit_name(board.aggregation, board.kind)
    return OverviewColumn(
        board.task, short(board.task), _title_of(board.task), board.aggregation, unit, (board.task,)
    )


def _title_of(task: str) -> str:
    """Returns the title of a shipped task; the name of another one, whose file may be gone."""
    try:
        return clean(load_taskfile(task).title)
    except BenchError:
        return short(task)


def _average_column(average: Average, members: Sequence[OverviewColumn]) -> OverviewColumn:
    headers = [column.header for column in members]
    title = "unweighted mean"
    if not average.name.endswith(", ".join(headers)):  # else its name lists them
        title += f" of {listed(headers)}"
    units = {column.unit for column in members}
    unit = units.pop() if len(units) == 1 else ""
    return OverviewColumn(average.name, clean(average.name), title, None, unit, average.tasks)


def _average_cell(column: OverviewColumn, cells: Mapping[str, BoardCell]) -> BoardCell | None:
    """Returns the mean of a run over benchmarks; None if it lacks a value on one of them."""
    members = [cells[task] for task in column.tasks if task in cells]
    values = [cell.value for cell in members if cell.value is not None]
    if len(values) < len(column.tasks):
        return None
    ns = [cell.n for cell in members if cell.n is not None]
    return BoardCell(
        value=math.fsum(values) / len(values),
        n=sum(ns) if column.unit and len(ns) == len(members) else None,
        ci95=mean_interval(values, [cell.ci95 for cell in members]),
        unread=None,
        se=mean_se([cell.se for cell in members]),
    )


def _family_notes(family: int, correction: str, averages: Sequence[Average]) -> list[str]:
    out = []
    if family and correction != "none":
        out.append(
            f"The p-values and MDE of this table account for its {family} "
            f"{'comparison' if family == 1 else 'comparisons'} ({CORRECTIONS[correction]}); each table of a "
            "benchmark accounts for its own."
        )
    elif family:
        out.append("The p-values of this table are not corrected for their number.")
    if averages:
        out.append(
            "Averages take benchmarks as independent, so they do not hold for benchmarks with the same questions; "
            "their p flips the signs of the questions of all."
        )
    return out


def _missing(rows: Sequence[OverviewRow], columns: Sequence[OverviewColumn]) -> list[str]:
    out = []
    for row in rows:
        lacking = [
            column.header
            for column, cell in zip(columns, row.cells, strict=True)
            if cell is None and column.aggregation
        ]
        if lacking:
            out.append(f"{clean(row.label)} did not answer {listed(lacking)}: the table has a dash there.")
    return out
