"""Compares methods that have several runs: training seeds of a method, or repeated runs of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssl4rl_bench.comparison.differences import Members
from ssl4rl_bench.comparison.leftout import notes_of
from ssl4rl_bench.comparison.pairing import Evaluated, pair
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.score.aggregate import (
    LEVELS,
    OVERALL,
    cells_of,
    check_aggregation,
    group_sums,
    unit_counts,
)
from ssl4rl_bench.stats.effective import Effective
from ssl4rl_bench.stats.paired import tango
from ssl4rl_bench.stats.seeds import Crossed, crossed

SEED = r"(.+?)(?:[-_. ]?seed[-_. ]?\d+|[-_. ]s\d+)?(?: \(.*\))?"
"""The pattern of `--group-by seed`. Its group is the part of a name before a trailing seed."""


@dataclass(frozen=True, slots=True)
class Method:
    """Runs that are treated as one."""

    name: str
    runs: tuple[Evaluated, ...]


@dataclass(frozen=True, slots=True)
class MethodCell:
    """The difference of method minus baseline in one category. Values are fractions."""

    level: str
    name: str
    by_run: tuple[float, ...]
    """The difference of each run."""
    mean: Crossed
    """The mean with questions and runs both random, that is, for a new seed on new questions."""
    notes: tuple[str, ...]
    """Notes for readers of the differences; the same for all cells of a method."""


def methods_of(runs: Sequence[Evaluated], how: str) -> list[Method]:
    """Groups runs into methods, in the order of each method's first run.

    Args:
        how: "model" (same weights), "seed" (names that differ in a trailing seed), or a regular expression
            whose first group, matched at the beginning of a name, is the method.

    Raises:
        UsageError: an invalid expression, or a name that it does not match.
    """
    together: dict[str, list[Evaluated]] = {}
    try:
        pattern = re.compile(SEED if how == "seed" else how)
    except re.error as error:
        raise UsageError(f"--group-by {how} is not a regular expression ({error})") from None
    if how != "model" and pattern.groups < 1:
        raise UsageError(
            f"--group-by {how} needs a group in parentheses that matches the method's name; or give model or seed"
        )
    for run in runs:
        if how == "model":
            key = run.spec.fingerprint
        else:
            match = pattern.fullmatch(run.label) if how == "seed" else pattern.match(run.label)
            if match is None:
                raise UsageError(f"--group-by {how} does not match the name {run.label}")
            key = match[1]
        together.setdefault(key, []).append(run)
    return [Method(runs[0].label if how == "model" else key, tuple(runs)) for key, runs in together.items()]


def compare_method(
    baseline: Evaluated,
    method: Method,
    task: str,
    *,
    by: str = "l2",
    aggregation: str = "circular_micro",
    allow: Collection[str] = (),
) -> list[MethodCell]:
    """Computes a method's differences over the questions that all its runs and the baseline answered.

    The interval of a method is wider than that of any run, because another seed would give another result
    (`stats.seeds.crossed`).

    Raises:
        UsageError: as `pairing.pair`; or the runs share no question.
    """
    check_aggregation(aggregation)
    if by not in LEVELS:
        raise UsageError(f"--by {by} is unknown (known: {', '.join(LEVELS)})")
    one = baseline.task(task)
    before = group_sums(one, aggregation)
    table = np.full((len(one.groups), len(method.runs)), np.nan)
    notes: list[str] = []
    for column, run in enumerate(method.runs):
        pairing = pair(baseline, run, task, allow)
        notes += notes_of(pairing, aggregation, baseline.label, run.label)
        after = group_sums(pairing.candidate, aggregation)[pairing.right]
        table[pairing.left, column] = after - before[pairing.left]
    complete = ~np.isnan(table).any(axis=1)
    if not complete.any():
        raise UsageError(f"the runs of {method.name} share no answered question of {task}")
    units = unit_counts(one, aggregation)[complete]
    cells = cells_of(
        [place for place, keep in zip(one.places, complete, strict=True) if keep], units, aggregation
    )
    out = []
    for level in dict.fromkeys((OVERALL, by)):
        for index in cells.numbers(level):
            groups = Members.of(cells, index, units, aggregation)
            # Scaled so that the plain mean over groups is the cell's difference.
            scaled = table[complete][groups.selected] * groups.weights[:, None] * groups.selected.sum()
            of_questions = groups.difference(table[complete].mean(axis=1)) if len(method.runs) > 1 else None
            out.append(
                MethodCell(
                    level,
                    cells.names[index][1],
                    tuple(scaled.mean(axis=0).tolist()),
                    _widened(crossed(scaled), of_questions),
                    tuple(dict.fromkeys(notes)),
                )
            )
    return out


def _widened(mean: Crossed, of_questions: Effective | None) -> Crossed:
    """Widens the interval of a mean to include the interval that accounts for the questions alone.

    `crossed` assumes normal scores, which is far from true if few questions change.
    """
    if of_questions is None:
        return mean
    low, high = (float(end) for end in tango(*of_questions.counts(0.975)))
    known = mean.ci95 or (low, high)
    return replace(mean, ci95=(min(low, known[0]), max(high, known[1])))
