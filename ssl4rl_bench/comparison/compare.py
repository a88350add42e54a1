"""Compares runs with a baseline.

The unit is the group. Whatever the aggregation, a cell's difference is linear in the groups' differences, as both
runs have the same rows of each group; tests and intervals work on these.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.differences import differences
from ssl4rl_bench.comparison.leftout import emptied, left_out, told
from ssl4rl_bench.comparison.pairing import Evaluated, Pairing, pair
from ssl4rl_bench.comparison.result import ALPHA, Best, Comparison, Difference, LeftOut
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

_Floats = NDArray[np.float64]

CORRECTIONS = ("holm", "max-t", "bh", "none")
"""How p-values of a family are corrected: Holm, step-down max-T by sign flips, Benjamini-Hochberg, not at all."""


def compare(
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
    """Each candidate against the baseline, overall and in the categories of a level.

    Args:
        by: "overall", "l1", "l2" or "l3".
        correction: one of `CORRECTIONS`; by default Holm, and Benjamini-Hochberg for the many leaves of "l3".
        allow: as `pairing.pair`.

    Raises:
        UsageError: unknown names, a task that a run lacks, or runs that must not be compared.
    """
    check_aggregation(aggregation)
    if by not in LEVELS:
        raise UsageError(f"--by {by} is unknown (known: {', '.join(LEVELS)}){did_you_mean(by, LEVELS)}")
    correction = correction or ("bh" if by == "l3" else "holm")
    if correction not in CORRECTIONS:
        hint = did_you_mean(correction, CORRECTIONS)
        raise UsageError(f"--correction {correction} is unknown (known: {', '.join(CORRECTIONS)}){hint}")
    drafts = [
        _draft(pair(baseline, candidate, task, allow), aggregation, by, replicates)
        for candidate in candidates
    ]
    for level in dict.fromkeys((OVERALL, by)):
        _correct(drafts, level, correction, replicates)
    return [
        Comparison(
            task,
            aggregation,
            correction,
            baseline.label,
            candidate.label,
            draft.pairing,
            draft.differences,
            tuple(draft.cells),
            tuple(draft.left_out.get((cell.level, cell.name)) for cell in draft.cells),
            emptied(draft.left_out, draft.cells),
            (*draft.pairing.notes, *told(draft.left_out, baseline.label, candidate.label)),
        )
        for candidate, draft in zip(candidates, drafts, strict=True)
    ]


def best_of(comparisons: Sequence[Comparison], replicates: int = REPLICATES) -> list[Best]:
    """The greatest improvement of each cell over all candidates, tested as a maximum.

    Signs are flipped for all candidates of a question together, which keeps their correlation.
    """
    if not comparisons:
        return []
    weighted, names = _shared(comparisons)
    out = []
    for level in dict.fromkeys(level for level, _ in names):
        own = [at for at, (of, _) in enumerate(names) if of == level]
        p = max_t(
            weighted[:, :, own].reshape(weighted.shape[0], -1), one_sided=True, replicates=replicates
        ).reshape(len(comparisons), len(own))
        for column, at in enumerate(own):
            values = [comparison.find(*names[at]) for comparison in comparisons]
            known = [(found.value, number) for number, found in enumerate(values) if found is not None]
            value, winner = max(known, key=lambda pair: (pair[0], -pair[1]))
            out.append(
                Best(
                    *names[at],
                    comparisons[winner].candidate,
                    value,
                    float(p[winner, column]),
                    len(comparisons),
                )
            )
    return out


@dataclass(slots=True, eq=False)
class _Draft:
    pairing: Pairing
    differences: _Floats
    weighted: _Floats
    """(groups, cells) each group's part of each cell's difference."""
    squares: _Floats
    """(cells,) mean square of the groups' differences."""
    cells: list[Difference]
    """Not corrected yet, and without what depends on the family."""
    left_out: dict[tuple[str, str], LeftOut]
    """By level and name; also of cells without a question that counts."""


def _draft(pairing: Pairing, aggregation: str, by: str, replicates: int) -> _Draft:
    one, two, left, right = pairing.baseline, pairing.candidate, pairing.left, pairing.right
    units = unit_counts(one, aggregation)[left]
    before, after = group_sums(one, aggregation)[left], group_sums(two, aggregation)[right]
    levels = (OVERALL, by)
    cells = cells_of([one.places[at] for at in left], units, aggregation).of(levels)
    d = after - before
    weighted = cells.weights * d[:, None]
    found = differences(before, after, units, cells, aggregation, replicates, _split(pairing, aggregation))
    squares = np.array([cell.n for cell in found]) * (weighted**2).sum(axis=0)
    return _Draft(pairing, d, weighted, squares, found, left_out(pairing, aggregation, levels, replicates))


