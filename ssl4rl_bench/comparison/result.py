"""What a comparison of runs says: differences with intervals, corrected p, what could be found, and where from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.pairing import Pairing
from ssl4rl_bench.stats.effective import Effective

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a difference, with its own interval."""

    value: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline in one cell. Fractions."""

    level: str
    name: str
    n: int
    """Groups that both answered."""
    baseline: float
    """Its value over these groups, which need not be all that it answered."""
    candidate: float
    value: float
    se: float | None
    """Paired, over groups (`stats.effective.mean_variance`). None with a single group."""
    ci95: tuple[float, float] | None
    """Tango's, of the groups for 0/1 group scores, else of as many as would vary as much (`stats.effective`)."""
    p: float
    """Two-sided: McNemar's mid-p for 0/1 group scores, else a sign-flip permutation of groups."""
    p_corrected: float
    """In its family: this level's cells of all candidates."""
    family: int
    """Tests in the family."""
    mde: float
    """Smallest difference that this test, at its share of alpha in the family, finds with 80% power; 1 if none."""
    needed: int | None
    """Groups at which a difference of this size would be found with 80% power; None for a difference of 0."""
    binary: bool
    """Whether every group scores 0 or 1 in both runs."""
    gained: int
    """Groups that went up: from wrong to right."""
    lost: int
    counts: Effective | None
    """What `ci95` and one-sided bounds rest on. None with a single group of scores other than 0/1."""
    right: Effective | None
    """The same of the candidate's accuracy."""
    from_reading: Share
    """What comes from replies that could be read in one run only."""
    from_answers: Share
    """What comes from replies that were read in both, or in neither. The two add up to `value`, but for repeats that
    only one run has."""

    @property
    def mark(self) -> str:
        """ "better", "worse", or "" where the difference could be chance."""
        if self.p_corrected >= ALPHA or self.value == 0.0:
            return ""
        return "better" if self.value > 0.0 else "worse"


@dataclass(frozen=True, slots=True)
class Side:
    """How one run did on the questions of a cell that are left out of it. Fractions."""

    missing: int
    """Left out as this run has no value: its request failed, or its reply could not be scored."""
    n: int
    """Left out that this run did answer: the other run has no value."""
    left_out: float | None
    """Its score on these; None where there are none."""
    counted: float
    """Its score on the questions that count."""
    p: float | None
    """Two-sided, of both being alike: Fisher's exact test for 0/1 scores, else Mann and Whitney's."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Questions of a cell that both runs were asked and that do not count, as at least one run has no value."""

    n: int
    n_asked: int
    """Those that count, and these."""
    baseline: Side
    candidate: Side
    worst: Difference
    """Over all that were asked: without a value is wrong for the candidate, and right for the baseline."""

    @property
    def share(self) -> float:
        """Of the questions that were asked. A fraction."""
        return self.n / self.n_asked


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A candidate against the baseline on one task."""

    task: str
    aggregation: str
    correction: str
    baseline: str
    candidate: str
    pairing: Pairing
    groups: NDArray[np.float64]
    """(groups,) each group's difference, in the pairing's order."""
    weighted: NDArray[np.float64]
    """(groups, cells) each group's part of each cell's difference."""
    cells: tuple[Difference, ...]
    """Overall first, then the level's."""
    left_out: Mapping[tuple[str, str], LeftOut]
    """By level and name; also of categories of which no question counts, and not where all that was asked counts."""
    notes: tuple[str, ...]
    """What a reader of the differences must know, a sentence each."""

    def left_out_of(self, cell: Difference) -> LeftOut | None:
        """What is left out of one of `cells`."""
        return self.left_out.get((cell.level, cell.name))

    @property
    def emptied(self) -> list[tuple[str, str, int]]:
        """Level, name and questions of each category that both runs were asked and of which no question counts."""
        return [(*name, out.n_asked) for name, out in self.left_out.items() if self.find(*name) is None]

    @property
    def overall(self) -> Difference:
        return self.cells[0]

    def find(self, level: str, name: str) -> Difference | None:
        return next((cell for cell in self.cells if (cell.level, cell.name) == (level, name)), None)


@dataclass(frozen=True, slots=True)
class Best:
    """The greatest difference of any candidate in one cell."""

    level: str
    name: str
    candidate: str
    value: float
    p: float
    """One-sided, for the best of all candidates and cells of this level (max-T): it knows of the choice."""
    n_candidates: int
