"""The answer of a page in one line: which run is best, by how much, and from which it cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardCell
from ssl4rl_bench.reports.board.overview import Overview
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.naming import unit_name
from ssl4rl_bench.reports.text.numbers import interval, listed, percent, points, points_and_interval, span

MOST_NAMES = 4
"""The maximum number of runs that a sentence names; others are counted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer on one benchmark."""

    text: str
    """The answer in one line, without a full stop."""
    rest: str
    """Sentences on the other runs; may be empty."""


@dataclass(frozen=True, slots=True)
class _Compared:
    name: str
    cell: BoardCell
    difference: Difference


def board_answer(board: Board) -> Answer:
    """Returns the answer of a board, from its averages."""
    cells = [(row.label, row.cells[-1]) for row in board.rows if row.kind != "published"]
    return _answer(board.baseline, cells, short(board.task), unit_name(board.aggregation, board.kind))


def overview_answer(overview: Overview) -> Answer:
    """Counts the benchmarks on which runs are better and worse than the baseline."""
    base = clean(overview.baseline)
    shown = [index for index, column in enumerate(overview.columns) if column.aggregation]
    parts = []
    for mark in ("better", "worse"):
        counts = {
            clean(row.label): n
            for row in overview.rows
            if (n := sum(bool((cell := row.cells[index]) and cell.mark == mark) for index in shown))
        }
        ordered = sorted(counts, key=lambda name: -counts[name])
        if ordered:
            parts.append(f"{mark} than {base}: {_names([f'{name} on {counts[name]}' for name in ordered])}")
    if not parts:
        return Answer(f"No run is shown to differ from {base} on any of {len(shown)} benchmarks", "")
    text = f"Of {len(shown)} benchmarks, {'; '.join(parts)}"
    return Answer(text, "")


def column_answers(overview: Overview) -> list[Answer]:
    """Returns the answer of each column of an overview."""
    answers = []
    for index, column in enumerate(overview.columns):
        cells = [(row.label, cell) for row in overview.rows if (cell := row.cells[index]) is not None]
        answers.append(_answer(overview.baseline, cells, column.header, column.unit))
    return answers


def _answer(baseline: str, cells: Sequence[tuple[str, BoardCell]], where: str, unit: str) -> Answer:
    base = clean(baseline)
    runs = [
        _Compared(clean(label), cell, cell.difference)
        for label, cell in sorted(cells, key=lambda pair: -(pair[1].value or 0.0))
        if cell.difference is not None
    ]
    if not runs:
        cell = next((cell for label, cell in cells if label == baseline), None)
        if cell is None or cell.value is None:
            return Answer(f"Nothing was measured on {where}", "")
        ends = f" {interval(cell.ci95)}" if cell.ci95 else ""
        return Answer(
            f"{base}: {percent(cell.value)}%{ends} on {where}, n = {cell.n}{' rows' * (unit == 'rows')}", ""
        )
    better, worse, unsure = (
        [run for run in runs if run.difference.mark == mark] for mark in ("better", "worse", "")
    )
    place = f"on {where}, {_n(runs)}{' groups' * (unit == 'rows')}"  # differences count groups
    best = [run for run in better if run.cell.rank == 1] or better[:1]
    if best:
        text = f"Best: {_names([run.name for run in best])}, {_gains(best)} over {base} {place}"
    elif len(runs) == 1:
        how = "is worse than" if worse else "cannot be told apart from"
        size = points_and_interval(runs[0].difference.value, runs[0].difference.ci95)
        return Answer(f"{runs[0].name} {how} {base}, {size} {place}", _detectable(unsure))
    elif len(worse) == len(runs):
        all_runs = "both runs" if len(runs) == 2 else f"all {len(runs)} runs"
        text = f"Best: {base}, the baseline; {all_runs} are worse, {_range(worse)} points {place}"
    else:
        text = f"No run is shown to be better than {base} {place}"
    return Answer(text, _rest(base, [run for run in better if run not in best], worse, unsure, bool(best)))


def _rest(
    base: str,
    also: Sequence[_Compared],
    worse: Sequence[_Compared],
    unsure: Sequence[_Compared],
    has_best: bool,
) -> str:
    """Says what became of the runs that the first line does not name."""
    out = []
    if also:
        out.append(f"Also better: {_named(also)}.")
    if worse:
        out.append(f"Worse: {_named(worse)}.")
    neither = [run for run in unsure if has_best and run.cell.rank == 1]
    rest = [run for run in unsure if run not in neither]
    if rest:
        out.append(f"Cannot be told apart from {base}: {_named(rest)}.")
    if neither:
        out.append(f"Cannot be told apart from {base}, nor from the best: {_named(neither)}.")
    return " ".join(filter(None, [*out, _detectable(unsure)]))


def _detectable(unsure: Sequence[_Compared]) -> str:
    if not unsure:
        return ""
    sizes = span([run.difference.mde for run in unsure])
    return f"The least difference that would be detected with 80% power (MDE) is {sizes} points."


def _gains(runs: Sequence[_Compared]) -> str:
    if len(runs) == 1:
        return points_and_interval(runs[0].difference.value, runs[0].difference.ci95)
    return f"not distinguishable, {_range(runs)} points"


def _range(runs: Sequence[_Compared]) -> str:
    values = sorted((run.difference.value for run in runs), key=abs)
    least, most = points(values[0]), points(values[-1])
    return least if least == most else f"{least} to {most}"


def _named(runs: Sequence[_Compared]) -> str:
    return _names([f"{run.name} ({points(run.difference.value)})" for run in runs])


def _names(names: Sequence[str]) -> str:
    if len(names) <= MOST_NAMES:
        return listed(names)
    return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"


def _n(runs: Sequence[_Compared]) -> str:
    least, most = (choose(run.difference.n for run in runs) for choose in (min, max))
    return f"n = {least}" if least == most else f"n = {least} to {most}"
