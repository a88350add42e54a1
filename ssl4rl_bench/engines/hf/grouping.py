"""Plans which parts of prompts are computed once: repeats of a prompt, and the start that prompts have in common.

A prompt is represented by its key, a tuple of integers: token ids, and in place of the tokens of an image or
video a negative number that identifies its content. Equal keys give equal keys and values of the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Key = tuple[int, ...]
_LEAST_PREFIX = 8
"""The least number of tokens to share: for fewer, the additional pass and its padding cost more than they save."""
_LEAST_LENGTH = 0.8
"""The least length in a forward pass, as a share of the greatest."""


@dataclass(frozen=True)
class Family(Generic[Item]):
    """Prompts whose first tokens are computed once."""

    prefix: int
    """The number of tokens in common, less than the length of the shortest prompt; 0 for a single prompt."""
    members: list[list[Item]]
    """The items of each distinct prompt."""
    length: int
    """The number of tokens of the longest prompt."""

    @property
    def items(self) -> list[Item]:
        """All items, those of one prompt adjacent."""
        return [item for member in self.members for item in member]

    def __len__(self) -> int:
        return sum(map(len, self.members))


def common_prefix(one: Key, two: Key) -> int:
    """Returns the number of leading elements that two keys have in common."""
    shorter = min(len(one), len(two))
    if one[:shorter] == two[:shorter]:
        return shorter
    low, high = 0, shorter  # the first `low` elements agree, the first `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle
    return low


def families(
    items: Iterable[Item], key: Callable[[Item], Key], least: int = _LEAST_PREFIX
) -> list[Family[Item]]:
    """Groups items into families such that the number of tokens to compute is minimal.

    Args:
        least: the least length of a common prefix.

    Returns:
        The families by decreasing length, so that a batch that does not fit into memory fails at once.
    """
    prompts: dict[Key, list[Item]] = {}
    for item in items:
        prompts.setdefault(key(item), []).append(item)
    keys = sorted(prompts)
    made = [
        Family(prefix, [prompts[k] for k in keys[start:end]], max(map(len, keys[start:end])))
        for start, end, prefix in partition(keys, least)
    ]
    return sorted(made, key=lambda family: (family.length, family.prefix), reverse=True)


def partition(keys: Sequence[Key], least: int) -> list[tuple[int, int, int]]:
    """Cuts sorted distinct keys into runs that share a prefix, so that the most tokens are saved.

    A run of n keys with a common prefix of p tokens saves (n - 1) * p, if p is at least `least` (1 or more).

    Returns:
        Per run, its start, its end (exclusive) and the length of the common prefix: at least one element is left
        of each key, and the prefix of a single key is 0.
    """
    shared = [common_prefix(one, two) for one, two in itertools.pairwise(keys)]
    best: list[tuple[int, int, int]] = [
        (0, 0, 0)
    ]  # for the first keys: tokens saved, start of the last run, prefix
    for end in range(1, len(keys) + 1):
        choice = (best[end - 1][0], end - 1, 0)
        prefix = len(keys[end - 1]) - 1
        for start in range(end - 2, -1, -1):
            prefix = min(prefix, shared[start], len(keys[start]) - 1)
            if prefix < least:
                break
            saved = best[start][0] + (end - 1 - start) * prefix
            if saved > choice[0]:
                choice = (saved, start, prefix)
        best.append(choice)
    runs: list[tuple[int, int, int]] = []
    end = len(keys)
    while end:
        _, start, prefix = best[end]
        runs.append((start, end, prefix))
        end = start
    return runs[::-1]


def take(queue: list[Family[Item]], room: int, split: bool) -> list[Family[Item]]:
    """Removes the families that fit into a batch from the queue, and returns them.

    Args:
        queue: families in order of preference.
        room: the number of items that fit.
        split: whether to divide the first family if it does not fit.
    """
    taken: list[Family[Item]] = []
    left: list[Family[Item]] = []
    for family in queue:
        if len(family) <= room:
            taken.append(family)
            room -= len(family)
        elif split and not taken and not left:
            first, rest = divide(family, room)
            taken.append(first)
            left.append(rest)
            room = 0
        else:
            left.append(family)
    queue[:] = left
    return taken


def divide(family: Family[Item], count: int) -> tuple[Family[Item], Family[Item]]:
    """Splits a family into its first `count` items and the others."""
    first: list[list[Item]] = []
    rest: list[list[Item]] = []
    for member in family.members:
        if member[:count]:
            first.append(member[:count])
        if member[count:]:
            rest.append(member[count:])
        count = max(0, count - len(member))
    return Family(family.prefix, first, family.length), Family(family.prefix, rest, family.length)


def chunks(families: Sequence[Family[Item]], max_tokens: int) -> list[list[Family[Item]]]:
    """Divides families into forward passes of similar lengths, so that little is padded.

    Args:
        families: sorted here by the length that is not shared.
        max_tokens: the most tokens of a pass, padding included; a single family may have more.
    """
    made: list[list[Family[Item]]] = []
    ordered = sorted(
        families, key=lambda family: (family.length - family.prefix, family.prefix), reverse=True
    )
    for family in ordered:
        if made and _is_like(made[-1][0], family) and _padded([*made[-1], family]) <= max_tokens:
            made[-1].append(family)
        else:
            made.append([family])
    return made


def _is_like(first: Family[Item], family: Family[Item]) -> bool:
    """Whether the tokens that are not shared are about as many as those of the first family of a pass."""
    return family.length - family.prefix >= _LEAST_LENGTH * (first.length - first.prefix)


def _padded(families: Sequence[Family[Item]]) -> int:
    prefix = max(family.prefix for family in families)
    suffix = max(family.length - family.prefix for family in families)
    return len(families) * prefix + suffix * sum(len(family.members) for family in families)
