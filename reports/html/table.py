"""What the page's tables show of a board: rows in order, shared ranks, small drawings, links and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardCell, BoardRow
from ssl4rl_bench.reports.board.columns import Column
from ssl4rl_bench.reports.board.probes import ProbeRow
from ssl4rl_bench.reports.figures.heat import median_mde, strongest
from ssl4rl_bench.reports.html.links import LinkedSamples, QuestionsLink
from ssl4rl_bench.reports.html.verdict import verdict
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, listed, percent
from ssl4rl_bench.reports.views.training import same_task

TINTS = 5
"""The number of steps of a colour in the heat map."""


@dataclass(frozen=True, slots=True)
class IntervalBar:
    """X positions of a small drawing of an interval, from 0 to 100."""

    low: float
    high: float
    value: float
    reference: float | None
    """The baseline's value, or a difference of 0."""


@dataclass(frozen=True, slots=True)
class SplitBar:
    """A difference as a bar of two parts: x positions from 0 to 100, which start at a difference of 0."""

    zero: float
    reading: tuple[float, float]
    """The left end and the width of the part by reading."""
    answers: tuple[float, float]


@dataclass(frozen=True, slots=True)
class TableCell:
    """A number of a board, and what stands beside it."""

    column: Column
    cell: BoardCell
    link: QuestionsLink | None
    n: int | None
    """The number of questions, if not all runs have the same."""
    tint: str
    """The class of its colour in the heat map, such as "gain-3"; empty for a difference of 0."""

    @property
    def is_undecided(self) -> bool:
        """Whether the interval of the difference excludes 0, but the corrected p does not show a difference."""
        return excludes_zero(self.cell.difference)


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of the table: a run, or published numbers."""

    label: str
    """Safe to print, as all texts here."""
    kind: str
    rank: str
    """The rank on the average; "2=" if it is shared."""
    average: TableCell
    abilities: tuple[TableCell, ...]
    interval: IntervalBar | None
    """The interval of the average, on a scale of all rows."""
    difference: IntervalBar | None
    """The interval of the difference, on a scale of all rows."""
    split: SplitBar | None
    probes: tuple[ProbeRow, ...]
    """The differences on the probes of the tasks that the checkpoint was trained on."""
    sentences: tuple[str, ...]
    """The comparison in words."""


@dataclass(frozen=True, slots=True)
class Table:
    """A board as the page's table."""

    rows: tuple[TableRow, ...]
    """Measured rows, the best average first."""
    published: tuple[TableRow, ...]
    ns: tuple[int | None, ...]
    """For each column of the board, the number of questions if all measured rows have the same."""
    mdes: tuple[float | None, ...]
    """For each column of the board, the median over candidates of the least detectable difference."""
    strongest: float
    """The difference, as a fraction, that has the darkest colour of the heat map."""
    closing: tuple[str, ...]
    """Sentences on all runs together."""

    @property
    def candidates(self) -> list[TableRow]:
        """The rows that are compared with the baseline, in their order."""
        return [row for row in self.rows if row.kind == "checkpoint"]

    @property
    def has_links(self) -> bool:
        """Whether numbers lead to their questions."""
        return any(row.average.link for row in self.rows)

    @property
    def has_undecided(self) -> bool:
        """Whether any cell `is_undecided`."""
        return any(one.is_undecided for row in self.rows for one in (row.average, *row.abilities))

    @property
    def needs_note(self) -> bool:
        """Whether an interval of the leaderboard excludes 0 although its corrected p shows no difference."""
        return any(
            row.average.is_undecided or any(excludes_zero(probe.difference) for probe in row.probes)
            for row in self.rows
        )

    @property
    def has_probes(self) -> bool:
        """Whether any run has a probe of the task that it was trained on."""
        return any(row.probes for row in self.rows)


def table(
    board: Board,
    samples: LinkedSamples,
    probes: Sequence[ProbeRow] = (),
    trained: Mapping[str, Sequence[str] | None] | None = None,
) -> Table:
    """Arranges a board as a table.

    Args:
        trained: the training tasks of runs by label, as `ViewRuns.trained`.
    """
    words = verdict(board, probes)
    sentences = {one.label: (f"{one.label} {one.text}", *one.details) for one in words.candidates}
    sentences[clean(board.baseline)] = (words.opening,)
    board = best_first(board)
    measured = [row for row in board.rows if row.kind != "published"]
    ns = tuple(_shared_n([row.cells[index] for row in measured]) for index in range(len(board.columns)))
    top = strongest(cell.difference for row in measured for cell in row.cells)
    averages = [row.cells[-1] for row in measured]
    base = next(row for row in board.rows if row.kind == "baseline").cells[-1].value
    values, differences = _scale(averages), _difference_scale(averages)
    splits = _split_scale(averages)

    def arranged(row: BoardRow) -> TableRow:
        cells = [
            TableCell(
                column, cell, samples.link(board, row, column, cell), None if n else cell.n, _tint(cell, top)
            )
            for column, cell, n in zip(board.columns, row.cells, ns, strict=True)
        ]
        average, label = row.cells[-1], clean(row.label)
        return TableRow(
            label=label,
            kind=row.kind,
            rank=_rank(average, averages),
            average=cells[-1],
            abilities=tuple(cells[:-1]),
            interval=_drawn(average.value, average.ci95, base, values),
            difference=_drawn_difference(average.difference, differences),
            split=_split(average.difference, splits),
            probes=_probes_of(row.label, probes, (trained or {}).get(row.label)),
            sentences=(*sentences.get(label, ()), *_values(cells[:-1])),
        )

    return Table(
        rows=tuple(map(arranged, measured)),
        published=tuple(arranged(row) for row in board.rows if row.kind == "published"),
        ns=ns,
        mdes=tuple(
            median_mde(row.cells[index].difference for row in measured) for index in range(len(board.columns))
        ),
        strongest=top,
        closing=words.closing,
    )


