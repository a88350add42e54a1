"""The leaderboard: the model card's table for any set of runs, with tests against a baseline and ranks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.compare import best_of, compare_task
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.published import AVERAGE, PublishedTable
from ssl4rl_bench.comparison.result import ALPHA, BestDifference, Comparison, Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.board.columns import Column, columns_of
from ssl4rl_bench.reports.text.cells import ci95, dig
from ssl4rl_bench.score.aggregate import (
    OVERALL,
    cells_of,
    check_aggregation,
    group_sums,
    unit_counts,
)
from ssl4rl_bench.score.headline import GroupKind, group_kind, headline_of
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.stats.paired import mcnemar

if TYPE_CHECKING:
    import pandas as pd

_Floats = NDArray[np.float64]
RowKind = Literal["baseline", "checkpoint", "published"]


@dataclass(frozen=True, slots=True)
class BoardCell:
    """A run's score in one column, as fractions."""

    value: float | None
    n: int | None
    ci95: tuple[float, float] | None
    unread: float | None
    difference: Difference | None = None
    """The difference from the baseline; None for the baseline itself and for published numbers."""
    left_out: int = 0
    """Number of questions that both runs were asked but that do not count, as one run has no value."""
    rank: int | None = None
    """1 plus the number of measured rows that are better beyond chance."""
    se: float | None = None
    """The standard error of `value`."""

    @property
    def best(self) -> bool:
        """Whether no other row is better beyond chance."""
        return self.rank == 1

    @property
    def mark(self) -> str:
        """The mark "better" or "worse" if it differs from the baseline beyond chance after correction; else ""."""
        return self.difference.mark if self.difference else ""


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A row of a board: one run, or one published model."""

    label: str
    kind: RowKind
    path: Path | None
    """The run directory; None for published numbers."""
    cells: tuple[BoardCell, ...]
    engine: str = ""
    """The run's engine; empty for published numbers."""
    notes: tuple[str, ...] = ()
    """Caveats for a reader of the row's differences."""


@dataclass(frozen=True, slots=True)
class Board:
    """A table of runs on one task."""

    task: str
    aggregation: str
    correction: str
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    """The baseline first; published rows last."""
    improvement: tuple[BestDifference | None, ...]
    """The greatest difference from the baseline in each column, tested as a maximum."""
    notes: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    kind: GroupKind = "copies"
    """What the groups of the benchmark are, for the words that name its aggregations."""

    @property
    def baseline(self) -> str:
        """The baseline's label."""
        return next(row.label for row in self.rows if row.kind == "baseline")

    def frame(self) -> pd.DataFrame:
        """Returns one record per cell, with values as fractions; CSV and JSON are made from this frame."""
        import pandas as pd  # here, as pages and tables do not need it

        return pd.DataFrame([record for row in self.rows for record in self._records(row)])

    def _records(self, row: BoardRow) -> list[dict[str, Any]]:
        out = []
        for column, cell in zip(self.columns, row.cells, strict=True):
            low, high = cell.ci95 or (None, None)
            record = {
                "task": self.task,
                "aggregation": self.aggregation,
                "model": row.label,
                "kind": row.kind,
                "engine": row.engine or None,
                "column": column.header,
                "category": column.name,
                "value": cell.value,
                "low": low,
                "high": high,
                "n": cell.n,
                "unread": cell.unread,
                "rank": cell.rank,
                "baseline": self.baseline if cell.difference else None,
                **difference_record(cell.difference),
                "correction": self.correction if cell.difference else None,
                "mark": cell.mark,
                "left_out": cell.left_out if cell.difference else None,
                "notes": " ".join(row.notes) or None,
            }
            out.append(record)
        return out


def difference_record(difference: Difference | None) -> dict[str, Any]:
    """Returns a difference as columns of the frame, as fractions; all are None if there is no difference."""
    low, high = (difference and difference.ci95) or (None, None)
    names = ("p", "p_corrected", "mde", "gained", "lost")
    return {
        "difference": getattr(difference, "value", None),
        "difference_low": low,
        "difference_high": high,
        **{name: getattr(difference, name, None) for name in names},
    }


