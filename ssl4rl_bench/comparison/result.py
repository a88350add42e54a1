"""The result of a comparison of runs: differences with intervals, corrected p-values, power and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.pairing import Pairing
from ssl4rl_bench.score.aggregate import OVERALL
from ssl4rl_bench.stats.effective import Effective
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS

ALPHA = 0.05
HEADERS: Mapping[str, str] = {ability: header for header, ability in CARD_COLUMNS} | {OVERALL: "Average"}
"""The words of tables and messages for MMBench's abilities and for the overall value."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a difference, with an interval."""

    value: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of candidate minus baseline in one cell. Values are fractions."""

    level: str
    name: str
    n: int
    """The number of groups that both runs answered."""
    baseline: float
    """The value of the baseline over these groups, which may be fewer than it answered."""
    candidate: float
    value: float
    se: float | None
    """The paired standard error over groups (`stats.effective.mean_variance`). None with a single group."""
    ci95: tuple[float, float] | None
    """Tango's interval, with n the number of groups for 0/1 group scores, else the effective number of groups
    (`stats.effective`)."""
    p: float
    """Two-sided: McNemar's mid-p for 0/1 group scores, else a sign-flip permutation test of groups."""
    p_corrected: float
    """The p-value corrected in its family, which consists of the cells of this level of all candidates."""
    family: int
    """The number of tests in the family."""
    mde: float
    """The smallest difference detected with 80% power at this test's share of alpha; 1 if there is none."""
    needed: int | None
    """The number of groups at which this difference would be detected with 80% power; None if it is 0."""
    binary: bool
    """Whether every group scores 0 or 1 in both runs."""
    gained: int
    """The number of groups whose score rose, that is, from wrong to right."""
    lost: int
    counts: Effective | None
    """The counts behind `ci95` and one-sided bounds. None with a single group whose scores are not 0/1."""
    right: Effective | None
    """The counts behind the candidate's accuracy. None in the same case."""
    from_reading: Share
    """The part that comes from replies that could be read in only one of the runs."""
    from_answers: Share
    """The part that comes from replies that were read in both runs or in neither. The parts add up to `value`
    except for repeats that only one run has."""

    @property
    def mark(self) -> str:
        """The mark "better", "worse", or "" if the difference could be due to chance."""
        if self.p_corrected >= ALPHA or self.value == 0.0:
            return ""
        return "better" if self.value > 0.0 else "worse"


@dataclass(frozen=True, slots=True)
class LeftOutScores:
    """The results of one run on the questions that are left out of a cell. Values are fractions."""

    missing: int
    """The number of questions without a value in this run: request failed, or reply could not be scored."""
    n: int
    """The number of left-out questions that this run answered: the other run has no value."""
    left_out: float | None
    """The score on these `n` questions; None if there are none."""
    counted: float
    """The score on the questions that count."""
    p: float | None
    """The two-sided p-value of equal scores: Fisher's exact test for 0/1 scores, else Mann-Whitney's."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Questions of a cell that both runs were asked but that do not count because a run has no value."""

    n: int
    n_asked: int
    """The number of questions asked: those that count, and these."""
    baseline: LeftOutScores
    candidate: LeftOutScores
    worst: Difference
    """The difference over all questions asked, with missing values wrong for the candidate and right for the
    baseline."""

    @property
    def share(self) -> float:
        """The fraction of the questions asked that are left out."""
        return self.n / self.n_asked


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The comparison of a candidate with the baseline on one task."""

    task: str
    aggregation: str
    correction: str
    baseline: str
    candidate: str
    pairing: Pairing
    groups: NDArray[np.float64]
    """The difference of each group in the order of the pairing, shape (groups,)."""
    weighted: NDArray[np.float64]
    """The part of each group in the difference of each cell, shape (groups, cells)."""
    cells: tuple[Difference, ...]
    """The overall cell first, then the cells of the level."""
    left_out: Mapping[tuple[str, str], LeftOut]
    """By level and name. Includes categories in which no question counts; omits complete cells."""
    notes: tuple[str, ...]
    """Notes for readers of the differences, one sentence per note."""

    def left_out_of(self, cell: Difference) -> LeftOut | None:
        """Returns what is left out of one of `cells`, or None if it is complete."""
        return self.left_out.get((cell.level, cell.name))

    @property
    def emptied(self) -> list[tuple[str, str, int]]:
        """Level, name and number of questions asked of each category in which no question counts."""
        return [(*name, out.n_asked) for name, out in self.left_out.items() if self.find(*name) is None]

    @property
    def overall(self) -> Difference:
        """The difference over all groups."""
        return self.cells[0]

    def find(self, level: str, name: str) -> Difference | None:
        """Returns the difference of a category; None if no question of it counts."""
        return next((cell for cell in self.cells if (cell.level, cell.name) == (level, name)), None)


@dataclass(frozen=True, slots=True)
class BestDifference:
    """The greatest difference of any candidate in one cell."""

    level: str
    name: str
    candidate: str
    value: float
    p: float
    """The one-sided p-value of the best of all candidates and cells of this level (max-T), which accounts for
    the selection."""
    n_candidates: int
