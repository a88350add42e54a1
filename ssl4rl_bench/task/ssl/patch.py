"""Masked patch: which of four patches is under the black square of the picture?

The idea is Spatial-SSRL's "cropped patch inpainting" (arXiv 2510.27606; data_process/Crop.py of its
repository) and PC-GRPO's PatchFit (arXiv 2512.14944). Spatial-SSRL resamples some of its wrong patches and
never the right one, so that sharpness tells them apart. Here all four patches are cut in the same way, from
places of the picture on the JPEG grid, and none is resampled. The four are chosen first, and then one of
them is drawn to be the right one: without the picture, nothing distinguishes it from the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.augment import Box
from ssl4rl_bench.task.ssl.base import GRID, MIN_SIDE, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import DISTINCT, thumbnail
from ssl4rl_bench.task.ssl.jigsaw import span_of_cells
from ssl4rl_bench.task.ssl.rng import Stream

LETTERS = ("A", "B", "C", "D")
ACROSS = 4
"""The number of patches along the shorter side of a picture."""
POINTS = 8
"""Pixels: the side of the thumbnails on which patches are compared."""


@dataclass(frozen=True, slots=True)
class Patch(SSLTask):
    """Blacks out a square and shows it among three other places; all letters are equally likely."""

    distractors: Literal["easy", "hard"] = "easy"
    """The four places have colours that are far apart (easy) or close (hard)."""
    gap: float = 0.0
    """The share of a candidate's side cut away around it, in [0, 0.5]: it then does not meet the picture."""

    kind = "patch"
    version = "1"
    parts = ("exact",)
    convention: ClassVar[Convention] = "ours"
    labels = LETTERS

    def __post_init__(self) -> None:
        if not 0 <= self.gap <= 0.5:
            raise UsageError(f"patch gap {self.gap} is not a share from 0 to 0.5 of a candidate's side")

    @property
    def difficulty(self) -> str:
        return self.distractors + (f", gap {self.gap:g}" if self.gap else "")

    @property
    def part_chance(self) -> float:
        return 1 / 2

    def guesses(self, corrupted: Corrupted) -> Iterator[tuple[str, Sequence[Image.Image]]]:
        """Yields the right patch and one of the others, each alone: can they be told apart?"""
        index = LETTERS.index(corrupted.target)
        yield "right", (corrupted.images[1 + index],)
        yield "wrong", (corrupted.images[1 + (index + 1) % len(LETTERS)],)

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Makes a sample with five images: the picture with a black square, and the patches A to D."""
        stream = Stream(seed)
        boxes = _places(image.size)
        cut = round(self.gap * (boxes[0][2] - boxes[0][0]) / 2)
        insides = [(left + cut, top + cut, right - cut, bottom - cut) for left, top, right, bottom in boxes]
        if insides[0][2] - insides[0][0] < MIN_SIDE:
            raise Unusable(f"a patch would be under {MIN_SIDE} pixels")
        small = np.stack([thumbnail(image, POINTS, POINTS, box) for box in insides]).astype(np.int64)
        chosen = _similar(small, stream) if self.distractors == "hard" else _different(small, stream)
        order = [chosen[index] for index in stream.permutation(len(LETTERS))]
        right = stream.below(len(LETTERS))
        masked = image.copy()
        masked.paste((0, 0, 0), boxes[order[right]])
        return Corrupted((masked, *(image.crop(insides[place]) for place in order)), LETTERS[right])

    def parse(self, text: str) -> str | None:
        return answers.choice(text, LETTERS)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`."""
        return {"exact": float(answer == target)}

    def gold(self, target: str) -> tuple[str, ...]:
        return target, f"({target})", f"{target}.", target.lower(), f"Candidate {target}"


def _places(size: tuple[int, int]) -> list[Box]:
    """Returns boxes of one size that tile the picture without its edges, row by row."""
    _, side = span_of_cells(min(size), ACROSS, GRID)
    grid = GRID if side % GRID == 0 else 1
    starts = []
    for length in size:
        n = max(ACROSS, (length - 2 * GRID) // side)
        first = (length - n * side) // 2 // grid * grid
        starts.append([first + index * side for index in range(n)])
    return [(x, y, x + side, y + side) for y in starts[1] for x in starts[0]]


def _similar(small: NDArray[np.int64], stream: Stream) -> list[int]:
    """Returns a random place and those with the nearest colours, no two of which look the same."""
    anchor = stream.below(len(small))
    chosen = [anchor]
    for place in np.argsort(_colours_apart(small, anchor), kind="stable").tolist():
        if len(chosen) < len(LETTERS) and all(_distinct(small, place, other) for other in chosen):
            chosen.append(place)
    return _complete(chosen)


def _different(small: NDArray[np.int64], stream: Stream) -> list[int]:
    """Returns a random place and others, each as far in colour as possible from those before it."""
    chosen = [stream.below(len(small))]
    nearest = _colours_apart(small, chosen[0])
    while len(chosen) < len(LETTERS):
        alike = [not all(_distinct(small, place, other) for other in chosen) for place in range(len(small))]
        if all(alike):
            break
        chosen.append(int(np.where(alike, -1, nearest).argmax()))
        nearest = np.minimum(nearest, _colours_apart(small, chosen[-1]))
    return _complete(chosen)


def _complete(chosen: list[int]) -> list[int]:
    if len(chosen) < len(LETTERS):
        raise Unusable("fewer than four of its patches look different")
    return chosen


def _colours_apart(small: NDArray[np.int64], place: int) -> NDArray[np.int64]:
    """Returns the distance between the colours of a place and of all places, wherever in them they are.

    It is the earth mover's distance of each channel's values, which is the difference of the sorted values.
    It is a sum of integers, so that no order of places depends on rounding.
    """
    values = np.sort(small.reshape(len(small), -1, 3), axis=1)
    distances: NDArray[np.int64] = np.abs(values - values[place]).sum(axis=(1, 2))
    return distances


def _distinct(small: NDArray[np.int64], one: int, other: int) -> bool:
    return float(np.abs(small[one] - small[other]).mean()) >= DISTINCT
