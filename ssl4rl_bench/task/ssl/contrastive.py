"""Contrastive: do two changed sections come from the same picture?

Positive and negative pairs have the same geometry: two sizes are drawn independently from SimCLR's
distribution, then two places at which the sections share a given minimum of area. A positive pair shows
both sections of one picture. A negative pair shows the first section of one picture and the second of
another, so that neither the size nor the place of a section reveals the answer.
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
"""Two sections of equal area with ratios 3/4 and 4/3 share at most 3/4 of it, minus a loss from rounding."""
PLACE_TRIES = 32
TRIES = 20
"""The number of pairs of views that are tried to find one that can be decided."""


@dataclass(frozen=True, slots=True)
class Contrastive(SSLTask):
    """Shows two views, equally often of one picture (positive) and of two pictures (negative)."""

    strength: Literal["weak", "strong"] = "weak"
    """`augment.WEAK` or `augment.STRONG`."""
    min_overlap: float = 0.25
    """The minimum overlap of a positive's sections, as a share of the smaller section's area, in [0, 0.7]."""
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
        """Makes a sample with two views, 224 x 224 pixels each: of `image`, or of `image` and `other`.

        In each view, the area that a positive's other section would show too must have some detail after all
        changes; otherwise another pair is drawn. This rule is the same for positives and negatives, so that
        it does not distinguish them. The caller must ensure that `other` is not a changed copy of `image`,
        as `pictures.Selection.partners` does.
        """
        stream = Stream(seed)
        second = image if other is None else other
        side = min(*image.size, *second.size)
        if side < MIN_SIDE:
            raise Unusable(f"its shorter side has {side} pixels, {MIN_SIDE} are needed")
        target = LABELS[other is not None]
        strength = STRENGTHS[self.strength]
        if self.convention == "released":
            views = tuple(augment.augment_view(source, strength, stream) for source in (image, second))
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
        raise Unusable("a view has no content that shows where it comes from")

    def parse(self, text: str) -> str | None:
        return answers.pair_label(text)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`."""
        return {"exact": float(answer == target)}

    def gold(self, target: str) -> tuple[str, ...]:
        return target, target.title(), f"{target}.", target.upper()


def overlapping(
    width: int, height: int, augmentation: Augmentation, min_overlap: float, stream: Stream
) -> tuple[Box, Box]:
    """Draws two crops of an image of this size that share at least `min_overlap` of the smaller crop's area.

    The first one comes from `augment.random_crop`. The second one has an independent size, and a place drawn
    uniformly from those with enough overlap (by rejection). If none of `PLACE_TRIES` places has enough, its
    centre is put as near to that of the first crop as possible, which gives the largest overlap of two such
    sizes.
    """
    one = augment.random_crop(width, height, augmentation, stream)
    size = augment.crop_size(width, height, augmentation, stream)[:2]
    needed = min_overlap * min((one[2] - one[0]) * (one[3] - one[1]), size[0] * size[1])
    for _ in range(PLACE_TRIES):
        two = _box_at(stream.between(0, width - size[0]), stream.between(0, height - size[1]), size)
        if overlap(one, two) >= needed:
            return one, two
    left = min(max((one[0] + one[2] - size[0]) // 2, 0), width - size[0])
    top = min(max((one[1] + one[3] - size[1]) // 2, 0), height - size[1])
    return one, _box_at(left, top, size)


def overlap(one: Box, two: Box) -> int:
    """Returns the number of pixels that two boxes share."""
    left, top, right, bottom = _shared(one, two)
    return max(right - left, 0) * max(bottom - top, 0)


def _shared(one: Box, two: Box) -> Box:
    """Returns the intersection of two boxes; if it is empty, right <= left or bottom <= top."""
    return max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])


def _view(
    image: Image.Image, box: Box, beside: Box, augmentation: Augmentation, stream: Stream
) -> Image.Image | None:
    """Returns the view of a box; None if it, or its overlap with `beside`, has too little detail left."""
    shared = _shared(box, beside)
    if not overlap(box, beside) or detail(image, shared) < 1:
        return None
    view, mirrored = augment.apply_and_report(image, augmentation, stream, box)
    across, down = view.width / (box[2] - box[0]), view.height / (box[3] - box[1])
    left, right = (min((side - box[0]) * across, view.width) for side in (shared[0], shared[2]))
    if mirrored:
        left, right = view.width - right, view.width - left
    top, bottom = (min((side - box[1]) * down, view.height) for side in (shared[1], shared[3]))
    return view if min(detail(view), detail(view, (left, top, right, bottom))) >= 1 else None


def _box_at(left: int, top: int, size: tuple[int, int]) -> Box:
    return left, top, left + size[0], top + size[1]
