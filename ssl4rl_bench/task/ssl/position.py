"""Position: from which part of the picture was the second image cut?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.augment import STRONG, WEAK, Box, augment_view
from ssl4rl_bench.task.ssl.base import GRID, MIN_SIDE, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import detail
from ssl4rl_bench.task.ssl.rivals import Rivals
from ssl4rl_bench.task.ssl.rng import Stream

SMALLEST, LARGEST = 0.2, 0.8
"""The range of a crop's width and of its height, each a uniformly drawn share of its part's (as released)."""
SIZES = 4
"""The number of crop sizes that are tried to find one that can be decided in every part."""
TRIES = 12
"""The number of places in a part that are tried for a crop of one size, and of changes tried for one crop."""
LABELS: dict[int, tuple[str, ...]] = {
    2: ("top-left", "top-right", "bottom-left", "bottom-right"),
    3: (
        *("top-left", "top-center", "top-right"),
        *("middle-left", "center", "middle-right"),
        *("bottom-left", "bottom-center", "bottom-right"),
    ),
}
"""Size of the grid to the names of its parts, row by row."""


@dataclass(frozen=True, slots=True)
class Position(SSLTask):
    """Shows a crop from one part of a grid; all parts are equally likely."""

    grid: int = 2
    """The number of rows and columns: 2 (quadrants) or 3."""
    augment: Literal["none", "weak", "strong"] = "none"
    """The change of the crop's colours and sharpness (such as `augment.WEAK`, without crop and flip)."""
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
        """Makes a sample with two images: the unchanged picture, and the crop.

        The crop has some detail, before and after it is changed, and does not look like a place in another
        part.
        """
        stream = Stream(seed)
        part = stream.below(self.grid**2)
        make = self._released if self.convention == "released" else self._decidable
        return Corrupted((image, make(image, part, stream)), self.labels[part])

    def _decidable(self, image: Image.Image, part: int, stream: Stream) -> Image.Image:
        """Returns a crop of a part, changed.

        Every part must have a suitable crop, not only the part that is asked about; otherwise some parts
        would be asked about more often than others.
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
            raise Unusable("a crop of one of its parts looks like another part, or is empty")
        crop = image.crop(boxes[part])
        for _ in range(TRIES):
            if detail(changed := self._changed(crop, stream)) >= 1:
                return changed
        raise Unusable("an augmentation erases its crop")

    def _released(self, image: Image.Image, part: int, stream: Stream) -> Image.Image:
        left, top, right, bottom = _parts(image.size, self.grid, _released_span)[part]
        width, height = _side(right - left, stream), _side(bottom - top, stream)
        x, y = stream.between(left, right - width), stream.between(top, bottom - height)
        return self._changed(image.crop((x, y, x + width, y + height)), stream)

    def _changed(self, crop: Image.Image, stream: Stream) -> Image.Image:
        if self.augment == "none":
            return crop
        full = {"weak": WEAK, "strong": STRONG}[self.augment]
        return augment_view(crop, full.without_crop_and_flip(), stream)

    def values(self) -> Mapping[str, object]:
        *labels, last = self.labels
        return {"labels": f"{', '.join(labels)} and {last}", "augmented": self.augment != "none"}

    def parse(self, text: str) -> str | None:
        return answers.label(text, self.labels)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`, `row` and `column`."""
        given, right = self.labels.index(answer), self.labels.index(target)
        return {
            "exact": float(given == right),
            "row": float(given // self.grid == right // self.grid),
            "column": float(given % self.grid == right % self.grid),
        }

    def gold(self, target: str) -> tuple[str, ...]:
        words = target.replace("-", " ")
        return target, words.title(), f"{target}.", target.upper(), words.replace("top", "upper")


def _parts(size: tuple[int, int], grid: int, span: Callable[[int, int, int], tuple[int, int]]) -> list[Box]:
    """Returns, row by row, the box of each part in which its crops lie."""
    columns, rows = ([span(length, index, grid) for index in range(grid)] for length in size)
    return [(left, top, left + width, top + height) for top, height in rows for left, width in columns]


def _place(
    image: Image.Image, within: Box, size: tuple[int, int], rivals: Rivals, stream: Stream
) -> Box | None:
    """Returns a box of this size in a part that has detail and no rival in another part, or None."""
    for _ in range(TRIES):
        x, y = stream.between(within[0], within[2] - size[0]), stream.between(within[1], within[3] - size[1])
        box = (x, y, x + size[0], y + size[1])
        if detail(image, box) >= 1 and not rivals.has(box):
            return box
    return None


def _span(length: int, index: int, grid: int) -> tuple[int, int]:
    """Returns the start and length of the range of crops of part `index` of a side; all have the same length.

    The range starts on the JPEG grid, so that the phase of the blocks in a crop does not reveal the part.
    It leaves out the picture's edges, which have traces of how the picture was made.
    """
    begins = [max(GRID, -(-part * length // grid // GRID) * GRID) for part in range(grid)]
    ends = [min(length - GRID, (part + 1) * length // grid) for part in range(grid)]
    size = min(end - begin for begin, end in zip(begins, ends, strict=True))
    if size < 3 * GRID:
        size = length // grid
        return index * size, size
    return begins[index], size - size % GRID


def _released_span(length: int, index: int, grid: int) -> tuple[int, int]:
    """Returns the released ranges: the last part includes the remainder, so that its crops can be larger."""
    size = length // grid
    return index * size, length - index * size if index == grid - 1 else size


def _side(part: int, stream: Stream) -> int:
    low, high = max(MIN_SIDE, int(part * SMALLEST)), int(part * LARGEST)
    if high < low:
        raise Unusable(f"a crop would be under {MIN_SIDE} pixels")
    return stream.between(low, high)
