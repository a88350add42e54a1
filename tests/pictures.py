"""Makes pictures for tests of the SSL tasks; each seed gives a different one."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image


def picture(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """Returns a smoothed picture of 6 x 6 random colours."""
    coarse = Image.frombytes("RGB", (6, 6), Random(seed).randbytes(6 * 6 * 3))
    return coarse.resize(size, Image.Resampling.BICUBIC)


@cache
def encoded(seed: int, format: str = "PNG", size: tuple[int, int] = (96, 72)) -> bytes:
    out = BytesIO()
    picture(seed, size).save(out, format=format)
    return out.getvalue()


def write_folder(folder: Path, n: int, first: int = 0, size: tuple[int, int] = (96, 72)) -> Path:
    """Writes n distinct images in all three formats to sub-folders."""
    for seed in range(first, first + n):
        format, suffix = (("PNG", "png"), ("JPEG", "JPG"), ("WEBP", "webp"))[seed % 3]
        path = folder / f"part{seed % 2}" / f"{seed:03d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(seed, format, size))
    return folder
