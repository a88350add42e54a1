"""Reads drawn shapes from the pixels of a picture, without any code of the package: an independent eye."""

from __future__ import annotations

import colorsys
import io

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

HUES = {"red": 0, "orange": 27, "yellow": 50, "green": 135, "blue": 222, "purple": 282}
"""Degrees of the colour circle."""
INK = 110
"""A pixel whose brightest channel is below this belongs to an outline."""


def read_shapes(png: bytes) -> set[tuple[str, str, str]]:
    """Returns the colour, name and corner of each shape of a picture with a plain background."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    apart = np.abs(picture - picture[2, 2]).max(axis=2) > 40
    labels, n = ndimage.label(apart)
    return {_read(picture, labels == number) for number in range(1, n + 1) if (labels == number).sum() > 200}


def _read(picture: np.ndarray, mask: np.ndarray) -> tuple[str, str, str]:
    mask = ndimage.binary_fill_holes(mask)
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    corner = f"{'top' if rows.mean() < height / 2 else 'bottom'}-{'left' if columns.mean() < width / 2 else 'right'}"
    return _colour(picture[mask]), _name(mask), corner


def _colour(pixels: np.ndarray) -> str:
    red, green, blue = np.median(pixels[pixels.max(axis=1) > INK], axis=0) / 255
    hue = 360 * colorsys.rgb_to_hsv(red, green, blue)[0]
    return min(HUES, key=lambda name: min(abs(hue - HUES[name]), 360 - abs(hue - HUES[name])))


def _name(mask: np.ndarray) -> str:
    """Tells shapes by how much of their convex hull they fill, and the hull of the circle around it."""
    points = np.argwhere(mask)
    hull = ConvexHull(points)
    filled = mask.sum() / hull.volume
    corners = points[hull.vertices]
    reach = np.linalg.norm(corners - points.mean(axis=0), axis=1).max()
    round_share = hull.volume / (np.pi * reach**2)
    if filled < 0.66:
        return "star"
    if filled < 0.85:
        return "cross"
    if round_share > 0.9:
        return "circle"
    if filled < 0.975:
        return "heart"
    return "square" if round_share > 0.52 else "triangle"
