"""Computes how much of the gap between two runs goes away when their recorded differences are removed.

Each difference is a switch. `extractor` reads the run as the other one was read, `aggregation` combines its
scores as the other number does, `split` keeps the questions that both runs answered, and the symptoms
(`repetition`, `truncation`, `unread`) leave out the questions in which a run has such a reply. No model is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.explaining.explanation import Effect, Gap
from ssl4rl_bench.comparison.explaining.kinds import (
    AGGREGATION,
    EXTRACTOR,
    ORDER,
    REPETITION,
    SPLIT,
    TRUNCATION,
    UNREAD,
)
from ssl4rl_bench.comparison.explaining.numbers import Flags, gap_of, paired_interval, restricted
from ssl4rl_bench.comparison.result import ALPHA
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.run.journal import Place
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.score.scores import STATUSES

NEGLIGIBLE = 0.00005
"""A change of the gap below half of the last printed digit, 0.01 points, is none."""
SYMPTOMS = (REPETITION, TRUNCATION, UNREAD)


def symptom_flags(outcomes: Outcomes, repeating: Collection[Place]) -> dict[str, Flags]:
    """Returns for each symptom the groups that have a reply with it, shape (groups,).

    A reply that was cut off while it repeated itself counts as repetition, not as truncation.

    Args:
        repeating: the replies that repeat themselves (`reply_facts`).
    """
    cut = outcomes.status == STATUSES.index(Status.TRUNCATED)
    loops = np.zeros_like(cut)
    if repeating:
        row_of = {id: row for row, id in enumerate(outcomes.ids)}
        for id, repeat in repeating:
            if id in row_of and repeat < cut.shape[1]:
                loops[row_of[id], repeat] = cut[row_of[id], repeat]
    rows = {REPETITION: loops, TRUNCATION: cut & ~loops, UNREAD: outcomes.unread & ~cut}
    return {kind: np.logical_or.reduceat(flags.any(axis=1), outcomes.starts) for kind, flags in rows.items()}


@dataclass(frozen=True, eq=False)
class RunPair:
    """Two runs and the switches between them."""

    run: Outcomes
    reread: Outcomes | None
    """The run read by the other one's extractor; None if both have the same one or it cannot be read."""
    against: Outcomes
    aggregations: tuple[str, str]
    shared: NDArray[np.intp]
    """The indices of the same questions in both runs, shape (questions, 2)."""
    flags: Mapping[str, tuple[Flags, Flags]]
    """For each symptom, the questions of each run that have it in either run."""
    switches: tuple[str, ...] = ()
    _known: dict[frozenset[str], Gap | None] = field(default_factory=dict)

    def gap(self, on: Collection[str]) -> Gap | None:
        """Computes the gap with some of the switches; None if no question is left."""
        key = frozenset(on)
        if key not in self._known:
            self._known[key] = self._gap(key)
        return self._known[key]

    def _gap(self, on: Collection[str]) -> Gap | None:
        run = self.reread if EXTRACTOR in on and self.reread is not None else self.run
        keep, also = np.ones(len(run.groups), bool), np.ones(len(self.against.groups), bool)
        if SPLIT in on:
            both = run.counted[self.shared[:, 0]] & self.against.counted[self.shared[:, 1]]
            keep, also = np.zeros_like(keep), np.zeros_like(also)
            keep[self.shared[both, 0]] = also[self.shared[both, 1]] = True
        for kind in SYMPTOMS:
            if kind in on:
                keep, also = keep & ~self.flags[kind][0], also & ~self.flags[kind][1]
        mine, theirs = self.aggregations
        both_names = (theirs if AGGREGATION in on else mine, theirs)
        return gap_of(restricted(run, keep), restricted(self.against, also), both_names, self.shared)


