"""Measures the error rates and the power of the tests behind `advise`, on simulated models that answer with letters.

    python benchmarks/sight_calibration.py                  # all tables: two minutes on one core
    python benchmarks/sight_calibration.py --draws 200      # quickly

A simulated model has a log-likelihood for each of four answers to each picture: a bias of the answer, plus normal
noise of the picture, plus `sight` for the target. A reply is drawn from the softmax of these, or is unreadable. The
margin is computed from the log-likelihoods, the alignment from k replies per picture.

The first table has four kinds of guessers, which never look: the share of runs with p < 0.05 should be 5%. The
second table has the power for models whose accuracy is 3 points above chance. The third table has the paired test of
two models' margins (`comparison.margins`): the first pairs see equally much, the last one does not.
"""

from __future__ import annotations

import argparse
import dataclasses
import zlib

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.margins import paired_difference
from ssl4rl_bench.stats import wilson
from ssl4rl_bench.stats.alignment import alignment, choices, margin, target_margins

ANSWERS = 4
REPLICATES = 500
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Model:
    """A simulated model."""

    name: str
    bias: tuple[float, ...] = (0.0,) * ANSWERS
    """The log-likelihood of each answer, up to a constant."""
    noise: float = 0.02
    """Standard deviation of a picture's tendencies, in nats."""
    unread: float = 0.0
    """The mean share of unreadable replies; it differs between pictures (a beta distribution)."""
    sight: float = 0.0
    """What the target's log-likelihood has in addition, in nats."""

    def draw(self, n: int, k: int, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Returns log-likelihoods and mean rewards for each answer, of shape (n, answers), and the targets."""
        targets = rng.integers(0, ANSWERS, n)
        logits = np.array(self.bias) + self.noise * rng.normal(size=(n, ANSWERS))
        logits += self.sight * np.eye(ANSWERS)[targets]
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        readable = rng.random((n, k, 1)) >= (
            rng.beta(1, 1 / self.unread - 1, (n, 1, 1)) if self.unread else 0.0
        )
        drawn = (rng.random((n, k, 1)) > np.exp(logs).cumsum(axis=1)[:, None, :-1]).sum(axis=2)
        return logs, (np.eye(ANSWERS)[drawn] * readable).mean(axis=1), targets


GUESSERS = (
    Model("uniform"),
    Model("biased to some answers", bias=(1.5, 0.0, -0.5, -1.0)),
    Model("a third of the replies unreadable", unread=1 / 3),
    Model("biased by each picture", noise=1.5),
    Model("all three", bias=(1.5, 0.0, -0.5, -1.0), noise=1.5, unread=1 / 3),
)


def with_gain(noise: float, points: float) -> Model:
    """Returns a model of this noise whose accuracy is `points` percentage points above 25, by bisection."""
    rng = np.random.default_rng(0)
    logits = noise * rng.normal(size=(40_000, ANSWERS))
    low, high = 0.0, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        powers = np.exp(logits + middle * np.eye(ANSWERS)[0])
        share = float((powers[:, 0] / powers.sum(axis=1)).mean())
        low, high = (middle, high) if share < 1 / ANSWERS + points / 100 else (low, middle)
    return Model(f"noise {noise:g}", noise=noise, sight=low)


@dataclasses.dataclass(frozen=True)
class Rates:
    """How often the two tests of a simulated model have p < 0.05, and how often the intervals hold 0."""

    draws: int
    margin: int
    alignment: int
    margin_covers: int
    alignment_covers: int


def rates(model: Model, n: int, k: int, draws: int) -> Rates:
    """Simulates runs of n pictures with k replies and tests each."""
    counts = np.zeros(4, dtype=int)
    for draw in range(draws):
        logs, rewards, targets = model.draw(
            n, k, np.random.default_rng((draw, n, k, zlib.crc32(model.name.encode())))
        )
        for index, result in enumerate(
            (
                margin([choices(logs, targets, range(n))], replicates=REPLICATES, seed=draw),
                alignment(choices(rewards, targets, range(n)), replicates=REPLICATES, seed=draw),
            )
        ):
            counts[index] += result.p < 0.05
            counts[2 + index] += result.ci95 is None or result.ci95[0] <= 0 <= result.ci95[1]
    return Rates(draws, *map(int, counts))


PAIRS = (
    (Model("two guessers", noise=0.3), Model("", noise=0.3)),
    (
        Model("a guesser and one with more noise and a bias", noise=0.3),
        Model("", (1.5, 0.0, -0.5, -1.0), 1.5),
    ),
    (
        Model("two that see equally much, one with more noise", noise=0.3, sight=0.2),
        Model("", noise=1.5, sight=0.2),
    ),
    (Model("a guesser and one that sees", noise=0.3), Model("", noise=0.3, sight=0.05)),
)
"""Pairs of models that are compared on the same pictures; the first one's name describes the pair."""


def paired_rates(base: Model, new: Model, n: int, draws: int) -> tuple[int, int]:
    """Returns how often the paired difference has p < 0.05, and how often its interval holds the true difference."""
    significant = covered = 0
    true = (new.sight - base.sight) * (1 - 1 / ANSWERS)
    for draw in range(draws):
        rng = np.random.default_rng((draw, n, zlib.crc32(base.name.encode())))
        one, _, targets = base.draw(n, 1, rng)
        # The noise is drawn again: pictures of which both models think alike would be an easier case.
        two = (
            np.array(new.bias)
            + new.noise * rng.normal(size=(n, ANSWERS))
            + new.sight * np.eye(ANSWERS)[targets]
        )
        before, after = (target_margins(choices(logs, targets, range(n))) for logs in (one, two))
        difference = paired_difference(after - before, range(n))
        significant += difference.p < 0.05
        covered += difference.ci95 is None or difference.ci95[0] <= true <= difference.ci95[1]
    return significant, covered


def share(count: int, n: int) -> str:
    """Formats a share as percent with its 95% Wilson interval."""
    low, high = wilson(count / n, n)
    return f"{100 * count / n:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1_000, help="simulated runs per row")
    draws = parser.parse_args().draws
    print(f"Guessers, 128 pictures, 8 replies each; {draws} runs; percent with 95% interval\n")
    print("| guesser | margin p < 0.05 | alignment p < 0.05 | margin's interval holds 0 | alignment's |")
    print("|---|---|---|---|---|")
    for model in GUESSERS:
        r = rates(model, 128, 8, draws)
        cells = (r.margin, r.alignment, r.margin_covers, r.alignment_covers)
        print(f"| {model.name} | {' | '.join(share(cell, draws) for cell in cells)} |", flush=True)
    print(f"\nPower for +3 points; {draws} runs; noise in nats\n")
    print("| pictures | replies each | alignment, noise 0.3 | margin, noise 0.3 | margin, noise 1 |")
    print("|---|---|---|---|---|")
    small, large = with_gain(0.3, 3.0), with_gain(1.0, 3.0)
    for n, k in ((64, 8), (128, 4), (128, 8), (128, 16), (256, 4), (256, 8), (512, 8)):
        first, second = rates(small, n, k, draws), rates(large, n, k, draws)
        powers = (first.alignment, first.margin, second.margin)
        print(f"| {n} | {k} | {' | '.join(share(cell, draws) for cell in powers)} |", flush=True)
    print(f"\nPaired differences of margins, 128 pictures; {draws} runs\n")
    print("| models | p < 0.05 | interval holds the true difference |")
    print("|---|---|---|")
    for base, new in PAIRS:
        counts = paired_rates(base, new, 128, draws)
        print(f"| {base.name} | {' | '.join(share(count, draws) for count in counts)} |", flush=True)


if __name__ == "__main__":
    main()
