"""Chooses the replay questions of each step: a function of the run's seed, the questions and the step's index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TypeVar

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Sample

T = TypeVar("T")


@dataclass(frozen=True)
class ReplaySchedule:
    """Goes through all questions in random order, then again in another order, and so on.

    Each time, one sample of a question (a circular copy, or a role) is drawn.
    """

    seed: int
    groups: Sequence[Sequence[Sample]]
    per_step: int

    def of_step(self, step: int) -> list[Sample]:
        """Returns the samples of a step, which counts from 0."""
        return [self.sample(step * self.per_step + i) for i in range(self.per_step)]

    def first(self, steps: int) -> list[Sample]:
        """Returns the distinct samples of the first steps, in the order of their first use."""
        used = {sample.id: sample for step in range(steps) for sample in self.of_step(step)}
        return list(used.values())

    def sample(self, index: int) -> Sample:
        """Returns the sample at an index of the endless sequence."""
        epoch, place = divmod(index, len(self.groups))
        group = self.groups[_order(self.seed, epoch, len(self.groups))[place]]
        return group[seed_of("replay copy", self.seed, epoch, group[0].group) % len(group)]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n: int) -> list[int]:
    order = list(range(n))
    Random(seed_of("replay", seed, epoch)).shuffle(order)
    return order


def slice_of(items: Sequence[T], index: int, parts: int) -> Sequence[T]:
    """Returns one of `parts` contiguous slices, whose lengths differ by at most one."""
    n = len(items)
    return items[index * n // parts : (index + 1) * n // parts]


def is_replayed(index: int, replayed: int, prompts: int) -> bool:
    """Whether a prompt of a step is a replay question; these are spread evenly over the step's prompts.

    Args:
        index: the prompt's index in its step.
        replayed: replay questions per step.
        prompts: prompts per step.
    """
    return before(index + 1, replayed, prompts) > before(index, replayed, prompts)


def before(index: int, replayed: int, prompts: int) -> int:
    """Returns the number of replay questions among a step's prompts before the one at `index`."""
    return index * replayed // prompts
