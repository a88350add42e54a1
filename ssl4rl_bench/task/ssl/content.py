"""Whether an image has enough in it to tell an answer. On thumbnails, so that it costs little."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Region = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels, which need not be whole."""

LEVELS = 2.0
"""Mean difference, in levels of 0 to 255, that two thumbnails must have to be told apart."""


def contrast_under_turns(square: Image.Image) -> float:
    """Smallest mean difference between a square image and its quarter turns, in units of `LEVELS`."""
    small = _thumbnail(square, 32, 32)
    return min(float(np.abs(small - np.rot90(small, turns)).mean()) for turns in (1, 2, 3)) / LEVELS


def contrast_among(images: Sequence[Image.Image]) -> float:
    """Smallest mean difference between any two of at least two images at 8 x 8 pixels, in units of `LEVELS`."""
    small = np.stack([_thumbnail(image, 8, 8).ravel() for image in images])
    apart = np.abs(small[:, None] - small[None]).mean(axis=2)
    np.fill_diagonal(apart, np.inf)
    return float(apart.min()) / LEVELS


def contrast_between(one: Image.Image, two: Image.Image, *, mirrored: bool = False) -> float:
    """Mean difference between two images at 32 x 32 pixels, in units of `LEVELS`.

    With `mirrored` it is the smaller one of the difference to `two` and to its mirror image.
    """
    first, second = _thumbnail(one, 32, 32), _thumbnail(two, 32, 32)
    others = (second, second[:, ::-1]) if mirrored else (second,)
    return min(float(np.abs(first - other).mean()) for other in others) / LEVELS


def detail(image: Image.Image, box: Region | None = None) -> float:
    """Standard deviation about the mean colour, in units of `LEVELS`, of a box of an image at 32 x 32 pixels.

    Each of these is a mean of pixels, so that the noise of single ones is no detail.
    """
    small = _thumbnail(image, 32, 32, box)
    return float(small.std(axis=(0, 1)).max()) / LEVELS


def _thumbnail(image: Image.Image, width: int, height: int, box: Region | None = None) -> NDArray[np.float32]:
    """(height, width, 3), each value the mean of the pixels that it stands for."""
    return np.asarray(image.resize((width, height), Image.Resampling.BOX, box), dtype=np.float32)