def _correct(drafts: Sequence[_Draft], level: str, correction: str, replicates: int) -> None:
    """Fills in what depends on the family: all candidates' cells of a level."""
    places = [(draft, at) for draft in drafts for at, cell in enumerate(draft.cells) if cell.level == level]
    p = np.array([draft.cells[at].p for draft, at in places])
    if correction == "max-t":
        together = {id(draft): number for number, draft in enumerate(drafts)}
        joined = _joined([draft.pairing for draft in drafts], [draft.weighted for draft in drafts])
        columns = np.column_stack([joined[together[id(draft)]][:, at] for draft, at in places])
        p = max_t(columns, replicates=replicates)
    elif correction != "none":
        p = holm(p) if correction == "holm" else benjamini_hochberg(p)
    family = len(places)
    for (draft, at), corrected in zip(places, p, strict=True):
        cell = draft.cells[at]
        alpha = ALPHA if correction == "none" else ALPHA / family
        square = float(draft.squares[at])
        draft.cells[at] = replace(
            cell,
            p_corrected=float(corrected),
            family=family,
            mde=_mde(cell, alpha),
            needed=groups_needed(cell.value, square, alpha) if cell.value else None,
        )


def _mde(cell: Difference, alpha: float) -> float:
    if cell.counts is None:
        return 1.0
    return detectable_change(max(1, round(cell.counts.n)), cell.counts.changed, alpha)


def _split(pairing: Pairing, aggregation: str) -> tuple[_Floats, _Floats]:
    """Each group's difference in two parts: replies whose readability changed, and all others; (groups,) each.

    The score with only the former exchanged is on the way from one run to the other, and so is the score with only
    the latter: each part is its mean effect over both ways (Shapley's value of two players), so they add up. Over the
    repeats that both have.
    """
    one, two = pairing.baseline, pairing.candidate
    repeats = min(one.values.shape[1], two.values.shape[1])
    rows, others, starts = _rows(pairing)
    before, after = one.values[rows, :repeats], two.values[others, :repeats]
    changed = one.read[rows, :repeats] != two.read[others, :repeats]
    shared = replace(
        one,
        groups=tuple(one.groups[at] for at in pairing.left),
        starts=starts,
        rolls=one.rolls[rows],
        ids=tuple(one.ids[row] for row in rows),
    )
    scores = [
        pass_scores(values, shared, aggregation)
        for values in (before, np.where(changed, after, before), np.where(changed, before, after), after)
    ]
    counts = one.passes[pairing.left, :repeats] & two.passes[pairing.right, :repeats]
    n = np.maximum(counts.sum(axis=1), 1)
    start, read, answered, end = (np.where(counts, score, 0.0).sum(axis=1) / n for score in scores)
    return (read - start + end - answered) / 2.0, (answered - start + end - read) / 2.0


def _rows(pairing: Pairing) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the paired groups in each run, and where each group begins among them."""
    one, two = pairing.baseline, pairing.candidate
    sizes = one.sizes[pairing.left]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    within = np.arange(int(sizes.sum())) - np.repeat(starts, sizes)
    left = np.repeat(one.starts[pairing.left], sizes) + within
    right = np.repeat(two.starts[pairing.right], sizes) + within
    return left, right, starts


def _joined(pairings: Sequence[Pairing], tables: Sequence[_Floats]) -> list[_Floats]:
    """Rows of several tables put on one list of groups, that of the baseline; 0 where a candidate has none."""
    n = len(pairings[0].baseline.groups)
    out = []
    for pairing, table in zip(pairings, tables, strict=True):
        full = np.zeros((n, table.shape[1]))
        full[pairing.left] = table
        out.append(full)
    return out


def _shared(comparisons: Sequence[Comparison]) -> tuple[_Floats, list[tuple[str, str]]]:
    """(groups, candidates, cells) each group's part of each difference, and the cells that all have."""
    names = [(cell.level, cell.name) for cell in comparisons[0].cells]
    names = [name for name in names if all(other.find(*name) for other in comparisons)]
    tables = []
    for comparison in comparisons:
        one, left = comparison.pairing.baseline, comparison.pairing.left
        units = unit_counts(one, comparison.aggregation)[left]
        cells = cells_of([one.places[at] for at in left], units, comparison.aggregation)
        columns = [cells.names.index(name) for name in names]
        tables.append(cells.weights[:, columns] * comparison.groups[:, None])
    return np.stack(_joined([c.pairing for c in comparisons], tables), axis=1), names
