"""What the leaderboard's table shows of a board beside its numbers: shared n, ranks that tie, and whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl4rl_bench.reports.board.board import Board, BoardCell
from ssl4rl_bench.reports.text.numbers import NO_DATA


@dataclass(frozen=True, slots=True)
class Whisker:
    """Places in a cell's small drawing, from 0 to 100: the column's least and greatest end."""

    low: float
    high: float
    at: float
    base: float | None
    """Of the baseline's value."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its cells in the board's order."""

    n: int | None
    """Where all measured rows have the same; else None."""
    ranks: tuple[str, ...]
    """ "2=" where others share it."""
    whiskers: tuple[Whisker | None, ...]


def columns(board: Board) -> list[Column]:
    """The board's columns."""
    kinds = [row.kind for row in board.rows]
    out = []
    for cells in zip(*(row.cells for row in board.rows), strict=True):
        ns = {cell.n for cell, kind in zip(cells, kinds, strict=True) if kind != "published"}
        ranks = [cell.rank for cell in cells]
        out.append(
            Column(
                ns.pop() if len(ns) == 1 else None,
                tuple(
                    NO_DATA if rank is None else f"{rank}{'=' * (ranks.count(rank) > 1)}" for rank in ranks
                ),
                _whiskers(cells, cells[kinds.index("baseline")].value),
            )
        )
    return out


def _whiskers(cells: Sequence[BoardCell], base: float | None) -> tuple[Whisker | None, ...]:
    ends = [end for cell in cells if cell.ci95 for end in cell.ci95]
    ends += [cell.value for cell in cells if cell.value is not None]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    width = max(high - low, 1e-9)

    def place(value: float) -> float:
        return round(2.0 + 96.0 * (value - low) / width, 1)

    line = None if base is None else place(base)
    return tuple(
        None
        if cell.value is None or cell.ci95 is None
        else Whisker(place(cell.ci95[0]), place(cell.ci95[1]), place(cell.value), line)
        for cell in cells
    )
