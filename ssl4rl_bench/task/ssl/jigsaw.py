"""Jigsaw: in which order do the pieces make up the picture?

The convention: the answer lists the *places* of the picture, row by row, and gives for each place the
number of the *piece* that belongs there, in the order in which the pieces are shown. (The inverse, which
gives for each piece its place, is scored separately as `other_exact`.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.base import GRID, MIN_SIDE, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import contrast_among
from ssl4rl_bench.task.ssl.rng import Stream

VERSIONS = ("1", "2")
"""The versions without a gap, and with one."""


@dataclass(frozen=True, slots=True)
class Jigsaw(SSLTask):
    """Cuts an image into k x k pieces and shuffles them; all orders are equally likely."""

    k: int = 2
    """Pieces per side, from 2 to 6."""
    gap: float = 0.0
    """The share of a piece's side cut away between neighbours, in [0, 0.5]: their edges then do not meet."""
    convention: Convention = "ours"

    kind = "jigsaw"
    parts = ("exact", "per_position", "valid", "other_exact")
    few_targets = False

    def __post_init__(self) -> None:
        if not 2 <= self.k <= 6:
            raise UsageError(f"jigsaw k {self.k} is not one of 2, 3, 4, 5 and 6")
        if not 0 <= self.gap <= 0.5:
            raise UsageError(f"jigsaw gap {self.gap} is not a share from 0 to 0.5 of a piece's side")

    @property
    def version(self) -> str:
        return VERSIONS[self.gap > 0]

    @property
    def difficulty(self) -> str:
        return f"{self.k}x{self.k}" + (f", gap {self.gap:g}" if self.gap else "")

    @property
    def chance(self) -> float:
        return 1 / math.factorial(self.k**2)

    @property
    def part_chance(self) -> float:
        return 1 / self.k**2

    def guesses(self, corrupted: Corrupted) -> Iterator[tuple[str, Sequence[Image.Image]]]:
        """Yields for each piece, in the order shown, the place that it came from: the inverted target."""
        named = _numbers(corrupted.target)
        for piece, image in enumerate(corrupted.images):
            yield str(named.index(piece)), (image,)

    def columns(self, n_images: int) -> int:
        """Returns k: the pieces are laid out in a square."""
        return self.k

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Makes a sample whose images are the pieces in the order shown, all of the same size."""
        k = self.k
        # Cuts are on the JPEG grid, so that the phase of the blocks in a piece does not reveal its place. The
        # released convention cuts anywhere.
        pieces = cut_pieces(image, k, k, self.gap, GRID if self.convention == "ours" else 1)
        if self.convention == "ours" and contrast_among(pieces) < 1:
            raise Unusable("two of its pieces look the same")
        places = Stream(seed).permutation(k * k)
        target = ",".join(str(piece + 1) for piece in inverse(places))
        return Corrupted(tuple(pieces[place] for place in places), target)

    def values(self) -> Mapping[str, object]:
        n = self.k**2
        # Our example is not its own inverse. The released one is, and so does not show which convention is meant.
        example = [2, 3, 1, *range(4, n + 1)] if self.convention == "ours" else [3, 2, 1, *range(4, n + 1)]
        return {
            "k": self.k,
            "n": n,
            "example": ",".join(map(str, example)),
            "next_place": "the second",
            "third_place": "the first place of the second row" if self.k == 2 else "the third",
        }

    def parse(self, text: str) -> str | None:
        return answers.permutation(text, self.k**2)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`, `per_position` (share of right places), `valid` (a permutation) and `other_exact`.

        `other_exact` is 1 if the answer is right when it is read as the place of each piece. A reply that
        is not a permutation of 1 to k*k gets 0 in all parts.
        """
        given, right = _numbers(answer), _numbers(target)
        if sorted(given) != list(range(len(right))):
            return {}
        return {
            "exact": float(given == right),
            "per_position": sum(a == b for a, b in zip(given, right, strict=True)) / len(right),
            "valid": 1.0,
            "other_exact": float(inverse(given) == right),
        }

    def released_value(self, answer: str, target: str) -> float:
        """Returns the share of right places, even if the list is not a permutation."""
        rights = target.split(",")
        value = 0.0
        for right, given in zip(rights, answer.split(","), strict=False):
            try:
                value += (int(right) == int(given)) * 1.0 / len(rights)
            except ValueError:
                continue
        return value

    def has_answer(self, target: object) -> bool:
        """Whether `target` lists all pieces exactly once, as in "2,3,1,4"."""
        pieces = [str(piece) for piece in range(1, self.k**2 + 1)]
        return isinstance(target, str) and sorted(target.split(",")) == sorted(pieces)

    def gold(self, target: str) -> tuple[str, ...]:
        spaced = target.replace(",", ", ")
        return target, spaced, f"[{spaced}]", f"({spaced}).", target.replace(",", " ")

    def wrong(self, target: str) -> str:
        first, second, *rest = target.split(",")
        return ",".join([second, first, *rest])


def cut_pieces(
    image: Image.Image, rows: int, columns: int, gap: float = 0.0, grid: int = GRID
) -> list[Image.Image]:
    """Cuts an image into equal pieces and returns them row by row.

    Args:
        gap: The share of a piece's side that is cut away between neighbours.
        grid: Pixels: pieces start and end at multiples of this, where the image is large enough.

    Raises:
        Unusable: if a piece would be under `MIN_SIDE` pixels.
    """
    (left, width), (top, height) = (
        span_of_cells(length, k, grid) for length, k in zip(image.size, (columns, rows), strict=True)
    )
    cut = [round(gap * length / 2) for length in (width, height)]
    if min(width - 2 * cut[0], height - 2 * cut[1]) < MIN_SIDE:
        raise Unusable(f"a piece would be under {MIN_SIDE} pixels")
    return [
        image.crop((x + cut[0], y + cut[1], x + width - cut[0], y + height - cut[1]))
        for y in range(top, top + rows * height, height)
        for x in range(left, left + columns * width, width)
    ]


def span_of_cells(length: int, k: int, grid: int) -> tuple[int, int]:
    """Returns the start of the first of k equal pieces of a side, and the length of a piece.

    On a grid the pieces are centred and leave out the edges, which have traces of how the picture was made.
    """
    size = (length - 2 * grid) // k // grid * grid
    if grid == 1 or size < 2 * grid:
        return 0, length // k
    return (length - k * size) // 2 // grid * grid, size


def inverse(permutation: Sequence[int]) -> list[int]:
    """Returns the inverse of a permutation of 0 to n - 1."""
    return [permutation.index(value) for value in range(len(permutation))]


def _numbers(text: str) -> list[int]:
    return [int(number) - 1 for number in text.split(",")]
