"""The features of images from which `leaks` guesses the answers of an SSL task: sizes, borders, traces, content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float64]

SIZES, BORDERS, TRACES, CONTROL = "sizes", "borders", "traces", "control"
STATISTICS = "all statistics"
WINDOW = 256
"""Pixels: side of the square at the top left corner of an image in which traces are measured."""
EDGE = 8
"""Pixels: width of the strip along a border in which the outermost rows are compared with rows further in."""
INSIDE = 12
"""Pixels: distance from the border at which the control takes its measures."""
FREQUENCIES = tuple(0.04 + 0.01 * step for step in range(46))
"""Cycles per pixel at which gradients are searched for the period of a file format or of resampling."""


def features_of(shown: Sequence[Image.Image]) -> dict[str, Floats]:
    """Returns the features of each baseline, and of the control, of the images that a sample shows.

    Borders and traces are those of the last, produced image.
    """
    arrays = [np.asarray(image) for image in shown]
    last = arrays[-1]
    borders = _borders(last)
    traces = np.concatenate([_edges(last), _traces(shown[-1])])
    inside = min(INSIDE, (min(last.shape[:2]) - 2 * EDGE - 1) // 2)
    control = np.concatenate([_edges(last[inside:-inside, inside:-inside]), _traces(shown[-1].reduce(2))])
    looks = [_looks(array) for array in arrays]
    sizes = _sizes([image.size for image in shown])
    compared = [np.abs(looks[0] - looks[-1]), looks[0] - looks[-1]] if len(looks) > 1 else []
    return {
        SIZES: sizes,
        BORDERS: borders,
        TRACES: traces,
        CONTROL: control,
        STATISTICS: np.concatenate([sizes, borders, traces, *looks, *compared]),
    }


def _sizes(sizes: Sequence[tuple[int, int]]) -> Floats:
    values: list[float] = []
    for width, height in sizes:
        values += [width, height, width / height, width * height, width % 8, height % 8]
    (w1, h1), (w2, h2) = sizes[0], sizes[-1]
    values += [w2 / w1, h2 / h1, w2 / h1, h2 / w1, w1 == w2, h1 == h2, w1 == h2, h1 == w2]
    return np.array(values, dtype=np.float64)


def _borders(pixels: NDArray[np.uint8]) -> Floats:
    """Returns, per side and corner, the share of black pixels at the border minus that further inside.

    Only exactly black pixels count, as rotation and padding produce them; a dark picture has few of those.
    """
    values: list[float] = []
    for side in (pixels, pixels[::-1], pixels.transpose(1, 0, 2), pixels.transpose(1, 0, 2)[::-1]):
        share = (side[: EDGE + 1].max(axis=2) == 0).mean(axis=1)
        values.append(share[0] - share[EDGE // 2 :].mean())
    for corner in (pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]):
        black = corner[: 2 * EDGE, : 2 * EDGE].max(axis=2) == 0
        values.append(float(black[:4, :4].mean() - black[EDGE:, EDGE:].mean()))
    return np.array(values)


def _edges(pixels: NDArray[np.uint8]) -> Floats:
    """Returns, per side, the steps between the outermost rows relative to inner ones, and repeated pixels."""
    values: list[float] = []
    for side in (pixels, pixels[::-1], pixels.transpose(1, 0, 2), pixels.transpose(1, 0, 2)[::-1]):
        rows = side[: EDGE + 1].astype(np.int16)
        steps = np.abs(np.diff(rows, axis=0)).mean(axis=(1, 2))
        local = np.log1p(steps[2:].mean())
        values += [np.log1p(steps[0]) - local, np.log1p(steps[1]) - local]
        values.append(float((rows[0] == rows[1]).mean() - (rows[4] == rows[5]).mean()))
    return np.array(values)


def _traces(image: Image.Image) -> Floats:
    """Returns, per direction, the gradients by their phase on JPEG's grid of 8 pixels, and their spectrum.

    A block grid or interpolation makes the second difference of a row periodic (Gallagher, "Detection of
    linear and cubic interpolation in JPEG compressed images", CRV 2005).
    """
    window = image.crop((0, 0, min(WINDOW, image.width), min(WINDOW, image.height)))
    grey = np.asarray(window.convert("L")).astype(np.int16)
    values: list[Floats] = []
    for pixels in (grey, grey.T):
        lines = np.ascontiguousarray(pixels)
        steps = np.abs(np.diff(lines, axis=1)).mean(axis=0)
        phases = np.array([steps[phase::8].mean() for phase in range(8)])
        values.append(np.log((phases + 0.1) / (steps.mean() + 0.1)))
        bends = np.log1p(np.abs(np.diff(lines, n=2, axis=1)).mean(axis=0))
        bends -= np.convolve(np.pad(bends, 6, mode="edge"), np.ones(13) / 13, mode="valid")
        waves = np.abs(_waves(len(bends)) @ bends)
        values.append(np.log1p(waves / (np.sqrt(len(bends)) * bends.std() + 1e-3)))
    return np.concatenate(values).astype(np.float64)


@cache
def _waves(length: int) -> NDArray[np.complex128]:
    phases = np.outer(np.array(FREQUENCIES), np.arange(length))
    waves: NDArray[np.complex128] = np.exp(-2j * np.pi * phases)
    return waves


def _looks(pixels: NDArray[np.uint8]) -> Floats:
    """Summarises the content: colour means of the image and its halves, colour contrasts, and sharpness."""
    small = pixels[:: max(1, pixels.shape[0] // 96), :: max(1, pixels.shape[1] // 96)].astype(np.float32)
    height, width = small.shape[:2]
    halves = (small[: height // 2], small[height // 2 :], small[:, : width // 2], small[:, width // 2 :])
    grey = pixels[:WINDOW, :WINDOW].mean(axis=2)
    sharp = [np.log1p(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (0, 1)]
    means = [half.mean(axis=(0, 1)) for half in halves]
    values: Floats = np.concatenate([small.mean(axis=(0, 1)), small.std(axis=(0, 1)), *means, sharp])
    return values.astype(np.float64)