def build_board(
    baseline: Evaluated,
    candidates: Sequence[Evaluated],
    task: str,
    *,
    aggregation: str | None = None,
    correction: str | None = None,
    by: str = "l2",
    published: Sequence[PublishedTable] = (),
    allow: Collection[str] = (),
) -> Board:
    """Builds the board of a benchmark.

    Args:
        aggregation: by default, the one that the benchmark publishes.
        by: the level of the categories in `Board.comparisons`; it does not change the table's columns.
        published: published tables; those of another benchmark are ignored.

    Raises:
        UsageError: as for `compare.compare_task`.
    """
    runs = [baseline, *candidates]
    aggregation = check_aggregation(aggregation or headline_of((run.result for run in runs), task))
    published = [table for table in published if task in table.benchmark]
    how: dict[str, Any] = {"aggregation": aggregation, "correction": correction, "allow": allow}
    card = compare_task(baseline, candidates, task, **how)
    # The table's columns are one family of tests, whatever level `by` asks for: hence a second comparison.
    comparisons = card if by == "l2" else compare_task(baseline, candidates, task, by=by, **how)
    columns = columns_of((run.result for run in runs), task)
    ranks = _ranks(runs, card, task, aggregation, columns)
    rows = []
    for index, run in enumerate(runs):
        cells_of_task = dig(run.result, "tasks", task, "aggregates", aggregation)
        cells = []
        for column_number, column in enumerate(columns):
            cell = (
                dig(cells_of_task, column.name)
                if column.level == OVERALL
                else dig(cells_of_task, column.level, column.name)
            )
            difference = card[index - 1].find(column.level, column.name) if index else None
            out = card[index - 1].left_out_of(difference) if difference else None
            cells.append(_measured(cell, difference, ranks[column_number][index], out.n if out else 0))
        rows.append(
            BoardRow(
                run.label,
                "checkpoint" if index else "baseline",
                run.path,
                tuple(cells),
                run.spec.mark or run.spec.engine,
                card[index - 1].notes if index else (),
            )
        )
    best = {
        (best_difference.level, best_difference.name): best_difference for best_difference in best_of(card)
    }
    return Board(
        task=task,
        aggregation=aggregation,
        correction=card[0].correction if card else correction or "holm",
        columns=columns,
        rows=(*rows, *(row for table in published for row in _published(table, columns))),
        improvement=tuple(best.get((column.level, column.name)) for column in columns),
        notes=(
            *dict.fromkeys(note for comparison in comparisons for note in comparison.notes),
            *(
                f"Published: {clean(table.title, 200)}; {clean(table.source, 200)}. They were not measured here."
                for table in published
            ),
        ),
        comparisons=tuple(comparisons),
        kind=group_kind(baseline.task(task)),
    )


def _measured(
    cell: Mapping[str, Any], difference: Difference | None, rank: int | None, left_out: int
) -> BoardCell:
    n = number(cell.get("n"))
    return BoardCell(
        value=number(cell.get("value")),
        n=None if n is None else int(n),
        ci95=ci95(cell),
        unread=number(cell.get("unread")),
        difference=difference,
        rank=rank,
        left_out=left_out,
        se=number(cell.get("se")),
    )


def _published(table: PublishedTable, columns: Sequence[Column]) -> list[BoardRow]:
    names = [AVERAGE if column.level == OVERALL else column.name for column in columns]
    return [
        BoardRow(
            f"{clean(row.name)} (published)",
            "published",
            None,
            tuple(BoardCell(row.values.get(name), None, None, None) for name in names),
        )
        for row in table.rows
    ]


def _ranks(
    runs: Sequence[Evaluated],
    comparisons: Sequence[Comparison],
    task: str,
    aggregation: str,
    columns: Sequence[Column],
) -> list[list[int | None]]:
    """Returns, for each column, the rank of each run.

    Every pair of runs is compared on the questions that both answered, with Holm's correction over all pairs.
    """
    one = runs[0].outcomes[task]
    units = unit_counts(one, aggregation)
    scores = np.full((len(runs), len(one.groups)), np.nan)
    scores[0] = group_sums(one, aggregation)
    for row, comparison in enumerate(comparisons, start=1):
        pairing = comparison.pairing
        scores[row, pairing.left] = group_sums(pairing.candidate, aggregation)[pairing.right]
    cells = cells_of(one.places, units, aggregation)
    out: list[list[int | None]] = []
    for column in columns:
        if (column.level, column.name) not in cells.names:
            out.append([None] * len(runs))
            continue
        index = cells.names.index((column.level, column.name))
        selected = cells.members[:, index]
        out.append(_ranked(scores[:, selected], cells.weights[selected, index], units[selected]))
    return out


def _ranked(scores: _Floats, weights: _Floats, units: _Floats) -> list[int | None]:
    """Ranks runs by scores of shape (runs, groups), which are NaN where a run has no answer."""
    known = ~np.isnan(scores)
    mask, x = known.astype(np.float64), np.where(known, scores, 0.0)
    n = mask @ mask.T
    if bool(np.isin(x, (0.0, 1.0)).all() and (units == 1.0).all()):
        gained = x @ (mask - x).T  # [i, j]: groups that run i has right and run j wrong
        p = mcnemar(gained, gained.T)
        ahead = gained > gained.T
    else:
        from scipy.special import ndtr

        z = x * weights
        sums = z @ mask.T - mask @ z.T
        squares = (z**2) @ mask.T + mask @ (z**2).T - 2.0 * z @ z.T
        variance = np.maximum(squares - sums**2 / np.maximum(n, 1.0), 0.0) * n / np.maximum(n - 1.0, 1.0)
        t = np.divide(sums, np.sqrt(variance), out=np.zeros_like(sums), where=variance > 0)
        p, ahead = 2.0 * ndtr(-np.abs(t)), sums > 0
    upper = np.triu_indices(len(x), 1)
    corrected = np.ones_like(n)
    corrected[upper] = holm(p[upper]) if upper[0].size else p[upper]
    corrected = np.minimum(corrected, corrected.T)
    better = (corrected < ALPHA) & ahead
    ranks = 1 + better.sum(axis=0)
    return [
        int(rank) if present else None
        for rank, present in zip(ranks, np.asarray(known.any(axis=1)), strict=True)
    ]
