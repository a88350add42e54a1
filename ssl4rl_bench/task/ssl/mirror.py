"""Flipped patch: which of four framed patches of the picture was mirrored left to right?

The idea is Spatial-SSRL's (arXiv 2510.27606; data_process/Flip.py of its repository), which flips one
quarter of the picture. Its seams tell which. Here a patch in each quarter is framed, so that no mirrored
pixel touches an unchanged one. What the picture shows still has to continue behind the frames: that is what
is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image, ImageOps

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.augment import Box
from ssl4rl_bench.task.ssl.base import GRID, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import DISTINCT, LEVELS, contrast_mirrored
from ssl4rl_bench.task.ssl.jigsaw import span_of_cells
from ssl4rl_bench.task.ssl.position import LABELS
from ssl4rl_bench.task.ssl.rng import Stream

NUMBERS = ("1", "2", "3", "4")
"""The patches of the quarters, row by row."""
SMALLEST_SIDE = 8 * GRID
"""Pixels: the shortest side of a picture, whose patches are then two cells of the JPEG grid wide."""


@dataclass(frozen=True, slots=True)
class Mirror(SSLTask):
    """Frames a patch in each quarter and mirrors one of them; all four are equally likely."""

    frame: float = 0.125
    """The width of a frame as a share of its patch's side, in [0, 0.3]. It covers the patch's border."""

    kind = "mirror"
    version = "1"
    parts = ("exact",)
    convention: ClassVar[Convention] = "ours"
    labels = NUMBERS

    def __post_init__(self) -> None:
        if not 0 <= self.frame <= 0.3:
            raise UsageError(f"mirror frame {self.frame} is not a share from 0 to 0.3 of a patch's side")

    @property
    def difficulty(self) -> str:
        return f"frame {self.frame:g}"

    @property
    def part_chance(self) -> float:
        return 1 / 2

    def guesses(self, corrupted: Corrupted) -> Iterator[tuple[str, Sequence[Image.Image]]]:
        """Yields the quarter with the mirrored patch and one of the others: can they be told apart?"""
        (image,) = corrupted.images
        index = NUMBERS.index(corrupted.target)
        quarters = _quarters(image.size)
        yield "mirrored", (image.crop(quarters[index]),)
        yield "unchanged", (image.crop(quarters[(index + 1) % len(quarters)]),)

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Makes a sample with one image.

        Patches start and end on the JPEG grid, so that mirroring keeps the phase of the blocks. If a quarter has
        no patch that differs from its mirror image, the picture is left out whichever patch would be mirrored,
        so that none is asked about more often.
        """
        stream = Stream(seed)
        index = stream.below(len(NUMBERS))
        boxes = self.places(image, stream)
        insides = [image.crop(self._inside(box)) for box in boxes]
        insides[index] = ImageOps.mirror(insides[index])
        shown = image.copy()
        for box, inside in zip(boxes, insides, strict=True):
            shown.paste((0, 0, 0), box)
            shown.paste(inside, self._inside(box))
        return Corrupted((shown,), NUMBERS[index])

    def places(self, image: Image.Image, stream: Stream) -> list[Box]:
        """Draws the boxes of the four patches, frames included.

        Raises:
            Unusable: if the image is too small, or a quarter has no suitable patch.
        """
        return [self._place(image, quarter, stream) for quarter in _quarters(image.size)]

    def _inside(self, box: Box) -> Box:
        """Returns what the frame leaves of a patch."""
        left, top, right, bottom = box
        width = round((right - left) * self.frame)
        return left + width, top + width, right - width, bottom - width

    def _place(self, image: Image.Image, quarter: Box, stream: Stream) -> Box:
        """Draws a patch, three quarters as wide as its quarter is at its shorter side, that can be told apart."""
        left, top, right, bottom = quarter
        side = min(right - left, bottom - top) * 3 // 4 // GRID * GRID
        corners = [
            (x, y) for y in range(top, bottom - side + 1, GRID) for x in range(left, right - side + 1, GRID)
        ]
        for number in stream.permutation(len(corners)):
            x, y = corners[number]
            box = x, y, x + side, y + side
            if contrast_mirrored(image.crop(self._inside(box))) * LEVELS >= DISTINCT:
                return box
        raise Unusable("all patches of a quarter look like their mirror images")

    def parse(self, text: str) -> str | None:
        """Reads "2", "patch 2" and "the top right patch"."""
        if number := answers.choice(text, NUMBERS):
            return number
        quarter = answers.label(text, LABELS[2])
        return NUMBERS[LABELS[2].index(quarter)] if quarter else None

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`."""
        return {"exact": float(answer == target)}

    def gold(self, target: str) -> tuple[str, ...]:
        quarter = LABELS[2][NUMBERS.index(target)].replace("-", " ")
        return target, f"{target}.", f"Patch {target}", f"({target})", f"the {quarter} patch"


def _quarters(size: tuple[int, int]) -> list[Box]:
    """Returns the quarters of a picture without its edges, row by row, on the JPEG grid."""
    if min(size) < SMALLEST_SIDE:
        raise Unusable(f"its shorter side has {min(size)} pixels, {SMALLEST_SIDE} are needed")
    (left, width), (top, height) = (span_of_cells(length, 2, GRID) for length in size)
    return [(x, y, x + width, y + height) for y in (top, top + height) for x in (left, left + width)]
