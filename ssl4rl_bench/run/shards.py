"""Splits the questions of a run into shards, which separate machines ask (`run --shard I/N`).

The split of a task depends only on its samples and its name: it is the same on every machine, in every order
of the samples, and whichever other tasks the run has. All samples of a group are in the same shard.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.identity import seed_of, sha256_json
from ssl4rl_bench.core.types import Sample, Task

SPLIT = 1
"""The version of the split, recorded in spec.json. A change of `split` needs a new version."""
_PIECES = 10
"""Questions that share images are divided into pieces of at most this fraction of a shard's share."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the parts into which a run is split."""

    index: int
    """From 1 to `count`."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Creates a shard from a text such as "2/4".

        Raises:
            UsageError: for any other text, or an index that is not from 1 to the count.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        index, count = (int(number) for number in match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"--shard {text} is not a shard: write I/N with I from 1 to N, such as 2/4 for the second of four"
            )
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def suffix(self) -> str:
        """The form in the name of a run directory: "shard-2-of-4"."""
        return f"shard-{self.index}-of-{self.count}"


@dataclass(frozen=True, slots=True)
class _Group:
    """A group of samples with what the split depends on."""

    name: str
    size: int
    """The number of samples."""
    images: tuple[str, ...]
    """The sorted digests of its images."""
    key: str
    """A digest of the name and the images; the order of the groups."""


def part_of(task: Task, shard: Shard) -> Task:
    """Returns the task with only the samples of a shard, in their order. There may be none."""
    index_of = split(task.samples, shard.count, task.name)
    samples = [sample for sample in task.samples if index_of[sample.group] == shard.index]
    return task.showing(samples, task.image)


def split(samples: Iterable[Sample], count: int, task: str) -> dict[str, int]:
    """Assigns each group of a task to a shard from 1 to `count`.

    Groups with the same images stay together in pieces of at most a tenth of a shard's share. The numbers of
    samples of two shards differ by at most the size of the largest piece or group (`tolerance`).

    Args:
        task: the task's name. It selects the shard that is filled first, so that the remainders of several
            tasks do not add up in the same shards.
    """
    groups = _groups(samples)
    pieces = list(_pieces(groups, tolerance([group.size for group in groups], count)))
    pieces.sort(key=lambda piece: (-sum(group.size for group in piece), piece[0].key))
    first = seed_of("shards", task, count) % count
    lightest = [(0, number) for number in range(count)]  # already a heap
    out = {}
    for piece in pieces:
        load, number = lightest[0]
        heapq.heapreplace(lightest, (load + sum(group.size for group in piece), number))
        out.update({group.name: (first + number) % count + 1 for group in piece})
    return out


def tolerance(sizes: Sequence[int], count: int) -> int:
    """Returns the largest difference between the numbers of samples of two shards.

    Args:
        sizes: the number of samples of each group.
    """
    return max(*sizes, -(-sum(sizes) // (count * _PIECES)), 0) if sizes else 0


def _groups(samples: Iterable[Sample]) -> list[_Group]:
    """Returns the groups of a task, sorted by key."""
    members: dict[str, list[Sample]] = {}
    for sample in samples:
        members.setdefault(sample.group, []).append(sample)
    groups = []
    for name, rows in members.items():
        images = tuple(sorted({image.sha256 for sample in rows for image in sample.images}))
        groups.append(_Group(name, len(rows), images, sha256_json([name, images])))
    return sorted(groups, key=lambda group: group.key)


def _pieces(groups: Sequence[_Group], limit: int) -> Iterable[list[_Group]]:
    """Yields groups with the same images together, in pieces of at most `limit` samples."""
    together: dict[tuple[str, ...], list[_Group]] = {}
    for group in groups:
        together.setdefault(group.images or (group.key,), []).append(group)
    for same in together.values():
        piece: list[_Group] = []
        for group in same:
            if piece and sum(member.size for member in piece) + group.size > limit:
                yield piece
                piece = []
            piece.append(group)
        yield piece
