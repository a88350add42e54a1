"""Applies the image processor to many pictures and stores its output at half the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BATCH = 256
"""Number of pictures per call of the processor."""


@dataclass(frozen=True)
class Pixels:
    """The patches of a picture, stored once: the model takes each still picture at two points in time."""

    values: Any
    """bfloat16 array of shape (patches, 3 * 14 * 14)."""
    grid: tuple[int, int, int]
    """(1, number of patches from top to bottom, number of patches from left to right)."""


def pixels_of(processor: Any, pictures: Sequence[Any]) -> list[Pixels]:
    """Returns the pixels of each picture, in order. The pictures may have different sizes."""
    import torch

    area = processor.image_processor.patch_size**2
    out = []
    for start in range(0, len(pictures), BATCH):
        got = processor.image_processor(images=list(pictures[start : start + BATCH]), return_tensors="pt")
        values = got["pixel_values"].reshape(-1, 3, 2, area)[:, :, 0].flatten(1).to(torch.bfloat16)
        grids = got["image_grid_thw"]
        parts = values.split(grids.prod(dim=1).tolist())
        out += [Pixels(part, tuple(grid)) for part, grid in zip(parts, grids.tolist(), strict=True)]
    return out


def both_times(values: Any) -> Any:
    """Restores both points in time and returns a float32 array of shape (patches, 3 * 2 * 14 * 14)."""
    still = values.float().reshape(values.shape[0], 3, 1, -1)
    return still.expand(-1, -1, 2, -1).flatten(1)
