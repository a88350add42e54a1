"""Searches the ways of re-scoring a run's replies for one that gives a published number.

A source seldom states its extractor, its aggregation and what it does with cut replies. All combinations of up to
two departures from how the run was scored are compared with the published row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ssl4rl_bench.comparison.explaining.effects import SYMPTOMS, symptom_flags
from ssl4rl_bench.comparison.explaining.explanation import Estimated, Gap
from ssl4rl_bench.comparison.explaining.kinds import AGGREGATION, EXTRACTOR, LIKELY
from ssl4rl_bench.comparison.explaining.numbers import estimated, restricted, unpaired_interval
from ssl4rl_bench.comparison.explaining.published_side import PublishedSide
from ssl4rl_bench.comparison.explaining.sides import RunSide
from ssl4rl_bench.comparison.published import AVERAGE
from ssl4rl_bench.score.aggregate import AGGREGATIONS, GroupView, check_aggregation, members_of
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.stats.estimates import wilson
from ssl4rl_bench.task.extract import EXTRACTORS, check_extractor

Departure = tuple[str, str]
"""A kind and its value: ("extractor", "strict"), ("truncation", "")."""
MANY_COLUMNS = 3
"""A reading that gives this many published numbers to the last digit is no accident of one of them."""


@dataclass(frozen=True, slots=True)
class Rescoring:
    """One way of re-scoring. What the source states comes first among its departures."""

    departures: tuple[Departure, ...]
    gap: Gap
    exact: bool
    """Whether it gives all published numbers, up to one unit of their last digit."""
    fits: bool
    """Whether the published abilities lie in the intervals of the run's, except for at most one in five. A reading
    that fits the average alone is refuted by abilities that it does not fit."""

    @property
    def near(self) -> bool:
        """Whether it comes within chance of the published numbers."""
        return self.gap.within_chance and self.fits


class PublishedPair:
    """A run and a published row."""

    def __init__(
        self, side: RunSide, published: PublishedSide, aggregation: str, repeating: frozenset[tuple[str, int]]
    ) -> None:
        self._side, self._published, self.aggregation = side, published, aggregation
        self._repeating = repeating
        self._outcomes: dict[tuple[Departure, ...], Outcomes] = {}
        self._readings: dict[tuple[Departure, ...], Rescoring | None] = {}
        self.known = self._known()
        """The departures that the source states."""

    @property
    def n_tried(self) -> int:
        """The number of readings that were compared with the published numbers."""
        return len(self._readings)

    @property
    def n_near(self) -> int:
        """How many of them came within chance of the published numbers."""
        return sum(reading is not None and reading.near for reading in self._readings.values())

    def _known(self) -> tuple[Departure, ...]:
        stated, side = self._published.settings, self._side
        out: list[Departure] = []
        if (name := stated.get(EXTRACTOR)) is not None and side.unreadable is None:
            out += [(EXTRACTOR, full)] if (full := check_extractor(name)) != side.outcomes.extractor else []
        if (name := stated.get(AGGREGATION, self.aggregation)) != self.aggregation:
            out.append((AGGREGATION, check_aggregation(name)))
        return tuple(out)

    @property
    def extractors(self) -> list[str]:
        """The other extractors by which the replies can be read."""
        if self._side.unreadable is not None:
            return []
        used = self._side.outcomes.extractor
        return [name for name in dict.fromkeys(map(check_extractor, EXTRACTORS)) if name != used]

    def departures(self) -> list[Departure]:
        """Returns all departures that can be made and that the source does not rule out."""
        stated = self._published.settings
        out: list[Departure] = []
        if EXTRACTOR not in stated:
            out += [(EXTRACTOR, name) for name in self.extractors]
        if AGGREGATION not in stated:
            out += [(AGGREGATION, name) for name in AGGREGATIONS if name != self.aggregation]
        flags = symptom_flags(self._side.outcomes, self._repeating)
        return out + [(kind, "") for kind in SYMPTOMS if flags[kind].any() and not flags[kind].all()]

    def reading(self, departures: Sequence[Departure]) -> Rescoring | None:
        """Re-scores the replies; None if no question is left."""
        key = tuple(departures)
        if key not in self._readings:
            self._readings[key] = self._reading(key)
        return self._readings[key]

    def _reading(self, departures: tuple[Departure, ...]) -> Rescoring | None:
        chosen = dict(departures)
        outcomes = self._outcomes_of(tuple(d for d in departures if d[0] != AGGREGATION))
        aggregation = chosen.get(AGGREGATION, self.aggregation)
        numbers = _columns(outcomes, aggregation, self._published.columns)
        overall = estimated(outcomes, aggregation)
        if overall is None:
            return None
        mine, se = overall
        printed = self._published.row.values
        if AVERAGE in printed:
            against = printed[AVERAGE]
        else:  # the mean of the columns, on both sides
            known = [name for name in self._published.columns if numbers.get(name) is not None]
            if not known:
                return None
            against = float(np.mean([printed[name] for name in known]))
            value = float(np.mean([numbers[name] for name in known]))
            mine = Estimated(value, mine.n, unpaired_interval(value, se, 0.0))
        ends = None if mine.ci95 is None else (mine.ci95[0] - against, mine.ci95[1] - against)
        gap = Gap(mine, Estimated(against, None, None), ends)
        return Rescoring(departures, gap, self._is_exact(numbers), self._fits(outcomes, numbers))

    def _is_exact(self, numbers: Mapping[str, float | None]) -> bool:
        unit = self._published.precision
        pairs = [(numbers.get(name), self._published.row.values[name]) for name in self._published.columns]
        return all(mine is not None and abs(mine - theirs) < unit - 1e-12 for mine, theirs in pairs)

    def _fits(self, outcomes: Outcomes, numbers: Mapping[str, float | None]) -> bool:
        """Checks the abilities: a published one may miss Wilson's interval of the run's over its questions."""
        counts: Counter[str] = Counter(
            outcomes.places[index].l2 for index in np.flatnonzero(outcomes.counted)
        )
        outside = n = 0
        for name in self._published.columns:
            value = numbers.get(name)
            if name == AVERAGE or value is None:
                continue
            low, high = wilson(min(1.0, value), counts[name])
            n += 1
            outside += not low <= self._published.row.values[name] <= high
        return outside <= n // 5

    def _outcomes_of(self, departures: tuple[Departure, ...]) -> Outcomes:
        if departures not in self._outcomes:
            chosen = dict(departures)
            side = self._side
            outcomes = side.reread(chosen[EXTRACTOR]) if EXTRACTOR in chosen else side.outcomes
            flags = symptom_flags(outcomes, self._repeating)
            keep = np.ones(len(outcomes.groups), bool)
            for kind in SYMPTOMS:
                if kind in chosen:
                    keep &= ~flags[kind]
            self._outcomes[departures] = restricted(outcomes, keep)
        return self._outcomes[departures]

    def explaining(self) -> list[Rescoring]:
        """Returns the readings that explain the gap: after the first departure of the best one, after both.

        A reading that gives all published numbers exactly is the best one, if there is more than one number or the
        gap is beyond chance. Otherwise, if the gap is beyond chance, it is a reading that comes within chance.
        Otherwise it is a single departure that closes at least half of the gap. Fewer departures are preferred, then
        those in the order of `kinds.LIKELY`, then the smaller gap. Empty without any.
        """
        start = self.reading(self.known)
        if start is None or start.exact:
            return []
        options = self.departures()
        single = [r for departure in options if (r := self.reading((*self.known, departure)))]
        pairs = [
            r
            for one, two in combinations(options, 2)
            if one[0] != two[0] and (r := self.reading((*self.known, one, two))) is not None
        ]
        beyond = not start.gap.within_chance
        everything = sorted([*single, *pairs], key=_preference)
        if beyond or len(self._published.columns) >= MANY_COLUMNS:
            for reading in everything:
                if reading.exact:
                    return self._steps(reading)
        if not beyond:
            return []
        for reading in everything:
            if reading.near:
                return self._steps(reading)
        half = abs(start.gap.value) / 2.0
        return [reading for reading in everything if reading in single and abs(reading.gap.value) <= half][:1]

    def _steps(self, reading: Rescoring) -> list[Rescoring]:
        """Returns the reading after each of its departures, the one that closes more of the gap first."""
        new = reading.departures[len(self.known) :]
        if len(new) == 1:
            return [reading]
        alone = [r for departure in new if (r := self.reading((*self.known, departure)))]
        first = min(alone, key=lambda r: abs(r.gap.value))
        (second,) = (departure for departure in new if departure != first.departures[-1])
        return [first, replace(reading, departures=(*first.departures, second))]


def _preference(reading: Rescoring) -> tuple[int, list[int], float]:
    likely = sorted(LIKELY.index(kind) for kind, _ in reading.departures)
    return (
        len(reading.departures),
        likely,
        round(abs(reading.gap.value), 9),
    )  # then in the order of `AGGREGATIONS`


def _columns(outcomes: Outcomes, aggregation: str, names: Sequence[str]) -> dict[str, float | None]:
    """Returns the run's numbers in the columns of a published table."""
    view = GroupView.of(outcomes, aggregation)
    counted = [outcomes.places[index] for index in np.flatnonzero(outcomes.counted)]
    out: dict[str, float | None] = dict.fromkeys(names)
    if not counted:
        return out
    masks = members_of(counted)
    for name in names:
        inside = masks.get(("overall", "overall") if name == AVERAGE else ("l2", name))
        if inside is None or not view.sizes[inside].sum():
            continue
        sums, sizes = view.sums[inside], view.sizes[inside]
        if view.leaf is None:
            out[name] = float(sums.sum() / sizes.sum())
        else:
            leaf = np.unique(view.leaf[inside], return_inverse=True)[1]
            out[name] = float((np.bincount(leaf, sums) / np.bincount(leaf, sizes)).mean())
    return out
