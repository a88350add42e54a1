"""Checks for Position whether a crop of one part of a picture looks like a place in another part.

Such a crop would have two right answers. The check works like template matching: on a thumbnail, the sums
of squared differences to all places are computed at once with a Fourier transform; the few places that look
similar there are compared pixel by pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssl4rl_bench.task.ssl.augment import Box
from ssl4rl_bench.task.ssl.content import LEVELS

SIDE = 96
"""Pixels: maximum width and height of the thumbnail."""
STEPS = 8
"""The number of places to each side of a candidate compared pixel by pixel, at least one pixel apart."""
CLOSEST = 6
"""The maximum number of places on the thumbnail that are compared pixel by pixel."""
POINTS = 16
"""The number of pixels per side of a crop that are compared."""


class Rivals:
    """Searches a picture for places that a crop could equally well come from.

    Args:
        grid: the number of rows and columns of parts.
        by_shape: compare lightness only, ignoring brightness and contrast; used if the crop is recoloured.
    """

    def __init__(self, image: Image.Image, grid: int, *, by_shape: bool) -> None:
        self._grid, self._by_shape = grid, by_shape
        shown = image.convert("L") if by_shape else image
        self._pixels = np.atleast_3d(np.asarray(shown)).transpose(2, 0, 1)
        width, height = (min(side, SIDE) for side in image.size)
        self._scale = width / image.width, height / image.height
        self._reach = tuple(math.ceil(1 / scale) for scale in self._scale)
        # Lightness alone, for speed: places with the same colours also have the same lightness.
        small = image.convert("L").resize((width, height), Image.Resampling.BOX)
        self._small = np.asarray(small, dtype=np.float64)[None]
        self._transformed = np.fft.rfft2(self._small)
        self._sums = [_summed(self._small), _summed(self._small**2)]

    def has(self, box: Box) -> bool:
        """Whether a place in another part differs from the box by less than `content.LEVELS` on average.

        Places and boxes belong to the part that contains their centre.
        """
        across, down = self._scale
        width, height = max(1, round((box[2] - box[0]) * across)), max(1, round((box[3] - box[1]) * down))
        x = min(round(box[0] * across), self._small.shape[2] - width)
        y = min(round(box[1] * down), self._small.shape[1] - height)
        away = self._away(x, y, width, height)
        rows, columns = (
            (np.arange(count) + length / 2) * self._grid // side
            for count, length, side in zip(away.shape, (height, width), self._small.shape[1:], strict=True)
        )
        away[(rows == rows[y])[:, None] & (columns == columns[x])] = math.inf
        doubtful = _doubtful(self._small[:, y : y + height, x : x + width])
        for _ in range(CLOSEST):
            row, column = divmod(int(away.argmin()), away.shape[1])
            if away[row, column] > doubtful:
                break
            if self._nearest(box, (round(column / across), round(row / down))) < LEVELS:
                return True
            # `_nearest` has compared its neighbours too.
            away[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = math.inf
        return False

    def _away(self, x: int, y: int, width: int, height: int) -> NDArray[np.float64]:
        """Returns the root mean square differences of a box of the thumbnail to all boxes of its size.

        The array has the shape (rows, columns) and contains one value per place.
        """
        crop = self._small[:, y : y + height, x : x + width]
        padded = np.zeros_like(self._small)
        padded[:, :height, :width] = crop
        product = np.fft.irfft2(self._transformed * np.conj(np.fft.rfft2(padded)), self._small.shape[1:])[
            :, : self._small.shape[1] - height + 1, : self._small.shape[2] - width + 1
        ]
        n = width * height
        total, squares = (_boxed(sums, width, height) for sums in self._sums)
        if not self._by_shape:
            difference = squares - 2 * product + (crop**2).sum(axis=(1, 2))[:, None, None]
            return np.asarray(np.sqrt(np.maximum(difference.mean(axis=0) / n, 0)))
        covariance = (product - total * crop.mean()) / n
        variance = np.maximum(squares / n - (total / n) ** 2, 1e-6)
        explained = np.maximum(covariance, 0) ** 2 / variance
        return np.asarray(np.sqrt(np.maximum(float(crop.var()) - explained, 0))[0])

    def _nearest(self, box: Box, near: tuple[int, int]) -> float:
        """Returns the smallest mean difference, in levels, of a box to boxes of its size near a place."""
        width, height = box[2] - box[0], box[3] - box[1]
        lefts, tops = (
            np.arange(
                max(0, offset - reach), min(side - length, offset + reach) + 1, math.ceil(reach / STEPS)
            )
            for offset, length, side, reach in zip(
                near, (width, height), self._pixels.shape[:0:-1], self._reach, strict=True
            )
        )
        columns, rows = (np.arange(POINTS) * length // POINTS for length in (width, height))
        crop = self._pixels[:, (box[1] + rows)[:, None], box[0] + columns].astype(np.float32)
        every = self._pixels[
            :, (tops[:, None] + rows)[:, None, :, None], (lefts[:, None] + columns)[None, :, None, :]
        ].astype(np.float32)
        crop = crop[:, None, None]
        if self._by_shape:
            crop = crop - crop.mean()
            every -= every.mean(axis=(3, 4), keepdims=True)
            slope = (crop * every).sum(axis=(3, 4), keepdims=True)
            every *= np.maximum(slope, 0) / np.maximum((every**2).sum(axis=(3, 4), keepdims=True), 1e-6)
        every -= crop
        return float(np.abs(every, out=every).mean(axis=(0, 3, 4)).min())


def _doubtful(crop: NDArray[np.float64]) -> float:
    """Returns the largest difference, in levels, that two equal places can have on the thumbnail.

    Their pixels can be shifted by half a pixel of the thumbnail, which matters more the more detail there is.
    """
    half = (crop[:, 1:, 1:] + crop[:, :-1, 1:] + crop[:, 1:, :-1] + crop[:, :-1, :-1]) / 4
    return 1.5 * (LEVELS + float(np.sqrt(((crop[:, 1:, 1:] - half) ** 2).mean())))


def _summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the sums over all values above and to the left, with a leading row and column of zeros."""
    return np.pad(values.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))


def _boxed(sums: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Returns the sum over the box of this size at each place, from the result of `_summed`."""
    return (
        sums[:, height:, width:]
        - sums[:, :-height, width:]
        - sums[:, height:, :-width]
        + sums[:, :-height, :-width]
    )