def best_first(board: Board) -> Board:
    """Returns the board with its measured rows by average, the greatest first, and published rows last."""

    def place(row: BoardRow) -> float:
        value = row.cells[-1].value
        return math.inf if value is None else -value

    rows = sorted((row for row in board.rows if row.kind != "published"), key=place)
    return replace(board, rows=(*rows, *(row for row in board.rows if row.kind == "published")))


def excludes_zero(difference: Difference | None) -> bool:
    """Whether an interval excludes 0 although the corrected p does not show a difference."""
    if difference is None or difference.mark or difference.ci95 is None:
        return False
    low, high = difference.ci95
    return low > 0.0 or high < 0.0


def _values(abilities: Sequence[TableCell]) -> list[str]:
    """Lists the accuracies with their intervals, for which a narrow column has no room."""
    texts = [
        f"{one.column.header} {percent(one.cell.value)}% {interval(one.cell.ci95)}"
        for one in abilities
        if one.cell.ci95
    ]
    return [f"{listed(texts)}."] if texts else []


def _probes_of(label: str, probes: Sequence[ProbeRow], trained: Sequence[str] | None) -> tuple[ProbeRow, ...]:
    return tuple(
        row
        for row in probes
        if row.label == label and row.difference and any(same_task(row.task, task) for task in trained or ())
    )


def _shared_n(cells: Sequence[BoardCell]) -> int | None:
    ns = {cell.n for cell in cells}
    return ns.pop() if len(ns) == 1 else None


def _rank(cell: BoardCell, cells: Sequence[BoardCell]) -> str:
    if cell.rank is None:
        return NO_DATA
    return f"{cell.rank}{'=' * (sum(other.rank == cell.rank for other in cells) > 1)}"


_Range = tuple[float, float]


def _place(value: float, scale: _Range) -> float:
    low, high = scale
    return round(2.0 + 96.0 * (value - low) / max(high - low, 1e-9), 1)


def _scale(cells: Sequence[BoardCell]) -> _Range:
    ends = [end for cell in cells if cell.ci95 for end in cell.ci95]
    ends += [cell.value for cell in cells if cell.value is not None]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _difference_scale(cells: Sequence[BoardCell]) -> _Range:
    differences = [cell.difference for cell in cells if cell.difference]
    ends = [end for one in differences for end in (one.value, *(one.ci95 or ()))]
    return min([0.0, *ends]), max([0.0, *ends])


def _split_scale(cells: Sequence[BoardCell]) -> _Range:
    parts = [(one.from_reading.value, one.from_answers.value) for cell in cells if (one := cell.difference)]
    lows = [sum(min(part, 0.0) for part in both) for both in parts]
    highs = [sum(max(part, 0.0) for part in both) for both in parts]
    return min([0.0, *lows]), max([0.0, *highs])


def _drawn(
    value: float | None, ends: _Range | None, reference: float | None, scale: _Range
) -> IntervalBar | None:
    if value is None or ends is None:
        return None
    low, high = (_place(end, scale) for end in ends)
    return IntervalBar(
        low, high, _place(value, scale), None if reference is None else _place(reference, scale)
    )


def _drawn_difference(difference: Difference | None, scale: _Range) -> IntervalBar | None:
    return None if difference is None else _drawn(difference.value, difference.ci95, 0.0, scale)


def _split(difference: Difference | None, scale: _Range) -> SplitBar | None:
    """Stacks the parts of a difference from 0 on; parts of opposite signs lie on both sides of it."""
    if difference is None:
        return None
    reading, answers = difference.from_reading.value, difference.from_answers.value
    start = reading if reading * answers > 0.0 else 0.0
    return SplitBar(_place(0.0, scale), _extent(0.0, reading, scale), _extent(start, start + answers, scale))


def _extent(start: float, end: float, scale: _Range) -> _Range:
    left, right = _place(min(start, end), scale), _place(max(start, end), scale)
    return left, round(right - left, 1)


def _tint(cell: BoardCell, top: float) -> str:
    if cell.difference is None or cell.difference.value == 0.0:
        return ""
    value = cell.difference.value
    step = max(1, min(TINTS, round(TINTS * abs(value) / top)))
    return f"{'gain' if value > 0 else 'loss'}-{step}"
