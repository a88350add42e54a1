"""Random numbers that are the same on every machine and under every version of Python."""

from __future__ import annotations

from random import Random


class Stream:
    """A stream of random numbers from one seed.

    It uses only `random.random()`, the only method whose sequence for a seed Python guarantees.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random

    def uniform(self, low: float, high: float) -> float:
        """Draws a number in [low, high)."""
        return low + (high - low) * self._random()

    def below(self, n: int) -> int:
        """Draws an integer in [0, n)."""
        return int(self._random() * n)

    def between(self, low: int, high: int) -> int:
        """Draws an integer in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def chance(self, p: float) -> bool:
        """Returns True with probability p. It always draws one number, so later draws do not depend on p."""
        return self._random() < p

    def permutation(self, n: int) -> list[int]:
        """Returns the numbers 0 to n - 1 in a uniformly random order (Fisher-Yates)."""
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order
