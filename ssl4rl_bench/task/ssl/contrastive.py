"""Contrastive: do two changed sections come from one picture?

Both kinds of pair have the same geometry: two sizes are drawn apart from each other by SimCLR's law, then two places
such that the sections share a stated minimum of area. A positive shows both. A negative shows the first section of
one picture and the second of another, so that neither size nor place of a section tells the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers, augment
from ssl4rl_bench.task.ssl.augment import Augmentation, Box
from ssl4rl_bench.task.ssl.base import MIN_SIDE, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import contrast_between, detail
from ssl4rl_bench.task.ssl.rng import Stream

LABELS = ("positive", "negative")
STRENGTHS = {"weak": augment.WEAK, "strong": augment.STRONG}
LARGEST_OVERLAP = 0.7
"""Two sections of ratios 3/4 and 4/3 and of one area share at most 3/4 of it, less what rounding takes."""
PLACE_TRIES = 32
TRIES = 20
"""Pairs of views that are tried for one that can be decided."""


@dataclass(frozen=True, slots=True)
class Contrastive(SSLTask):
    """Two views, as often of one picture (positive) as of two (negative)."""

    strength: Literal["weak", "strong"] = "weak"
    """`augment.WEAK` or `augment.STRONG`."""
    min_overlap: float = 0.25
    """Least share of the smaller section's area that a positive's sections have in common, in [0, 0.7]."""
    convention: Convention = "ours"

    kind = "contrastive"
    version = "2"
    parts = ("exact",)
    pairs = True
    labels = LABELS

    def __post_init__(self) -> None:
        if not 0 <= self.min_overlap <= LARGEST_OVERLAP:
            raise UsageError(
                f"contrastive min_overlap {self.min_overlap} is not a share from 0 to {LARGEST_OVERLAP}"
            )

    @property
    def difficulty(self) -> str:
        return self.strength

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Images: two views, 224 x 224 pixels each; of `image`, or of `image` and `other`.

        In each view, the part that a positive's other section would show too has some detail left when all changes
        are made; else another pair is drawn. This holds for positives and negatives alike, so that it does not tell
        them apart. That `other` is no changed copy of `image` is up to the caller: `imagesets.Selection.partners`
        sees to it.
        """
        stream = Stream(seed)
        second = image if other is None else other
        side = min(*image.size, *second.size)
        if side < MIN_SIDE:
            raise Unusable(f"its shorter side has {side} pixels, {MIN_SIDE} are needed")
        target = LABELS[other is not None]
        strength = STRENGTHS[self.strength]
        if self.convention == "released":
            views = tuple(augment.apply(source, strength, stream) for source in (image, second))
            return Corrupted(views, target)
        if other is not None and contrast_between(image, other) < 1:
            raise Unusable("the other image looks the same")
        for _ in range(TRIES):
            one, beside_one = overlapping(*image.size, strength, self.min_overlap, stream)
            beside_two, two = one, beside_one
            if other is not None:
                beside_two, two = overlapping(*other.size, strength, self.min_overlap, stream)
            first = _view(image, one, beside_one, strength, stream)
            if first is None or (last := _view(second, two, beside_two, strength, stream)) is None:
                continue
            if other is None or contrast_between(first, last, mirrored=True) >= 1:
                return Corrupted((first, last), target)
        raise Unusable("a view has nothing in it to tell where it comes from")

    def parse(self, text: str) -> str | None:
        return answers.pair(text)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Part: `exact`."""
        return {"exact": float(answer == target)}

    def gold(self, target: str) -> tuple[str, ...]:
        return target, target.title(), f"{target}.", target.upper()


def overlapping(
    width: int, height: int, augmentation: Augmentation, min_overlap: float, stream: Stream
) -> tuple[Box, Box]:
    """Two crops of an image of this size that share at least `min_overlap` of the smaller one's area.

    The first is `augment.random_crop`'s; the second has an independent size, and lies anywhere alike where the
    overlap is large enough (by rejection). If `PLACE_TRIES` places are not, it lies as near to the first one's middle
    as it can, which is the largest overlap that two such sizes have.
    """
    one = augment.random_crop(width, height, augmentation, stream)
    size = augment.crop_size(width, height, augmentation, stream)[:2]
    needed = min_overlap * min((one[2] - one[0]) * (one[3] - one[1]), size[0] * size[1])
    for _ in range(PLACE_TRIES):
        two = _at(stream.between(0, width - size[0]), stream.between(0, height - size[1]), size)
        if overlap(one, two) >= needed:
            return one, two
    left = min(max((one[0] + one[2] - size[0]) // 2, 0), width - size[0])
    top = min(max((one[1] + one[3] - size[1]) // 2, 0), height - size[1])
    return one, _at(left, top, size)


def overlap(one: Box, two: Box) -> int:
    """Pixels that two boxes share."""
    left, top, right, bottom = _shared(one, two)
    return max(right - left, 0) * max(bottom - top, 0)


def _shared(one: Box, two: Box) -> Box:
    """The box that two boxes share; its right or bottom is not beyond its left or top if they share none."""
    return max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])


def _view(
    image: Image.Image, box: Box, beside: Box, augmentation: Augmentation, stream: Stream
) -> Image.Image | None:
    """The view of a box; None if it has too little detail left, or what it shares with the box beside it has."""
    shared = _shared(box, beside)
    if not overlap(box, beside) or detail(image, shared) < 1:
        return None
    view, mirrored = augment.apply_and_tell(image, augmentation, stream, box)
    across, down = view.width / (box[2] - box[0]), view.height / (box[3] - box[1])
    left, right = (min((side - box[0]) * across, view.width) for side in (shared[0], shared[2]))
    if mirrored:
        left, right = view.width - right, view.width - left
    top, bottom = (min((side - box[1]) * down, view.height) for side in (shared[1], shared[3]))
    return view if min(detail(view), detail(view, (left, top, right, bottom))) >= 1 else None


def _at(left: int, top: int, size: tuple[int, int]) -> Box:
    return left, top, left + size[0], top + size[1]
