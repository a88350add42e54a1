"""Position: from which part of the picture was the second image cut?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.augment import STRONG, WEAK, Box, apply
from ssl4rl_bench.task.ssl.base import GRID, MIN_SIDE, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import detail
from ssl4rl_bench.task.ssl.rivals import Rivals
from ssl4rl_bench.task.ssl.rng import Stream

SMALLEST, LARGEST = 0.2, 0.8
"""Width and height of a crop as shares of its part's, drawn apart and evenly (as released)."""
SIZES = 4
"""Sizes of crops that are tried for one that can be decided in every part."""
TRIES = 12
"""Places in a part that are tried for a crop of one size that can be decided; and changes of a crop that are."""
LABELS: dict[int, tuple[str, ...]] = {
    2: ("top-left", "top-right", "bottom-left", "bottom-right"),
    3: (
        *("top-left", "top-center", "top-right"),
        *("middle-left", "center", "middle-right"),
        *("bottom-left", "bottom-center", "bottom-right"),
    ),
}
"""Names of the parts of a grid, row by row."""


@dataclass(frozen=True, slots=True)
class Position(SSLTask):
    """A crop from one part of a grid, all parts alike."""

    grid: int = 2
    """Rows and columns: 2 (quadrants) or 3."""
    augment: Literal["none", "weak", "strong"] = "none"
    """What changes the crop's colours and sharpness (`augment.WEAK`, without crop and flip)."""
    convention: Convention = "ours"

    kind = "position"
    version = "2"
    parts = ("exact", "row", "column")

    def __post_init__(self) -> None:
        if self.grid not in LABELS:
            raise UsageError(f"position grid {self.grid} is not 2 or 3")

    @property
    def difficulty(self) -> str:
        parts = "quadrants" if self.grid == 2 else f"{self.grid}x{self.grid}"
        return parts if self.augment == "none" else f"{parts}, {self.augment}"

    @property
    def labels(self) -> Sequence[str]:
        return LABELS[self.grid]

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Images: the picture as it came, and the crop.

        The crop has some detail, before and after it is changed, and looks like no place in another part.
        """
        stream = Stream(seed)
        part = stream.below(self.grid**2)
        make = self._released if self.convention == "released" else self._decidable
        return Corrupted((image, make(image, part, stream)), self.labels[part])

    def _decidable(self, image: Image.Image, part: int, stream: Stream) -> Image.Image:
        """A crop of a part, changed.

        Every part must have one, not only the part that is asked about: else some would be asked about more often.
        """
        parts = _parts(image.size, self.grid, _span)
        if min(detail(image, box) for box in parts) < 1:
            raise Unusable("one of its parts is empty")
        left, top, right, bottom = parts[0]
        rivals = Rivals(image, self.grid, by_shape=self.augment != "none")
        for _ in range(SIZES):
            size = _side(right - left, stream), _side(bottom - top, stream)
            places = (_place(image, within, size, rivals, stream) for within in parts)
            boxes = list(itertools.takewhile(bool, places))
            if len(boxes) == len(parts):
                break
        else:
            raise Unusable("a crop of one of its parts looks like another part, or like nothing")
        crop = image.crop(boxes[part])
        for _ in range(TRIES):
            if detail(changed := self._changed(crop, stream)) >= 1:
                return changed
        raise Unusable("a change leaves nothing of its crop")

    def _released(self, image: Image.Image, part: int, stream: Stream) -> Image.Image:
        left, top, right, bottom = _parts(image.size, self.grid, _released_span)[part]
        width, height = _side(right - left, stream), _side(bottom - top, stream)
        x, y = stream.between(left, right - width), stream.between(top, bottom - height)
        return self._changed(image.crop((x, y, x + width, y + height)), stream)

    def _changed(self, crop: Image.Image, stream: Stream) -> Image.Image:
        if self.augment == "none":
            return crop
        full = {"weak": WEAK, "strong": STRONG}[self.augment]
        return apply(crop, full.without_crop_and_flip(), stream)

    def values(self) -> Mapping[str, object]:
        *labels, last = self.labels
        return {"labels": f"{', '.join(labels)} and {last}", "augmented": self.augment != "none"}

    def parse(self, text: str) -> str | None:
        return answers.label(text, self.labels)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Parts: `exact`, `row` and `column`."""
        said, right = self.labels.index(answer), self.labels.index(target)
        return {
            "exact": float(said == right),
            "row": float(said // self.grid == right // self.grid),
            "column": float(said % self.grid == right % self.grid),
        }

    def gold(self, target: str) -> tuple[str, ...]:
        words = target.replace("-", " ")
        return target, words.title(), f"{target}.", target.upper(), words.replace("top", "upper")


def _parts(size: tuple[int, int], grid: int, span: Callable[[int, int, int], tuple[int, int]]) -> list[Box]:
    """The boxes in which the crops of each part lie, row by row."""
    columns, rows = ([span(length, at, grid) for at in range(grid)] for length in size)
    return [(left, top, left + width, top + height) for top, height in rows for left, width in columns]


def _place(
    image: Image.Image, within: Box, size: tuple[int, int], rivals: Rivals, stream: Stream
) -> Box | None:
    """A box of this size in a part, with some detail, that looks like no place in another part, if one is found."""
    for _ in range(TRIES):
        x, y = stream.between(within[0], within[2] - size[0]), stream.between(within[1], within[3] - size[1])
        box = (x, y, x + size[0], y + size[1])
        if detail(image, box) >= 1 and not rivals.has(box):
            return box
    return None


def _span(length: int, at: int, grid: int) -> tuple[int, int]:
    """Where part `at` of a side begins and how long it is: inside the part, for all parts of one length.

    It begins on the JPEG grid, so that a block's phase in a crop does not tell the part; and it leaves out the
    picture's edges, which bear traces of how the picture was made.
    """
    begins = [max(GRID, -(-part * length // grid // GRID) * GRID) for part in range(grid)]
    ends = [min(length - GRID, (part + 1) * length // grid) for part in range(grid)]
    size = min(end - begin for begin, end in zip(begins, ends, strict=True))
    if size < 3 * GRID:
        size = length // grid
        return at * size, size
    return begins[at], size - size % GRID


def _released_span(length: int, at: int, grid: int) -> tuple[int, int]:
    """As released: the last part takes what does not divide, so that its crops can be larger."""
    size = length // grid
    return at * size, length - at * size if at == grid - 1 else size


def _side(part: int, stream: Stream) -> int:
    low, high = max(MIN_SIDE, int(part * SMALLEST)), int(part * LARGEST)
    if high < low:
        raise Unusable(f"a crop would be under {MIN_SIDE} pixels")
    return stream.between(low, high)
