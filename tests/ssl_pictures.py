"""Pictures and replies for tests of the SSL tasks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ssl4rl_bench.core.types import Completion


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Returns smooth noise, of which all parts and rotations look different."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def said(text: str) -> Completion:
    """Returns a reply with this answer in its tag."""
    return Completion(text=f"<answer>{text}</answer>", finish_reason="stop")
