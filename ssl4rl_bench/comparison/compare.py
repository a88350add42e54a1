"""Compares runs with a baseline, overall and by category.

The unit of analysis is the group. Whatever the aggregation, the difference of a cell is linear in the
differences of its groups, because both runs have the same rows of each group. Tests and intervals work on
these differences.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.differences import differences
from ssl4rl_bench.comparison.leftout import left_out, left_out_notes
from ssl4rl_bench.comparison.pairing import Evaluated, Pairing, pair
from ssl4rl_bench.comparison.result import ALPHA, BestDifference, Comparison, Difference
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.score.aggregate import (
    LEVELS,
    OVERALL,
    cells_of,
    check_aggregation,
    group_sums,
    pass_scores,
    unit_counts,
)
from ssl4rl_bench.stats.multiple import benjamini_hochberg, holm
from ssl4rl_bench.stats.power import detectable_change, groups_needed
from ssl4rl_bench.stats.resampling import REPLICATES, max_t
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS

_Floats = NDArray[np.float64]

CORRECTIONS = ("holm", "max-t", "bh", "none")
"""Corrections of a family's p-values: Holm, step-down max-T by sign flips, Benjamini-Hochberg, none."""


def check_correction(name: str) -> str:
    """Returns the name of a known correction; raises UsageError for an unknown one."""
    if name not in CORRECTIONS:
        hint = did_you_mean(name, CORRECTIONS)
        raise UsageError(f"--correction {name} is unknown (known: {', '.join(CORRECTIONS)}){hint}")
    return name


def compare_task(
    baseline: Evaluated,
    candidates: Sequence[Evaluated],
    task: str,
    *,
    by: str = "l2",
    aggregation: str = "circular_micro",
    correction: str | None = None,
    allow: Collection[str] = (),
    replicates: int = REPLICATES,
) -> list[Comparison]:
    """Compares each candidate with the baseline, overall and in the categories of a level.

    Args:
        by: "overall", "l1", "l2" or "l3".
        correction: one of `CORRECTIONS`; by default Holm, and Benjamini-Hochberg for the many leaves of "l3".
        allow: see `pairing.pair`.

    Raises:
        UsageError: unknown names, a task that a run lacks, or runs that must not be compared.
    """
    check_aggregation(aggregation)
    if by not in LEVELS:
        raise UsageError(f"--by {by} is unknown (known: {', '.join(LEVELS)}){did_you_mean(by, LEVELS)}")
    correction = check_correction(correction or ("bh" if by == "l3" else "holm"))
    levels = (OVERALL, by)
    comparisons = []
    for candidate in candidates:
        pairing = pair(baseline, candidate, task, allow)
        groups, weighted, cells = _uncorrected(pairing, aggregation, levels, replicates)
        missing = left_out(pairing, aggregation, levels, replicates)
        comparisons.append(
            Comparison(
                task,
                aggregation,
                correction,
                baseline.label,
                candidate.label,
                pairing,
                groups,
                weighted,
                cells,
                missing,
                (*pairing.notes, *left_out_notes(missing, baseline.label, candidate.label)),
            )
        )
    for level in dict.fromkeys(levels):
        comparisons = _corrected(comparisons, level, correction, replicates)
    order = _column_order(baseline.result, task)
    return [_ordered(comparison, order) for comparison in comparisons]


def _column_order(result: Mapping[str, Any], task: str) -> list[str]:
    """Returns abilities in the order of a benchmark's tables: its declared columns, or those of the model card."""
    of_task = result.get("tasks", {}).get(task, {})
    declared = of_task.get("columns") if isinstance(of_task, Mapping) else None
    if not isinstance(declared, Sequence) or isinstance(declared, str):
        return [ability for _, ability in CARD_COLUMNS]
    return [str(column[0]) for column in declared if isinstance(column, Sequence) and column]


def _ordered(comparison: Comparison, order: Sequence[str]) -> Comparison:
    """Returns a comparison with its cells in the order of the tables; others follow as they were."""

    def place(index: int) -> tuple[bool, int]:
        cell = comparison.cells[index]
        rank = order.index(cell.name) if cell.level == "l2" and cell.name in order else len(order)
        return cell.level != OVERALL, rank

    indices = sorted(range(len(comparison.cells)), key=place)
    return replace(
        comparison,
        cells=tuple(comparison.cells[index] for index in indices),
        weighted=comparison.weighted[:, indices],
    )


def best_of(comparisons: Sequence[Comparison], replicates: int = REPLICATES) -> list[BestDifference]:
    """Finds the greatest improvement of each cell over all candidates, and tests it as a maximum.

    The signs of all candidates on a question are flipped together, which preserves their correlation.
    """
    if not comparisons:
        return []
    weighted, names = _shared(comparisons)
    out = []
    for level in dict.fromkeys(level for level, _ in names):
        indices = [index for index, (name_level, _) in enumerate(names) if name_level == level]
        p = max_t(
            weighted[:, :, indices].reshape(weighted.shape[0], -1), one_sided=True, replicates=replicates
        ).reshape(len(comparisons), len(indices))
        for column, index in enumerate(indices):
            cells = [comparison.find(*names[index]) for comparison in comparisons]
            values = [cell.value for cell in cells if cell is not None]
            winner = int(np.argmax(values))
            out.append(
                BestDifference(
                    *names[index],
                    comparisons[winner].candidate,
                    values[winner],
                    float(p[winner, column]),
                    len(comparisons),
                )
            )
    return out


