"""Position: from which part of the picture was the second image cut?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssl4rl_bench.errors import UsageError, did_you_mean
from ssl4rl_bench.ssl import answers, wording
from ssl4rl_bench.ssl.base import GRID, MIN_SIDE, Corrupted, Unusable
from ssl4rl_bench.ssl.content import detail
from ssl4rl_bench.ssl.judging import judge
from ssl4rl_bench.ssl.rng import Stream
from ssl4rl_bench.types import Completion, EncodedImage, Message, Score

if TYPE_CHECKING:
    from PIL import Image

VERSION = "1"
SMALLEST, LARGEST = 0.2, 0.8
"""Width and height of a crop as shares of its part's, drawn apart and evenly (as released)."""
TRIES = 50
"""Places in the part that are tried for a crop with some detail in it; the last is taken as it is."""
LABELS: dict[int, tuple[str, ...]] = {
    2: ("top-left", "top-right", "bottom-left", "bottom-right"),
    3: (
        *("top-left", "top-center", "top-right"),
        *("middle-left", "center", "middle-right"),
        *("bottom-left", "bottom-center", "bottom-right"),
    ),
}
"""Names of the parts of a grid, row by row."""
_NOTHING = {"exact": 0.0, "row": 0.0, "column": 0.0}


@dataclass(frozen=True, slots=True)
class Position:
    """A crop from one part of a grid, all parts alike."""

    grid: int = 2
    """Rows and columns: 2 (quadrants) or 3."""
    augment: str = "none"
    """none, weak or strong: what changes the crop's colours and sharpness (`augment.WEAK`, without crop and flip)."""
    convention: str = "ours"

    def __post_init__(self) -> None:
        if self.grid not in LABELS:
            raise UsageError(f"position grid {self.grid} is not 2 or 3")
        if self.augment not in ("none", "weak", "strong"):
            hint = did_you_mean(str(self.augment), ("none", "weak", "strong"))
            raise UsageError(f"position augment {self.augment!r} is not none, weak or strong{hint}")

    @property
    def kind(self) -> str:
        return "position"

    @property
    def identity(self) -> str:
        return f"position/{VERSION} grid={self.grid} augment={self.augment} convention={self.convention}"

    @property
    def difficulty(self) -> str:
        parts = "quadrants" if self.grid == 2 else f"{self.grid}x{self.grid}"
        return parts if self.augment == "none" else f"{parts}, {self.augment}"

    @property
    def chance(self) -> float:
        return 1 / self.grid**2

    @property
    def pairs(self) -> bool:
        return False

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Images: the picture as it came, and the crop."""
        if self.convention == "ours" and self._emptiest(image) < 1:
            # Every part counts, not only the one that is asked about: else some would be asked about more often.
            raise Unusable("one of its parts is empty")
        stream = Stream(seed)
        part = stream.below(self.grid**2)
        column, row = part % self.grid, part // self.grid
        released = self.convention == "released"
        span = _released_span if released else _span
        left, width = span(image.width, column, self.grid)
        top, height = span(image.height, row, self.grid)
        crop_width, crop_height = _side(width, stream), _side(height, stream)
        for _ in range(TRIES):
            x = left + stream.between(0, width - crop_width)
            y = top + stream.between(0, height - crop_height)
            crop = image.crop((x, y, x + crop_width, y + crop_height))
            if released or detail(crop) >= 1:
                break
        if self.augment != "none":
            from ssl4rl_bench.ssl import augment

            full = {"weak": augment.WEAK, "strong": augment.STRONG}[self.augment]
            crop = augment.apply(crop, full.without_crop_and_flip(), stream)
        return Corrupted((image, crop), LABELS[self.grid][part])

    def _emptiest(self, image: Image.Image) -> float:
        """The least detail of any part."""
        columns, rows = ([_span(length, at, self.grid) for at in range(self.grid)] for length in image.size)
        return min(
            detail(image.crop((left, top, left + width, top + height)))
            for left, width in columns
            for top, height in rows
        )

    def messages(self, images: Sequence[EncodedImage], style: str = "ssl4rl") -> tuple[Message, ...]:
        *labels, last = LABELS[self.grid]
        text = wording.render(
            self.kind,
            style,
            self.convention,
            labels=f"{', '.join(labels)} and {last}",
            augmented=self.augment != "none",
        )
        return wording.ask(images, text)

    def score(self, completion: Completion, target: str, extractor: str = "default") -> Score:
        """Parts: `exact`, `row` and `column`."""
        labels = LABELS[self.grid]
        right = labels.index(target)

        def grade(answer: str) -> dict[str, float]:
            said = labels.index(answer)
            return {
                "exact": float(said == right),
                "row": float(said // self.grid == right // self.grid),
                "column": float(said % self.grid == right % self.grid),
            }

        return judge(completion, extractor, lambda text: answers.label(text, labels), grade, _NOTHING)

    def gold(self, target: str) -> tuple[str, ...]:
        words = target.replace("-", " ")
        return target, words.title(), f"{target}.", target.upper(), words.replace("top", "upper")

    def wrong(self, target: str) -> str:
        labels = LABELS[self.grid]
        return labels[(labels.index(target) + 1) % len(labels)]


def _span(length: int, at: int, grid: int) -> tuple[int, int]:
    """Where part `at` of a side begins and how long it is: inside the part, for all parts of one length.

    It begins on the JPEG grid, so that a block's phase in a crop does not tell the part; and it leaves out the
    picture's edges, which bear traces of how the picture was made.
    """
    begins = [max(GRID, -(-part * length // grid // GRID) * GRID) for part in range(grid)]
    ends = [min(length - GRID, (part + 1) * length // grid) for part in range(grid)]
    size = min(end - begin for begin, end in zip(begins, ends, strict=True))
    if size < 3 * GRID:
        size = length // grid
        return at * size, size
    return begins[at], size - size % GRID


def _released_span(length: int, at: int, grid: int) -> tuple[int, int]:
    """As released: the last part takes what does not divide, so that its crops can be larger."""
    size = length // grid
    return at * size, length - at * size if at == grid - 1 else size


def _side(part: int, stream: Stream) -> int:
    low, high = max(MIN_SIDE, int(part * SMALLEST)), int(part * LARGEST)
    if high < low:
        raise Unusable(f"a crop would be under {MIN_SIDE} pixels")
    return stream.between(low, high)
