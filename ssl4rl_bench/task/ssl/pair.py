"""Pair jigsaw: on which side of the second piece of a picture does the first one lie?

The idea and the layouts, as rows x columns, are Jigsaw-R1's (arXiv 2505.23590; utils/prompt.py of its
repository). The answer is a direction here, not the letter of an option. In a 3x3 grid the two pieces
always touch, at a side or at a corner, so that each of the eight directions means one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.base import Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import contrast_among
from ssl4rl_bench.task.ssl.jigsaw import cut_pieces
from ssl4rl_bench.task.ssl.rng import Stream

DIRECTIONS: dict[str, tuple[int, int]] = {
    "above": (-1, 0),
    "below": (1, 0),
    "left": (0, -1),
    "right": (0, 1),
    "above-left": (-1, -1),
    "above-right": (-1, 1),
    "below-left": (1, -1),
    "below-right": (1, 1),
}
"""The answers, and the step in rows and columns from the second piece to the first."""
LAYOUTS: dict[str, tuple[str, ...]] = {
    "2x1": ("above", "below"),
    "1x2": ("left", "right"),
    "3x3": tuple(DIRECTIONS),
}
"""Rows x columns to the answers that are possible."""


@dataclass(frozen=True, slots=True)
class Pair(SSLTask):
    """Shows two neighbouring pieces of a picture; all directions are equally likely."""

    layout: Literal["1x2", "2x1", "3x3"] = "1x2"
    """Rows x columns into which the picture is cut."""
    gap: float = 0.0
    """The share of a piece's side cut away between neighbours, in [0, 0.5]: their edges then do not meet."""

    kind = "pair"
    version = "1"
    convention: ClassVar[Convention] = "ours"

    def __post_init__(self) -> None:
        if not 0 <= self.gap <= 0.5:
            raise UsageError(f"pair gap {self.gap} is not a share from 0 to 0.5 of a piece's side")

    @property
    def parts(self) -> tuple[str, ...]:
        return ("exact", "row", "column") if self.layout == "3x3" else ("exact",)

    @property
    def difficulty(self) -> str:
        return self.layout + (f", gap {self.gap:g}" if self.gap else "")

    @property
    def labels(self) -> Sequence[str]:
        return LAYOUTS[self.layout]

    @property
    def _shape(self) -> tuple[int, int]:
        rows, columns = map(int, self.layout.split("x"))
        return rows, columns

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Makes a sample with two images: the pieces, of the same size.

        The direction is drawn first, then the place of the second piece among those that have a neighbour
        in this direction. If any two pieces of the picture look the same, it is left out for all directions,
        so that none is asked about more often.
        """
        rows, columns = self._shape
        pieces = cut_pieces(image, rows, columns, self.gap)
        if contrast_among(pieces) < 1:
            raise Unusable("two of its pieces look the same")
        stream = Stream(seed)
        direction = self.labels[stream.below(len(self.labels))]
        down, right = DIRECTIONS[direction]
        row = max(0, -down) + stream.below(rows - abs(down))
        column = max(0, -right) + stream.below(columns - abs(right))
        first = pieces[(row + down) * columns + column + right]
        return Corrupted((first, pieces[row * columns + column]), direction)

    def values(self) -> Mapping[str, object]:
        *labels, last = self.labels
        pieces = {"2x1": "an upper and a lower piece", "1x2": "a left and a right piece"}
        return {
            "pieces": pieces.get(self.layout, "3 rows and 3 columns"),
            "touch": self.layout == "3x3",
            "labels": f"{', '.join(labels)} and {last}",
        }

    def parse(self, text: str) -> str | None:
        direction = answers.relation(text)
        return direction if direction in self.labels else None

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`; with eight directions also `row` and `column`, the two halves of a direction."""
        given, right = DIRECTIONS[answer], DIRECTIONS[target]
        values = (answer == target, given[0] == right[0], given[1] == right[1])
        return dict(zip(self.parts, map(float, values), strict=False))

    def gold(self, target: str) -> tuple[str, ...]:
        words = target.replace("-", " ")
        return target, words.title(), f"{target}.", target.upper(), f"piece 1 is {words} of piece 2"