def _uncorrected(
    pairing: Pairing, aggregation: str, levels: Sequence[str], replicates: int
) -> tuple[_Floats, _Floats, tuple[Difference, ...]]:
    """Computes `groups`, `weighted` and `cells` of a `Comparison`; `_corrected` completes the cells."""
    one, two, left, right = pairing.baseline, pairing.candidate, pairing.left, pairing.right
    units = unit_counts(one, aggregation)[left]
    before, after = group_sums(one, aggregation)[left], group_sums(two, aggregation)[right]
    cells = cells_of([one.places[index] for index in left], units, aggregation).of(levels)
    parts = _split(pairing, aggregation)
    cell_differences = differences(before, after, units, cells, aggregation, replicates, parts)
    groups = after - before
    return groups, cells.weights * groups[:, None], tuple(cell_differences)


def _corrected(
    comparisons: Sequence[Comparison], level: str, correction: str, replicates: int
) -> list[Comparison]:
    """Sets the values that depend on the family, which consists of the cells of a level of all candidates."""
    cells = [list(comparison.cells) for comparison in comparisons]
    places = [
        (k, index) for k, row in enumerate(cells) for index, cell in enumerate(row) if cell.level == level
    ]
    p = np.array([cells[k][index].p for k, index in places])
    if correction == "max-t":
        joined = _joined(comparisons)
        p = max_t(np.column_stack([joined[k][:, index] for k, index in places]), replicates=replicates)
    elif correction != "none":
        p = holm(p) if correction == "holm" else benjamini_hochberg(p)
    squares = [(comparison.weighted**2).sum(axis=0) for comparison in comparisons]
    for (k, index), corrected in zip(places, p, strict=True):
        square = float(cells[k][index].n * squares[k][index])
        cells[k][index] = in_family(
            cells[k][index], float(corrected), len(places), square, is_corrected=correction != "none"
        )
    return [replace(one, cells=tuple(row)) for one, row in zip(comparisons, cells, strict=True)]


def in_family(
    cell: Difference, p_corrected: float, family: int, square: float, *, is_corrected: bool
) -> Difference:
    """Sets the values of a difference that depend on its family.

    Args:
        family: the number of tests in the family.
        square: n times the sum of the squares of the groups' parts in the difference.
        is_corrected: whether the family shares alpha.
    """
    counts, alpha = cell.counts, ALPHA / family if is_corrected else ALPHA
    return replace(
        cell,
        p_corrected=p_corrected,
        family=family,
        mde=detectable_change(max(1, round(counts.n)), counts.changed, alpha) if counts else 1.0,
        needed=groups_needed(cell.value, square, alpha) if cell.value else None,
    )


def _split(pairing: Pairing, aggregation: str) -> tuple[_Floats, _Floats]:
    """Splits each group's difference: replies whose readability changed, and all others; (groups,) each.

    Replies can be exchanged in two orders, the former or the latter first. Each part is its mean effect over
    both orders (the Shapley value of two players), so the parts add up. Only repeats that both runs have are
    used.
    """
    one, two = pairing.baseline, pairing.candidate
    repeats = min(one.values.shape[1], two.values.shape[1])
    rows, others, starts = paired_rows(pairing)
    before, after = one.values[rows, :repeats], two.values[others, :repeats]
    changed = one.read[rows, :repeats] != two.read[others, :repeats]
    shared = replace(one, starts=starts, rolls=one.rolls[rows])  # all that pass_scores reads besides values
    scores = [
        pass_scores(values, shared, aggregation)
        for values in (before, np.where(changed, after, before), np.where(changed, before, after), after)
    ]
    counts = one.passes[pairing.left, :repeats] & two.passes[pairing.right, :repeats]
    n = np.maximum(counts.sum(axis=1), 1)
    start, read, answered, end = (np.where(counts, score, 0.0).sum(axis=1) / n for score in scores)
    return (read - start + end - answered) / 2.0, (answered - start + end - read) / 2.0


def paired_rows(pairing: Pairing) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Returns the rows of the paired groups in each run, and where each group begins among them."""
    one, two = pairing.baseline, pairing.candidate
    sizes = one.sizes[pairing.left]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    within = np.arange(int(sizes.sum())) - np.repeat(starts, sizes)
    left = np.repeat(one.starts[pairing.left], sizes) + within
    right = np.repeat(two.starts[pairing.right], sizes) + within
    return left, right, starts


def _joined(comparisons: Sequence[Comparison]) -> list[_Floats]:
    """Expands each `weighted` to one row per group of the baseline; 0 where a candidate lacks the group."""
    out = []
    for comparison in comparisons:
        pairing = comparison.pairing
        out.append(np.zeros((len(pairing.baseline.groups), len(comparison.cells))))
        out[-1][pairing.left] = comparison.weighted
    return out


def _shared(comparisons: Sequence[Comparison]) -> tuple[_Floats, list[tuple[str, str]]]:
    """Returns the groups' parts of the differences, (groups, candidates, cells), and the shared cells."""
    known = [[(cell.level, cell.name) for cell in comparison.cells] for comparison in comparisons]
    names = [name for name in known[0] if all(name in cell_names for cell_names in known)]
    columns = [[cell_names.index(name) for name in names] for cell_names in known]
    tables = [table[:, indices] for table, indices in zip(_joined(comparisons), columns, strict=True)]
    return np.stack(tables, axis=1), names
