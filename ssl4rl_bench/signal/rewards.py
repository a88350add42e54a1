"""What the replies to a task earn, what they would earn for other targets, and what a reply without looking earns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.types import Completion, Sample
from ssl4rl_bench.stats.effective import accuracy, accuracy_interval
from ssl4rl_bench.task.ssl import SSLTask
from ssl4rl_bench.task.ssl.jigsaw import Jigsaw
from ssl4rl_bench.task.ssl.probe import ProbeTask
from ssl4rl_bench.train.rewards import SSLReward

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Earned:
    """The rewards of the replies to a task's samples. Samples without any reply are left out."""

    samples: Sequence[Sample]
    right: NDArray[np.intp]
    """Per sample, the column of its own target in its rewards."""
    rewards: Sequence[_Floats]
    """Per sample, the reward of each reply for each target that it may have, of shape (replies, targets): the
    distinct targets of all samples, or, for a task with texts, the places of the words in the sample's text."""
    n_replies: int
    n_unread: int
    """Replies from which no answer was read."""

    def by_sample(self) -> list[_Floats]:
        """Returns the rewards of each sample's replies, of shape (replies,)."""
        return [table[:, column] for column, table in zip(self.right, self.rewards, strict=True)]

    def pictures(self) -> NDArray[np.intp]:
        """Returns the index of each sample's picture."""
        numbers = {group: index for index, group in enumerate(dict.fromkeys(s.group for s in self.samples))}
        return np.array([numbers[sample.group] for sample in self.samples], np.intp)

    def spread_by_guessing(self, k: int) -> float:
        """Returns the share of groups of k replies with unequal rewards if each reply were drawn from all replies.

        For each target, this is 1 - sum_v q_v^k, with q_v the share of all replies that would earn v.
        """
        pooled = np.concatenate(self.rewards)
        shares = []
        for number, column in enumerate(pooled.T):
            q = np.unique(column, return_counts=True)[1] / len(column)
            shares.append(np.count_nonzero(self.right == number) * (1.0 - float((q**k).sum())))
        return sum(shares) / len(self.samples)


@dataclass(frozen=True, slots=True)
class MeanShare:
    """A mean of numbers in [0, 1] with its 95% interval, clustered by picture."""

    value: float
    ci95: tuple[float, float] | None


def earn(task: ProbeTask, reward: SSLReward, replies: Mapping[str, Sequence[Completion]]) -> Earned:
    """Computes the rewards of replies for all targets that their samples may have. The format is not rewarded."""
    distinct = list(dict.fromkeys(sample.target for sample in task.samples))
    worth = cache(worth_of(task.name, task.ssl, reward))
    samples, right, tables = [], [], []
    n_replies = n_unread = 0
    for sample in task.samples:
        texts = []
        for completion in replies.get(sample.id, ()):
            answer = task.ssl.score(completion, sample.target, reward.extractor).answer
            n_replies += 1
            n_unread += answer is None
            texts.append(completion.text if reward.scheme == "released" else f"{answer or ''}")
        if texts:
            targets = task.candidates(sample) if task.ssl.texts else distinct
            samples.append(sample)
            right.append(targets.index(sample.target))
            tables.append(np.array([[worth(text, target) for target in targets] for text in texts]))
    return Earned(samples, np.array(right, np.intp), tables, n_replies, n_unread)


def worth_of(name: str, ssl: SSLTask, reward: SSLReward) -> Callable[[str, str], float]:
    """Returns the function that gives the reward, in [0, 1], of an answer ("" for none) for a target.

    For the scheme `released`, the function takes whole replies.
    """
    if reward.scheme == "released":
        return lambda text, target: reward.one(name, text, target) or 0.0
    return lambda answer, target: reward.worth(ssl, ssl.grade(answer, target) if answer else {})


def mean_share(values: Sequence[_Floats], pictures: NDArray[np.intp]) -> MeanShare:
    """Computes the mean over all numbers with its interval.

    Args:
        values: numbers in [0, 1] of each sample.
        pictures: the index of each sample's picture.
    """
    sums = np.bincount(pictures, [float(v.sum()) for v in values])
    sizes = np.bincount(pictures, [float(len(v)) for v in values])
    total = sizes.sum()
    value = float(sums.sum() / total)
    if len(sums) < 2:
        return MeanShare(value, None)
    return MeanShare(value, accuracy_interval(accuracy(np.full(len(sums), 1.0 / total), sums, sizes)))


def blind_reward(task: ProbeTask, reward: SSLReward) -> float:
    """Returns what the best constant readable answer earns on average, over targets that are equally likely.

    For a task with few answers and for Jigsaw this is exact. For a task with texts, it is what a random word of the
    sample's text earns, which is exact, too. For others, the answer that earns most on one half of
    the samples is chosen, and its mean on the other half is computed, and the other way round.
    """
    plain = worth_of(task.name, task.ssl, reward)
    form = "<answer>{}</answer>" if reward.scheme == "released" else "{}"

    def worth(answer: str, target: str) -> float:
        return plain(form.format(answer), target)

    if task.ssl.few_targets:
        labels = task.ssl.labels
        return max(sum(worth(answer, target) for target in labels) / len(labels) for answer in labels)
    if task.ssl.texts:
        return task.ssl.chance * worth(target := task.samples[0].target, target)
    if isinstance(task.ssl, Jigsaw):
        return _blind_jigsaw(task.ssl.k**2, worth)
    targets = [sample.target for sample in task.samples]
    halves = targets[::2], targets[1::2]
    total = 0.0
    for learn, test in (halves, halves[::-1]):
        best = max(dict.fromkeys(learn), key=lambda answer: sum(worth(answer, target) for target in learn))
        total += sum(worth(best, target) for target in test)
    return total / len(targets)


def _blind_jigsaw(n: int, worth: Callable[[str, str], float]) -> float:
    """Averages over all orders of n pieces: a reward depends only on the number of pieces in their places."""
    numbers = [str(piece) for piece in range(1, n + 1)]
    answer, total = ",".join(numbers), 0.0
    for right in range(n + 1):
        moved = numbers[right:]
        if len(moved) == 1:
            continue
        target = ",".join([*numbers[:right], *moved[1:], *moved[:1]])
        ways = math.comb(n, right) * _derangements(n - right)
        total += ways / math.factorial(n) * worth(answer, target)
    return total


def _derangements(n: int) -> int:
    """Returns the number of permutations of n that leave nothing in its place."""
    return sum((-1) ** i * math.factorial(n) // math.factorial(i) for i in range(n + 1))
