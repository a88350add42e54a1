"""Thumbnails for the sample browser: each distinct image once, all of them within a budget."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import EncodedImage, Sample

BUDGET = 3_600_000
"""The maximum size of all thumbnails, in characters of base64."""
SMALLEST, LARGEST = 96, 224
"""Limits of the longer side, in pixels."""
_BYTES_PER_PIXEL = 0.14
"""The estimated size of a photograph as WebP at the quality used. The budget holds even if it is wrong."""


class Thumbnails:
    """Makes thumbnails of images in the given order until the budget is used up."""

    def __init__(self, wanted: Sequence[EncodedImage]) -> None:
        distinct = {image.sha256: image for image in wanted}
        share = BUDGET * 0.75 / max(1, len(distinct))
        self.side = int(min(LARGEST, max(SMALLEST, (share / _BYTES_PER_PIXEL) ** 0.5)))
        self._made: dict[str, str] = {}
        self._n_damaged = 0
        used = 0
        for sha256, image in distinct.items():
            if used >= BUDGET:
                break
            try:
                text = base64.b64encode(images.thumbnail(image, self.side)).decode("ascii")
            except images.ImageError:
                self._n_damaged += 1
                continue
            if used + len(text) > BUDGET:
                break
            used += len(text)
            self._made[sha256] = text
        self._n_left_out = len(distinct) - len(self._made) - self._n_damaged

    def names(self, samples: Sequence[Sample]) -> list[str]:
        """Returns the hashes of the samples' distinct images, in order."""
        return list(dict.fromkeys(image.sha256 for sample in samples for image in sample.images))

    def of(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Returns thumbnails in the order of `names`: a WebP file in base64, or "" if it was left out."""
        return tuple(self._made.get(sha256, "") for sha256 in self.names(samples))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on images without a thumbnail, one sentence per note."""
        out = []
        if n := self._n_left_out:
            out.append(f"{n} {'image is' if n == 1 else 'images are'} left out to keep this file small.")
        if n := self._n_damaged:
            one, verb = ("image", "is") if n == 1 else ("images", "are")
            out.append(f"{n} {one} cannot be decoded and {verb} not shown.")
        return tuple(out)
