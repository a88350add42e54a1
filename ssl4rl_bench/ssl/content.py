"""Whether an image has enough in it to tell an answer. On thumbnails, so that it costs little."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

LEVELS = 2.0
"""Mean difference, in levels of 0 to 255, that two thumbnails must have to be told apart."""


def contrast_under_turns(square: Image.Image) -> float:
    """Smallest mean difference between a square image and its quarter turns, in units of `LEVELS`."""
    import numpy as np

    small = _thumbnail(square, 32, 32)
    return min(float(np.abs(small - np.rot90(small, turns)).mean()) for turns in (1, 2, 3)) / LEVELS


def contrast_among_pieces(image: Image.Image, k: int) -> float:
    """Smallest mean difference between any two pieces of a k x k cut, in units of `LEVELS`."""
    import numpy as np

    side = 8
    small = _thumbnail(image, k * side, k * side)
    pieces = small.reshape(k, side, k, side, 3).transpose(0, 2, 1, 3, 4).reshape(k * k, -1)
    apart = np.abs(pieces[:, None] - pieces[None]).mean(axis=2)
    apart[np.diag_indices(k * k)] = np.inf
    return float(apart.min()) / LEVELS


def detail(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> float:
    """Standard deviation about the mean colour, in units of `LEVELS`, of 32 x 32 pixels spread over a box."""
    import numpy as np
    from PIL import Image

    small = np.asarray(image.resize((32, 32), Image.Resampling.NEAREST, box), dtype=np.float32)
    return float(small.std(axis=(0, 1)).max()) / LEVELS


def _thumbnail(image: Image.Image, width: int, height: int) -> NDArray[np.float32]:
    """(height, width, 3), each value the mean of the pixels that it stands for."""
    import numpy as np
    from PIL import Image

    return np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.float32)
