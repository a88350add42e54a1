"""What the leaderboard's table shows besides a board's numbers: a shared n, tied ranks, and whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl4rl_bench.reports.board.board import Board, BoardCell
from ssl4rl_bench.reports.text.numbers import NO_DATA


def columns(board: Board) -> list[dict[str, Any]]:
    """Computes what the template shows of each column.

    Returns:
        For each column, `n` if all measured rows have the same, else None; and for its cells, in the board's
        order, `ranks` ("2=" if it is shared) and `whiskers` (None without an interval).
    """
    kinds = [row.kind for row in board.rows]
    out = []
    for cells in zip(*(row.cells for row in board.rows), strict=True):
        ns = {cell.n for cell, kind in zip(cells, kinds, strict=True) if kind != "published"}
        ranks = [cell.rank for cell in cells]
        shown = [NO_DATA if rank is None else f"{rank}{'=' * (ranks.count(rank) > 1)}" for rank in ranks]
        whiskers = _whiskers(cells, cells[kinds.index("baseline")].value)
        out.append({"n": ns.pop() if len(ns) == 1 else None, "ranks": shown, "whiskers": whiskers})
    return out


def _whiskers(cells: Sequence[BoardCell], base: float | None) -> list[dict[str, float | None] | None]:
    """Computes x positions in each cell's drawing: 0 to 100 spans the values and intervals of the column."""
    ends = [end for cell in cells if cell.ci95 for end in cell.ci95]
    ends += [cell.value for cell in cells if cell.value is not None]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    width = max(high - low, 1e-9)

    def place(value: float | None) -> float | None:
        return None if value is None else round(2.0 + 96.0 * (value - low) / width, 1)

    return [
        {
            "low": place(cell.ci95[0]),
            "high": place(cell.ci95[1]),
            "at": place(cell.value),
            "base": place(base),
        }
        if cell.ci95 and cell.value is not None
        else None
        for cell in cells
    ]
