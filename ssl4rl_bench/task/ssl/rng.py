"""Random numbers that are the same on every machine and under every version of Python."""

from __future__ import annotations

from random import Random


class Stream:
    """A stream of random numbers from one seed.

    Only `random.random()` is drawn from, because Python promises its sequence for a seed, and of no other method.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random

    def uniform(self, low: float, high: float) -> float:
        """In [low, high)."""
        return low + (high - low) * self._random()

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        return int(self._random() * n)

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high], both included."""
        return low + self.below(high - low + 1)

    def chance(self, p: float) -> bool:
        """True with probability p. Always draws one number, so that what follows does not depend on p."""
        return self._random() < p

    def permutation(self, n: int) -> list[int]:
        """The numbers 0 to n - 1 in random order, all orders alike (Fisher-Yates)."""
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order
