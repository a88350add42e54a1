"""The leaderboard's rows as the template prints them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardCell
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, percent


@dataclass(frozen=True, slots=True)
class Whisker:
    """Places in a cell's small drawing, from 0 to 100: the column's least and greatest end."""

    low: float
    high: float
    at: float
    base: float | None
    """Of the baseline's value."""


@dataclass(frozen=True, slots=True)
class Cell:
    value: float | None
    """For sorting."""
    text: str
    interval: str
    n: str
    """Empty where the whole column has one n, which stands in its header."""
    mark: str
    best: bool
    rank: str
    whisker: Whisker | None


@dataclass(frozen=True, slots=True)
class Line:
    """A run."""

    label: str
    kind: str
    rank: int | None
    """On the average."""
    rank_text: str
    """ "2=" where others share it."""
    cells: tuple[Cell, ...]
    unread: float | None
    unread_text: str


def lines(board: Board) -> list[Line]:
    """Measured and published rows in the board's order."""
    scales = [_scale([row.cells[at] for row in board.rows]) for at in range(len(board.columns))]
    shared = column_n(board)
    ranks = [Counter(row.cells[at].rank for row in board.rows) for at in range(len(board.columns))]
    base = next((row for row in board.rows if row.kind == "baseline"), None)
    out = []
    for row in board.rows:
        cells = tuple(
            Cell(
                value=cell.value,
                text=percent(cell.value),
                interval=interval(cell.ci95) if cell.ci95 else "",
                n="" if cell.n is None or shared[at] is not None else f"{cell.n:,}",
                mark=cell.mark,
                best=cell.best,
                rank=_rank(cell.rank, ranks[at]),
                whisker=_whisker(cell, scales[at], base.cells[at].value if base else None),
            )
            for at, cell in enumerate(row.cells)
        )
        last = row.cells[-1]
        out.append(
            Line(
                label=clean(row.label),
                kind=row.kind,
                rank=last.rank,
                rank_text=_rank(last.rank, ranks[-1]),
                cells=cells,
                unread=last.unread,
                unread_text=percent(last.unread),
            )
        )
    return out


def column_n(board: Board) -> list[int | None]:
    """Each column's n where all measured rows have the same; else None."""
    out = []
    for at in range(len(board.columns)):
        found = {row.cells[at].n for row in board.rows if row.kind != "published"}
        out.append(found.pop() if len(found) == 1 else None)
    return out


def _rank(rank: int | None, others: Counter[int | None]) -> str:
    return NO_DATA if rank is None else f"{rank}=" if others[rank] > 1 else str(rank)


def _scale(cells: Sequence[BoardCell]) -> tuple[float, float]:
    ends = [end for cell in cells if cell.ci95 for end in cell.ci95]
    ends += [cell.value for cell in cells if cell.value is not None]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _whisker(cell: BoardCell, scale: tuple[float, float], base: float | None) -> Whisker | None:
    if cell.value is None or cell.ci95 is None:
        return None
    low, high = scale
    width = max(high - low, 1e-9)

    def place(value: float) -> float:
        return round(2.0 + 96.0 * (value - low) / width, 1)

    return Whisker(
        place(cell.ci95[0]), place(cell.ci95[1]), place(cell.value), None if base is None else place(base)
    )
