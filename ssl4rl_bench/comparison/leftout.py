"""Describes questions that both runs were asked but that do not count because a run has no value for them.

The questions of failed requests need not be typical: failing on the hard ones makes a run look better than it
is. So each cell reports how both runs did on what is left out, and what its difference would be in the worst
case. `compare` reports these numbers; in `gate`, no verdict of "pass" may depend on questions left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.differences import differences
from ssl4rl_bench.comparison.pairing import Pairing
from ssl4rl_bench.comparison.result import LeftOut, LeftOutScores
from ssl4rl_bench.score.aggregate import OVERALL, cells_of, group_sums, unit_counts
from ssl4rl_bench.stats.resampling import REPLICATES

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]


def left_out(
    pairing: Pairing, aggregation: str, levels: Sequence[str], replicates: int = REPLICATES
) -> dict[tuple[str, str], LeftOut]:
    """Describes what is left out of each cell of the levels, by level and name; omits complete cells."""
    if not len(pairing.left_out):
        return {}
    one, two = pairing.baseline, pairing.candidate
    left, right = (
        np.concatenate([counted, out])
        for counted, out in zip((pairing.left, pairing.right), pairing.left_out.T, strict=True)
    )
    out = np.arange(len(left)) >= len(pairing.left)
    units = unit_counts(one, aggregation)[left]
    before, after = group_sums(one, aggregation)[left], group_sums(two, aggregation)[right]
    cells = cells_of([one.places[index] for index in left], units, aggregation).of(levels)
    worst = differences(
        np.where(np.isnan(before), units, before),
        np.where(np.isnan(after), 0.0, after),
        units,
        cells,
        aggregation,
        replicates,
    )
    by_cell = {}
    for index, name in enumerate(cells.names):
        members = cells.members[:, index]
        if (members & out).any():
            by_cell[name] = LeftOut(
                n=int((members & out).sum()),
                n_asked=int(members.sum()),
                baseline=_side(before[members], units[members], out[members]),
                candidate=_side(after[members], units[members], out[members]),
                worst=worst[index],
            )
    return by_cell


def left_out_notes(by_cell: Mapping[tuple[str, str], LeftOut], baseline: str, candidate: str) -> list[str]:
    """Returns notes on what is left out overall, for readers of the comparison, one sentence per note."""
    overall = by_cell.get((OVERALL, OVERALL))
    if overall is None:
        return []
    notes = [describe(overall, baseline, candidate)]
    worst = overall.worst
    lacks = ((candidate, overall.candidate, "wrong"), (baseline, overall.baseline, "right"))
    cases = " and ".join(f"as {how} for {name}" for name, side, how in lacks if side.missing)
    would = f"{candidate} would have {100 * worst.candidate:.2f}% and {baseline} {100 * worst.baseline:.2f}%"
    notes.append(f"If missing values counted {cases}, {would}: {100 * worst.value:+.2f} points.")
    return notes


def notes_of(pairing: Pairing, aggregation: str, baseline: str, candidate: str) -> list[str]:
    """Returns the notes of a pairing, followed by those on what is left out of it."""
    by_cell = left_out(pairing, aggregation, (OVERALL,), replicates=2)  # no p-value of the worst case is used
    return [*pairing.notes, *left_out_notes(by_cell, baseline, candidate)]


def describe(out: LeftOut, baseline: str, candidate: str) -> str:
    """Describes in one sentence how many questions are left out, why, and how they differ from the others."""
    sides = ((baseline, out.baseline), (candidate, out.candidate))
    lacking = " and ".join(f"{name} has no value for {side.missing}" for name, side in sides if side.missing)
    text = f"{out.n} of {out.n_asked} questions ({100 * out.share:.2f}%) are left out, as {lacking}"
    for name, side in sides:
        if side.left_out is None or side.p is None:
            continue
        p = "<0.0001" if side.p < 0.0001 else f"{side.p:.4f}"
        text += (
            f"; {name} answered {side.n} of these, {100 * side.left_out:.2f}% of them right, against "
            f"{100 * side.counted:.2f}% of those that count (p of no difference {p})"
        )
    return f"{text}."


def _side(sums: _Floats, units: _Floats, out: _Flags) -> LeftOutScores:
    """Computes a run's scores on the questions that are left out and on those that count."""
    score = sums / units
    answered = out & ~np.isnan(sums)
    omitted, remaining = score[answered], score[~out]
    counted = float(sums[~out].sum() / units[~out].sum()) if len(remaining) else 0.0
    missing = int((out & np.isnan(sums)).sum())
    if not len(omitted):
        return LeftOutScores(missing, 0, None, counted, None)
    return LeftOutScores(
        missing,
        len(omitted),
        float(sums[answered].sum() / units[answered].sum()),
        counted,
        _alike(omitted, remaining),
    )


def _alike(omitted: _Floats, counted: _Floats) -> float | None:
    """Computes the two-sided p-value that both sets have one distribution; None if `counted` is empty."""
    if not len(counted):
        return None
    from scipy.stats import fisher_exact, mannwhitneyu  # here, as the import takes a second

    if bool(np.isin(omitted, (0.0, 1.0)).all() and np.isin(counted, (0.0, 1.0)).all()):
        right = [int(scores.sum()) for scores in (omitted, counted)]
        return float(fisher_exact([right, [len(omitted) - right[0], len(counted) - right[1]]])[1])
    if np.ptp(np.concatenate([omitted, counted])) == 0.0:
        return 1.0
    return float(mannwhitneyu(omitted, counted, alternative="two-sided").pvalue)
