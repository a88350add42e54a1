"""What the replies to a task earn, what they would earn for other targets, and what a reply without looking earns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
    targets: Sequence[str]
    """The distinct targets, in order of appearance."""
    rewards: Sequence[_Floats]
    """Per sample, the reward of each reply for each distinct target, of shape (replies, targets)."""
    n_replies: int
    n_unread: int
    """Replies from which no answer was read."""

    def by_sample(self) -> list[_Floats]:
        """Returns the rewards of each sample's replies, of shape (replies,)."""
        index = {target: number for number, target in enumerate(self.targets)}
        return [
            table[:, index[sample.target]] for sample, table in zip(self.samples, self.rewards, strict=True)
        ]

    def pictures(self) -> NDArray[np.intp]:
        """Returns the index of each sample's picture."""
        numbers = {group: index for index, group in enumerate(dict.fromkeys(s.group for s in self.samples))}
        return np.array([numbers[sample.group] for sample in self.samples], np.intp)

    def spread_by_guessing(self, k: int) -> float:
        """Returns the share of groups of k replies with unequal rewards if each reply were drawn from all replies.

        For each target, this is 1 - sum_v q_v^k, with q_v the share of all replies that would earn v.
        """
        pooled = np.concatenate(self.rewards)
        counts = Counter(sample.target for sample in self.samples)
        shares = []
        for column, target in zip(pooled.T, self.targets, strict=True):
            q = np.unique(column, return_counts=True)[1] / len(column)
            shares.append(counts[target] * (1.0 - float((q**k).sum())))
        return sum(shares) / len(self.samples)


@dataclass(frozen=True, slots=True)
class MeanShare:
    """A mean of numbers in [0, 1] with its 95% interval, clustered by picture."""

    value: float
    ci95: tuple[float, float] | None


def earn(task: ProbeTask, reward: SSLReward, replies: Mapping[str, Sequence[Completion]]) -> Earned:
    """Computes the rewards of replies for all targets of a task. The format is not rewarded."""
    targets = list(dict.fromkeys(sample.target for sample in task.samples))
    worth = worth_of(task.name, task.ssl, reward)
    rows: dict[str, _Floats] = {}
    samples, tables = [], []
    n_replies = n_unread = 0
    for sample in task.samples:
        texts = []
        for completion in replies.get(sample.id, ()):
            answer = task.ssl.score(completion, sample.target, reward.extractor).answer
            n_replies += 1
            n_unread += answer is None
            texts.append(completion.text if reward.scheme == "released" else f"{answer or ''}")
        for text in texts:
            if text not in rows:
                rows[text] = np.array([worth(text, target) for target in targets])
        if texts:
            samples.append(sample)
            tables.append(np.array([rows[text] for text in texts]))
    return Earned(samples, targets, tables, n_replies, n_unread)


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

    For a task with few answers and for Jigsaw this is exact. For others, the answer that earns most on one half of
    the samples is chosen, and its mean on the other half is computed, and the other way round.
    """
    plain = worth_of(task.name, task.ssl, reward)
    form = "<answer>{}</answer>" if reward.scheme == "released" else "{}"

    def worth(answer: str, target: str) -> float:
        return plain(form.format(answer), target)

    if task.ssl.few_targets:
        labels = task.ssl.labels
        return max(sum(worth(answer, target) for target in labels) / len(labels) for answer in labels)
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
