"""Estimates from the sizes of a run's images and its pixel limits how many tokens an image takes."""

from __future__ import annotations

import math

from ssl4rl_bench.core.image_headers import ImageError, stored_size
from ssl4rl_bench.run.rundir import RunDir

UNIT = 28
"""The side in pixels of the square that one token stands for in Qwen2-VL and Qwen2.5-VL: patches of 14 pixels, of
which 2 x 2 are merged (patch_size and merge_size in their preprocessor_config.json). Other models differ."""


def image_sizes(run: RunDir) -> list[tuple[int, int]] | None:
    """Reads width and height of the images of a run; None if it stored none, or those of several tasks."""
    if len(run.spec.tasks) != 1:
        return None
    sizes = []
    for path in run.path.glob("images/??/*"):
        try:
            sizes.append(stored_size(path.read_bytes()))
        except (OSError, ImageError):
            return None
    return sizes or None


def visual_tokens(width: int, height: int, low: int, high: int) -> int:
    """Computes the number of tokens of one image under Qwen2-VL's rule for resizing.

    Each side becomes the nearest multiple of `UNIT`. If the area is then above `high`, both sides of the image are
    scaled by the same factor to have this area and rounded down to multiples; if it is below `low`, likewise, and
    rounded up (Wang et al., arXiv 2409.12191; `smart_resize` in transformers' Qwen2VLImageProcessor).

    Args:
        low, high: the pixel limits, above 0.
    """
    sides = [max(1, round(side / UNIT)) for side in (width, height)]
    area = sides[0] * sides[1] * UNIT * UNIT
    if low <= area <= high:
        return sides[0] * sides[1]
    limit, to_whole = (high, math.floor) if area > high else (low, math.ceil)
    scale = math.sqrt(limit / (width * height)) / UNIT
    across, down = (max(1, to_whole(side * scale)) for side in (width, height))
    return across * down


def mean_visual_tokens(sizes: list[tuple[int, int]] | None, low: object, high: object) -> float | None:
    """Computes the mean over images; None without images, or if a limit is not known."""
    if not sizes or not isinstance(low, int) or not isinstance(high, int):
        return None
    return sum(visual_tokens(width, height, low, high) for width, height in sizes) / len(sizes)
