"""Simulates questions and changes with a known true difference, for stats_regimes.py."""

from __future__ import annotations

import dataclasses
import itertools
import zlib

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.differences import differences
from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.types import Categories
from ssl4rl_bench.score.aggregate import Cells, cells_of
from ssl4rl_bench.stats.effective import Effective

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Design:
    """The structure of simulated questions: their scores and their leaves."""

    n: int
    kind: str
    """The score of a question: "whole" (0 or 1), "repeats" (the mean of three of these), "rows" (2 to 4
    rows), "six" (6 rows), or "graded" (one reply with nine places)."""
    leaves: str = "one"
    """Sizes of the leaves: "one" (a single leaf), "ones" (one question per leaf), "twos", "mixed" (1, 2, 3,
    5, 8, 13, 30, 100, ...), or "few" (three leaves of one question, and one leaf with the others)."""

    @property
    def aggregation(self) -> str:
        if self.leaves != "one":
            return "row_l3_macro"
        return "circular_micro" if self.kind in ("whole", "repeats") else "row_micro"

    @property
    def name(self) -> str:
        kinds = {
            "whole": "0/1 questions",
            "repeats": "3 repeats",
            "rows": "2-4 rows",
            "six": "6 rows",
            "graded": "graded, 9 places",
        }
        leaves = {
            "one": "",
            "ones": ", leaves of 1",
            "twos": ", leaves of 2",
            "mixed": ", leaves of 1-100",
            "few": ", 3 leaves of 1 beside a large one",
        }
        return f"{kinds[self.kind]}{leaves[self.leaves]}, n {self.n:,}"

    def leaf(self) -> NDArray[np.intp]:
        index = np.arange(self.n)
        if self.leaves == "one":
            return index * 0
        if self.leaves == "ones":
            return index
        if self.leaves == "twos":
            return index // 2
        if self.leaves == "few":
            return np.asarray(np.minimum(index, 3))
        sizes: list[int] = []
        for size in itertools.cycle((1, 2, 3, 5, 8, 13, 30, 100)):
            sizes.append(min(size, self.n - sum(sizes)))
            if sum(sizes) == self.n:
                return np.repeat(np.arange(len(sizes)), sizes)
        raise AssertionError

    def steps(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Returns units, and the number of equal steps in which a group's sum can change; shape (groups,)."""
        if self.kind == "rows":
            units = rng.permutation(np.resize([2.0, 3.0, 4.0, 4.0], self.n))
            return units, units
        units = np.full(self.n, {"six": 6.0}.get(self.kind, 1.0))
        return units, np.full(self.n, {"repeats": 3.0, "six": 6.0, "graded": 9.0}.get(self.kind, 1.0))

    def cells(self, units: Floats) -> Cells:
        places = [Categories("all", "all", f"leaf {number:05}") for number in self.leaf()]
        return cells_of(places, units, self.aggregation).of(["overall"])


@dataclasses.dataclass(frozen=True)
class Change:
    """How a candidate differs from its baseline."""

    share: float
    """Share of questions that change."""
    gains: float
    """Share of gains among the changes."""

    def true(self, cells: Cells, units: Floats, steps: Floats) -> float:
        """Returns the true difference; the size of a change is uniform on 1 to all steps of a question."""
        size = units * (steps + 1.0) / (2.0 * steps)
        return float(self.share * (2.0 * self.gains - 1.0) * (cells.weights[:, 0] @ size))

    def draw(self, rng: np.random.Generator, units: Floats, steps: Floats) -> Floats:
        n = len(units)
        size = units * np.floor(rng.random(n) * steps + 1.0) / steps
        sign = np.where(rng.random(n) < self.gains, 1.0, -1.0)
        return np.where(rng.random(n) < self.share, sign * size, 0.0)


class Simulated:
    """Makes draws of a design and a change, and passes them to `differences`."""

    def __init__(self, design: Design, change: Change, seed: str, right: float = 0.7) -> None:
        self.rng = np.random.default_rng(zlib.crc32(seed.encode()))
        self.design, self.change, self.right = design, change, right
        self.units, self.steps = design.steps(self.rng)
        self.cells = design.cells(self.units)
        self.true = change.true(self.cells, self.units, self.steps)
        weights = self.cells.weights[:, 0] * self.units
        effective = 1.0 / float(weights @ weights)
        self.expected = effective * change.share * min(change.gains, 1.0 - change.gains)
        """Expected number of changes of the rarer kind, in groups of equal weight."""

    def cell(self, replicates: int = 2) -> Difference:
        d = self.change.draw(self.rng, self.units, self.steps)
        stays = np.where(self.rng.random(len(d)) < self.right, self.units, 0.0)
        before = np.where(d > 0.0, 0.0, np.where(d < 0.0, -d, stays))
        (cell,) = differences(
            before, before + d, self.units, self.cells, self.design.aggregation, replicates=replicates
        )
        return cell

    def typical(self, draws: int = 40) -> Difference:
        """Returns a draw with the mean counts of several draws, so that its printed effect is average."""
        cells = [self.cell() for _ in range(draws)]
        counts = [cell.counts for cell in cells if cell.counts is not None]
        mean = Effective(
            up=float(np.mean([drawn.up for drawn in counts])),
            down=float(np.mean([drawn.down for drawn in counts])),
            n=float(np.mean([drawn.n for drawn in counts])),
            df=counts[0].df,
        )
        return dataclasses.replace(cells[0], counts=mean)
