"""Boxes of a picture to hide: that of an object, an equal one on another object, an empty one, and a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from ssl4rl_bench.task.scenes.draw import Box, Colour

GRID = 4
"""Photographs are divided into as many rows and columns."""
_STEP = 4
"""The distance in pixels of the places that are tried for an empty box."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """Three boxes of equal size that do not overlap."""

    asked: Box
    """Holds the object that is asked about, and touches no other object."""
    other: Box
    """Holds another object, and touches no third one."""
    empty: Box | None
    """Touches no object; None if there is no such place."""


def hidden(image: Image.Image, box: Box, colour: Colour) -> Image.Image:
    """Returns a copy of an RGB picture whose box has one colour; pixels outside the box do not change."""
    copy = image.copy()
    copy.paste(colour, box)
    return copy


def background(image: Image.Image) -> Colour:
    """Returns the most frequent colour of an RGB picture; of a drawing, that of its paper."""
    counts: list[tuple[int, Colour]] = image.getcolors(image.width * image.height)  # type: ignore[assignment]  # RGB
    return max(counts)[1]


def mean_colour(image: Image.Image) -> Colour:
    """Returns the mean colour of an RGB picture, rounded."""
    import numpy as np

    red, green, blue = np.asarray(image).reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
    return red, green, blue


def boxes_of(objects: Sequence[Box], asked: int, size: tuple[int, int]) -> tuple[int, Boxes] | None:
    """Chooses the boxes of a picture: that of the object asked about, and the first other object that allows one.

    Both boxes have the width of the wider and the height of the higher of the two objects, so that each hides its
    object completely.

    Args:
        objects: the boxes of all objects.
        asked: the index of the object that is asked about.
        size: width and height of the picture.

    Returns:
        The index of the other object, and the boxes; None if no other object allows them.
    """
    for other, box in enumerate(objects):
        if other == asked:
            continue
        pair = objects[asked], box
        extent = (max(b[2] - b[0] for b in pair), max(b[3] - b[1] for b in pair))
        first, second = (_centred_on(b, extent, size) for b in pair)
        rest = [b for index, b in enumerate(objects) if index not in (asked, other)]
        crowded = any(overlap(one, b) for one in (first, second) for b in rest)
        if overlap(first, second) or overlap(first, box) or overlap(second, pair[0]) or crowded:
            continue
        return other, Boxes(first, second, _empty(objects, extent, size))
    return None


def grid(size: tuple[int, int], n: int = GRID) -> list[Box]:
    """Divides a picture into n x n boxes, row by row, that differ by at most one pixel per side.

    Args:
        size: width and height, at least n pixels each.
    """
    xs, ys = ([length * i // n for i in range(n + 1)] for length in size)
    return [(xs[j], ys[i], xs[j + 1], ys[i + 1]) for i in range(n) for j in range(n)]


def overlap(first: Box, second: Box) -> int:
    """Returns the number of pixels that two boxes have in common."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, wide) * max(0, high)


def _centred_on(box: Box, extent: tuple[int, int], size: tuple[int, int]) -> Box:
    """Returns a box of width and height `extent` around another one, moved into the picture where needed."""
    left = min(max((box[0] + box[2] - extent[0]) // 2, 0), size[0] - extent[0])
    top = min(max((box[1] + box[3] - extent[1]) // 2, 0), size[1] - extent[1])
    return left, top, left + extent[0], top + extent[1]


def _empty(objects: Sequence[Box], extent: tuple[int, int], size: tuple[int, int]) -> Box | None:
    """Returns the box without any object whose centre is farthest from all objects' centres."""
    import numpy as np

    wide, high = extent
    tops, lefts = np.meshgrid(
        np.arange(0, size[1] - high + 1, _STEP), np.arange(0, size[0] - wide + 1, _STEP), indexing="ij"
    )
    left, top = lefts.reshape(-1, 1), tops.reshape(-1, 1)
    x0, y0, x1, y1 = np.array(objects).T
    touches = (left < x1) & (left + wide > x0) & (top < y1) & (top + high > y0)
    distance = (2 * left + wide - x0 - x1) ** 2 + (2 * top + high - y0 - y1) ** 2
    score = np.where(touches.any(axis=1), -1, distance.min(axis=1))
    if score.max(initial=-1) < 0:
        return None
    best = int(score.argmax())
    x, y = int(left[best, 0]), int(top[best, 0])
    return x, y, x + wide, y + high
