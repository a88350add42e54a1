"""Measures whether the content of an image determines an answer. It works on thumbnails, which is fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Region = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels, which may be fractional."""

LEVELS = 2.0
"""The mean difference, in levels from 0 to 255, at which two thumbnails count as different."""

DISTINCT = 2 * LEVELS
"""The mean difference, in levels, at which patches of one picture are different enough to ask about."""


def contrast_under_turns(square: Image.Image) -> float:
    """Returns the smallest mean difference of a square image to its quarter turns, in units of `LEVELS`."""
    small = thumbnail(square, 32, 32)
    return min(float(np.abs(small - np.rot90(small, turns)).mean()) for turns in (1, 2, 3)) / LEVELS


def contrast_among(images: Sequence[Image.Image]) -> float:
    """Returns the smallest mean difference between any two images, in units of `LEVELS`.

    There must be at least two images. They are compared at 8 x 8 pixels.
    """
    small = np.stack([thumbnail(image, 8, 8).ravel() for image in images])
    apart = np.abs(small[:, None] - small[None]).mean(axis=2)
    np.fill_diagonal(apart, np.inf)
    return float(apart.min()) / LEVELS


def contrast_between(one: Image.Image, two: Image.Image, *, mirrored: bool = False) -> float:
    """Returns the mean difference between two images at 32 x 32 pixels, in units of `LEVELS`.

    With `mirrored` it is the smaller of the differences to `two` and to its mirror image.
    """
    first, second = thumbnail(one, 32, 32), thumbnail(two, 32, 32)
    others = (second, second[:, ::-1]) if mirrored else (second,)
    return min(float(np.abs(first - other).mean()) for other in others) / LEVELS


def contrast_mirrored(image: Image.Image) -> float:
    """Returns the mean difference between an image and its mirror image, in units of `LEVELS`.

    They are compared at 8 x 8 pixels, so that fine texture does not make a difference.
    """
    small = thumbnail(image, 8, 8)
    return float(np.abs(small - small[:, ::-1]).mean()) / LEVELS


def detail(image: Image.Image, box: Region | None = None) -> float:
    """Returns the standard deviation of a box of an image at 32 x 32 pixels, in units of `LEVELS`.

    It is the largest one of the three channels. Each of the 32 x 32 pixels is a mean of image pixels, so that
    the noise of single pixels does not count as detail.
    """
    small = thumbnail(image, 32, 32, box)
    return float(small.std(axis=(0, 1)).max()) / LEVELS


def thumbnail(image: Image.Image, width: int, height: int, box: Region | None = None) -> NDArray[np.float32]:
    """Returns an array of shape (height, width, 3); each value is the mean of the pixels that it covers."""
    return np.asarray(image.resize((width, height), Image.Resampling.BOX, box), dtype=np.float32)