def make_pair(
    run: Outcomes,
    reread: Outcomes | None,
    against: Outcomes,
    aggregations: tuple[str, str],
    shared: NDArray[np.intp],
    repeating: tuple[Collection[Place], Collection[Place]],
) -> RunPair:
    """Finds the switches between two runs.

    A symptom is one if the numbers of questions that have it differ by more than chance (McNemar's mid-p below
    0.05). Unread replies are compared only if both runs were read by the same extractor, or were made so.
    """
    read = reread or run
    same_reader = (read.extractor, read.reader) == (against.extractor, against.reader)
    mine, theirs = symptom_flags(read, repeating[0]), symptom_flags(against, repeating[1])
    flags, switches = {}, []
    if reread is not None:
        switches.append(EXTRACTOR)
    if aggregations[0] != aggregations[1]:
        switches.append(AGGREGATION)
    both = read.counted[shared[:, 0]] & against.counted[shared[:, 1]]
    if 0 < both.sum() < max(read.counted.sum(), against.counted.sum()):
        switches.append(SPLIT)
    for kind in SYMPTOMS:
        one, two = mine[kind].copy(), theirs[kind].copy()
        left, right = shared[both].T
        if _more(mine[kind][left], theirs[kind][right]) and (kind != UNREAD or same_reader):
            switches.append(kind)
        one[shared[:, 0]] |= theirs[kind][shared[:, 1]]
        two[shared[:, 1]] |= mine[kind][shared[:, 0]]
        flags[kind] = (one, two)
    return RunPair(run, reread, against, aggregations, shared, flags, tuple(switches))


def _more(one: Flags, two: Flags) -> bool:
    """Checks whether one of two paired flags is set more often than the other beyond chance."""
    from ssl4rl_bench.stats.paired import mcnemar  # here, as it imports scipy

    return bool(mcnemar((one & ~two).sum(), (two & ~one).sum()) < ALPHA)


def effects_of(pair: RunPair, what: Mapping[str, str], start: Gap) -> list[Effect]:
    """Computes the effect of each switch alone, in the order of `kinds.KINDS`.

    Args:
        what: a description of each switch.
        start: the gap without any switch.
    """
    out = []
    for kind in sorted(pair.switches, key=ORDER.__getitem__):
        gap = pair.gap({kind})
        if gap is None:
            continue
        ends = None
        if kind == EXTRACTOR and pair.reread is not None:
            ends = rereading_interval(pair.run, pair.reread, pair.aggregations[0])
        out.append(Effect(kind, what[kind], gap, gap.value - start.value, ends))
    return out


def rereading_interval(run: Outcomes, reread: Outcomes, aggregation: str) -> tuple[float, float] | None:
    """Computes the interval of the number of a run read in another way, minus its number."""
    both = np.flatnonzero(run.counted & reread.counted)
    return paired_interval(reread, run, aggregation, np.column_stack([both, both]))


def narrowing(pair: RunPair) -> list[tuple[str, Gap]]:
    """Chooses the switches that narrow the gap, one after the other, each with the gap after it.

    The switch that leaves the smallest gap comes first; then, with it on, the next one, as long as the gap shrinks
    by more than `NEGLIGIBLE`. Differences that offset each other do not narrow the gap one by one. If all
    together do, the others follow, the largest first.
    """
    chosen: list[tuple[str, Gap]] = []
    current = pair.gap(())
    while current is not None:
        left = [kind for kind in pair.switches if kind not in dict(chosen)]
        after = {kind: gap for kind in left if (gap := pair.gap({*dict(chosen), kind})) is not None}
        best = min(after, key=lambda kind: (abs(after[kind].value), ORDER[kind]), default=None)
        if best is None or abs(current.value) - abs(after[best].value) <= NEGLIGIBLE:
            break
        chosen.append((best, after[best]))
        current = after[best]
    rest = [kind for kind in pair.switches if kind not in dict(chosen)]
    every = pair.gap(pair.switches)
    if rest and current and every and abs(current.value) - abs(every.value) > NEGLIGIBLE:
        chosen += _by_size(pair, rest, [kind for kind, _ in chosen])
    return chosen


def _by_size(pair: RunPair, rest: Sequence[str], on: Sequence[str]) -> list[tuple[str, Gap]]:
    """Turns on the remaining switches, the one that moves the gap most first."""
    start = pair.gap(on)
    size = {
        kind: abs(gap.value - start.value) if (gap := pair.gap({*on, kind})) and start else 0.0
        for kind in rest
    }
    out, active = [], list(on)
    for kind in sorted(rest, key=lambda kind: (-size[kind], ORDER[kind])):
        active.append(kind)
        if (gap := pair.gap(active)) is not None:
            out.append((kind, gap))
    return out
