"""Thumbnails for the sample browser: each distinct image once, all of them within a budget."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event
from types import TracebackType
from typing import Self

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import EncodedImage, Sample

BUDGET = 5_000_000
"""The maximum size of all thumbnails, in characters of base64."""
SMALLEST, LARGEST = 96, 448
"""Limits of the longer side, in pixels."""
_N_TRIED = 8
"""The number of images that are made to estimate the size of all. The budget holds even if it is wrong."""
_THREADS = min(4, os.cpu_count() or 1)
"""The number of images that are decoded at the same time; Pillow decodes without the interpreter's lock."""
_BATCH = 4 * _THREADS
"""The number of images that are made before the budget is checked again."""


class Thumbnails:
    """Makes thumbnails of images in the given order until the budget is used up, in other threads.

    `of` and `notes` wait for the last one. Leaving the context stops the threads.

    Args:
        wanted: images that are made as large as the budget allows.
        small: further images, made at the smallest side.
    """

    def __init__(self, wanted: Sequence[EncodedImage], small: Sequence[EncodedImage] = ()) -> None:
        self._wanted = {image.sha256: image for image in wanted}
        self._distinct = self._wanted | {
            image.sha256: image for image in small if image.sha256 not in self._wanted
        }
        self._side = SMALLEST
        self._n_damaged = 0
        self._stopped = Event()
        self._pool = ThreadPoolExecutor(1 + _THREADS)
        self._made = self._pool.submit(self._make)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._pool.shutdown()

    def _make(self) -> dict[str, str]:
        """Returns thumbnails in base64 by the hash of their image."""
        made: dict[str, str] = {}
        used = 0
        self._side = self._fitting_side()
        left = iter(self._distinct.items())
        while not self._stopped.is_set() and (batch := list(islice(left, _BATCH))):
            sides = [self._side if sha256 in self._wanted else SMALLEST for sha256, _ in batch]
            texts = self._pool.map(_text, [image for _, image in batch], sides)
            for (sha256, _), text in zip(batch, texts, strict=True):
                if used >= BUDGET:
                    return made
                if text is None:
                    self._n_damaged += 1
                    continue
                if used + len(text) > BUDGET:
                    return made
                used += len(text)
                made[sha256] = text
        return made

    def _fitting_side(self) -> int:
        """Returns the side at which all images take about nine tenths of the budget, as some of them show."""
        wanted = list(self._wanted.values())
        small = [image for sha256, image in self._distinct.items() if sha256 not in self._wanted]
        left = 0.9 * BUDGET - self._expected(small, SMALLEST)
        side = LARGEST
        while side > SMALLEST and not self._stopped.is_set() and self._expected(wanted, side) > left:
            side = max(SMALLEST, int(0.8 * side))
        return side

    def _expected(self, wanted: Sequence[EncodedImage], side: int) -> float:
        """Estimates the size of the thumbnails of images from some of them."""
        tried = wanted[:: max(1, len(wanted) // _N_TRIED)]
        sizes = [len(_text(image, side) or "") for image in tried if not self._stopped.is_set()]
        return len(wanted) * sum(sizes) / max(1, len(sizes))

    @property
    def side(self) -> int:
        """The longest side of the thumbnails of `wanted` images, in pixels."""
        self._made.result()
        return self._side

    def names(self, samples: Sequence[Sample]) -> list[str]:
        """Returns the hashes of the samples' distinct images, in order."""
        return list(dict.fromkeys(image.sha256 for sample in samples for image in sample.images))

    def of(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Returns thumbnails in the order of `names`: a WebP file in base64, or "" if it was left out."""
        made = self._made.result()
        return tuple(made.get(sha256, "") for sha256 in self.names(samples))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on images without a thumbnail, one sentence per note."""
        n_made = len(self._made.result())
        return notes_on(len(self._distinct) - n_made - self._n_damaged, self._n_damaged)


def _text(image: EncodedImage, side: int) -> str | None:
    """Returns a thumbnail in base64; None if the image is damaged."""
    try:
        return base64.b64encode(images.thumbnail(image, side)).decode("ascii")
    except images.ImageError:
        return None


def notes_on(n_left_out: int, n_damaged: int) -> tuple[str, ...]:
    """Returns `Thumbnails.notes` for these numbers of images."""
    out = []
    if n := n_left_out:
        out.append(f"{n} {'image is' if n == 1 else 'images are'} left out to keep this file small.")
    if n := n_damaged:
        one, verb = ("image", "is") if n == 1 else ("images", "are")
        out.append(f"{n} {one} cannot be decoded and {verb} not shown.")
    return tuple(out)
