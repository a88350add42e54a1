"""The verdict in words: what a board and the probes show, and what they could not have shown.

"Not told apart" never means "the same": it comes with the smallest difference that would have been found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl4rl_bench.comparison.result import ALPHA, Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board
from ssl4rl_bench.reports.board.columns import Column
from ssl4rl_bench.reports.board.probes import ProbeRow
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.naming import CORRECTIONS, unit_name
from ssl4rl_bench.reports.text.numbers import (
    interval,
    listed,
    p_is,
    percent,
    points,
    points_and_interval,
    span,
)

_SHOWN = 0.00005
"""Smaller fractions are "0.00" points."""


@dataclass(frozen=True, slots=True)
class CandidateVerdict:
    """A comparison of a candidate with the baseline, in words."""

    label: str
    """The candidate's label."""
    mark: str
    """The mark of the average: "better", "worse" or ""."""
    text: str
    """The text after the label: "is better than ..."; may be empty."""
    details: tuple[str, ...] = ()
    """Sentences on abilities, the source of the difference, and probes."""


@dataclass(frozen=True, slots=True)
class BoardVerdict:
    """The verdict on one board."""

    opening: str
    candidates: tuple[CandidateVerdict, ...]
    closing: tuple[str, ...]
    """Sentences on all candidates together."""


def verdict(board: Board, probes: Sequence[ProbeRow] = ()) -> BoardVerdict:
    """Puts the results of a board into words.

    Args:
        probes: rows of `board.probes`, described under their candidates.
    """
    candidates = [row for row in board.rows if row.kind == "checkpoint"]
    verdicts = []
    for row in candidates:
        pairs = list(zip(board.columns, (cell.difference for cell in row.cells), strict=True))
        overall = next(
            (difference for column, difference in pairs if column.level == "overall" and difference), None
        )
        if overall is None:
            continue
        abilities = [
            (column, difference) for column, difference in pairs if column.level != "overall" and difference
        ]
        details = (*_abilities(abilities), *_source(overall), *_probes(row.label, probes))
        verdicts.append(CandidateVerdict(clean(row.label), overall.mark, _main(overall, board), details))
    return BoardVerdict(_opening(board, len(candidates)), tuple(verdicts), _closing(board))


def probe_verdict(probes: Sequence[ProbeRow]) -> BoardVerdict:
    """Puts the results of probes into words, for runs without a benchmark."""
    base = [row for row in probes if row.is_baseline]
    labels = dict.fromkeys(row.label for row in probes if not row.is_baseline)
    opening = (
        f"{_count(len(base), 'SSL probe')} of {clean(base[0].label)}, no benchmark."
        if base
        else "Nothing was measured."
    )
    verdicts = tuple(
        CandidateVerdict(clean(label), "", "", tuple(_probes(label, probes))) for label in labels
    )
    return BoardVerdict(opening, verdicts, ())


def _opening(board: Board, n_candidates: int) -> str:
    base = next(row for row in board.rows if row.kind == "baseline")
    cell = base.cells[-1]
    task, name = short(board.task), clean(base.label)
    unit = unit_name(board.aggregation, board.kind)
    scored = (
        f"{name} scores {percent(cell.value)}% {interval(cell.ci95)} on {task} "
        f"(n = {cell.n} {unit}, {board.aggregation})"
    )
    if not n_candidates:
        return f"{scored}. There is no second run to compare it with."
    verb = "is" if n_candidates == 1 else "are"
    return f"{scored}. {_count(n_candidates, 'run')} {verb} compared with it on the same questions."


def _main(difference: Difference, board: Board) -> str:
    words = {"better": "is better than", "worse": "is worse than", "": "cannot be told apart from"}
    what = f"{clean(board.baseline)} on {board.columns[-1].header}"
    text = f"{words[difference.mark]} {what}: {_numbers(difference)}, n = {difference.n}."
    if not difference.mark:
        least = f"{percent(difference.mde)} points"
        text += f" The least difference that would be detected here with 80% power is {least}."
        if difference.needed and difference.needed > difference.n:
            text += f" Detecting the observed difference needs {difference.needed:,} questions."
    return text


def _abilities(abilities: Sequence[tuple[Column, Difference]]) -> list[str]:
    if not abilities:
        return []
    out = []
    for mark in ("better", "worse"):
        named = [
            f"{column.header} ({_numbers(difference)}, n = {difference.n})"
            for column, difference in abilities
            if difference.mark == mark
        ]
        if named:
            out.append(f"{mark.capitalize()} on {listed(named)}.")
    rest = [difference for _, difference in abilities if not difference.mark]
    if rest:
        count = _count(len(rest), "ability")
        who = f"On the other {count.removeprefix('1 ')}" if out else f"On {count}"
        out.append(
            f"{who} the direction of the difference is undecided; the least difference that would be detected "
            f"there with 80% power is {span([difference.mde for difference in rest])} points."
        )
    return out


def _source(difference: Difference) -> list[str]:
    if not difference.mark or abs(difference.from_reading.value) < _SHOWN:
        return []
    return [
        f"Of the difference, {points(difference.from_reading.value)} points come from replies that could be read in "
        f"one of the two runs only, and {points(difference.from_answers.value)} from answers that changed."
    ]


def _probes(label: str, probes: Sequence[ProbeRow]) -> list[str]:
    named = []
    for row in probes:
        difference = row.difference
        if row.label != label or difference is None:
            continue
        result = difference.mark or f"not told apart; detectable from {percent(difference.mde)}"
        name = short(row.task).removeprefix("ssl_")
        named.append(f"{name} {points(difference.value)} {interval(difference.ci95, True)} ({result})")
    return [f"SSL probes, in points: {listed(named)}."] if named else []


def _closing(board: Board) -> tuple[str, ...]:
    differences = [
        cell.difference
        for row in board.rows
        for cell in row.cells
        if row.kind == "checkpoint" and cell.difference
    ]
    out = []
    if differences:
        families = [
            (
                name,
                [difference for difference in differences if (difference.level == "overall") == is_average],
            )
            for name, is_average in (("on Average", True), ("on single abilities", False))
        ]
        counts = listed(
            [
                f"{sum(bool(difference.mark) for difference in family)} of {_count(len(family), 'comparison')} {name}"
                for name, family in families
                if family
            ]
        )
        correction = CORRECTIONS.get(board.correction, board.correction)
        out.append(f"Beyond chance after {correction} at {100 * ALPHA:g}%: {counts}.")
    best = board.improvement[-1] if board.improvement else None
    if best is not None and best.n_candidates > 1:
        out.append(
            f"The greatest difference on Average of {best.n_candidates} runs is {clean(best.candidate)}'s "
            f"({points(best.value)} points); for the best of that many runs, {p_is(best.p)} (max-T)."
        )
    return tuple(out)


def _numbers(difference: Difference) -> str:
    size = points_and_interval(difference.value, difference.ci95)
    return f"{size}, corrected {p_is(difference.p_corrected)}"


def _count(n: int, what: str) -> str:
    plural = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{n} {what if n == 1 else plural}"
