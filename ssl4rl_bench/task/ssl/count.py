"""Count: how many circles, squares and triangles were pasted into the picture?

The idea is VideoSSR's object counting (arXiv 2511.06281), which pastes shapes into the frames of a video.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.base import MIN_SIDE, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import thumbnail
from ssl4rl_bench.task.ssl.rng import Stream

SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "circle": tuple((math.cos(math.pi * i / 24), math.sin(math.pi * i / 24)) for i in range(48)),
    "square": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "triangle": ((0.0, -1.0), (0.87, 0.5), (-0.87, 0.5)),
}
"""Names to corners around the centre, in units of the radius, y downwards."""
MOST = 3
"""The largest number of shapes of a kind; the smallest is 1."""
ACROSS = 4
"""Rows and columns of places, each of which has at most one shape."""
RADIUS = (0.25, 0.42)
"""The radius of a shape as a share of its place's shorter side."""
FILL, LINE = (255, 0, 255), (255, 255, 255)
LINE_WIDTH = 0.25
"""The width of the outline as a share of the radius."""
NEAR = 64
"""Levels in each channel within which a colour of the picture can be taken for `FILL`."""
_SUPER = 4
"""Shapes are drawn this many times larger and then averaged down."""


@dataclass(frozen=True, slots=True)
class Count(SSLTask):
    """Pastes one to three shapes of each kind; all numbers are equally likely and independent."""

    kind = "count"
    version = "1"
    parts = ("exact", "per_position")
    few_targets = False
    convention: ClassVar[Convention] = "ours"
    difficulty = f"1 to {MOST} of {len(SHAPES)} shapes"

    @property
    def labels(self) -> Sequence[str]:
        numbers = range(1, MOST + 1)
        return [",".join(map(str, counts)) for counts in itertools.product(numbers, repeat=len(SHAPES))]

    @property
    def part_chance(self) -> float:
        return 1 / MOST

    def guesses(self, corrupted: Corrupted) -> Iterator[tuple[str, Sequence[Image.Image]]]:
        """Yields the number of shapes of the first kind, and the picture."""
        yield corrupted.target.split(",")[0], corrupted.images

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Makes a sample with one image. Each shape has a place of its own, so that none covers another."""
        width, height = (length // ACROSS for length in image.size)
        if min(width, height) < MIN_SIDE:
            raise Unusable(f"its shorter side has {min(image.size)} pixels, {ACROSS * MIN_SIDE} are needed")
        if _has_colour(image):
            raise Unusable("it has a part in the colour of the shapes")
        stream = Stream(seed)
        counts = [stream.between(1, MOST) for _ in SHAPES]
        names = [name for name, count in zip(SHAPES, counts, strict=True) for _ in range(count)]
        shown = image.copy()
        for name, place in zip(names, stream.permutation(ACROSS * ACROSS), strict=False):
            radius = round(min(width, height) * stream.uniform(*RADIUS))
            x = place % ACROSS * width + stream.between(radius, width - radius)
            y = place // ACROSS * height + stream.between(radius, height - radius)
            _paste(shown, name, radius, x, y)
        return Corrupted((shown,), ",".join(map(str, counts)))

    def values(self) -> Mapping[str, object]:
        return {"most": MOST}

    def parse(self, text: str) -> str | None:
        """Reads "3,1,2" and "3 circles, 1 square and 2 triangles"; only three numbers are an answer."""
        read = answers.named_counts(text, tuple(SHAPES)) or answers.permutation(text, len(SHAPES))
        return read if read and read.count(",") == len(SHAPES) - 1 else None

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`, and `per_position`, the share of the numbers that are right."""
        pairs = list(zip(answer.split(","), target.split(","), strict=True))
        return {
            "exact": float(answer == target),
            "per_position": sum(given == right for given, right in pairs) / len(pairs),
        }

    def released_value(self, answer: str, target: str) -> float:
        """Returns 1 for the canonical answer: SSL4RL has no such task, and a target is one answer, not several."""
        return float(answer == target)

    def gold(self, target: str) -> tuple[str, ...]:
        spaced = target.replace(",", ", ")
        named = ", ".join(f"{count} {name}s" for count, name in zip(target.split(","), SHAPES, strict=True))
        return target, spaced, f"({spaced}).", target.replace(",", " "), named


def _has_colour(image: Image.Image) -> bool:
    """Whether an area of the picture, a 32nd of its side, could be taken for a shape's colour."""
    apart = np.abs(thumbnail(image, 32, 32) - np.array(FILL))
    return bool((apart.max(axis=2) < NEAR).any())


def _paste(image: Image.Image, name: str, radius: int, x: int, y: int) -> None:
    """Pastes a shape around a point, with smooth edges."""
    for colour, scale in ((LINE, 1.0), (FILL, 1 - LINE_WIDTH)):
        mask = Image.new("L", (2 * radius * _SUPER, 2 * radius * _SUPER))
        corners = [
            tuple(round((1 + scale * length) * radius * _SUPER) for length in corner)
            for corner in SHAPES[name]
        ]
        ImageDraw.Draw(mask).polygon(corners, fill=255)
        image.paste(colour, (x - radius, y - radius), mask.reduce(_SUPER))
