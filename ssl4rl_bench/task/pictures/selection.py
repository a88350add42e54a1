"""Selects the images to use: no duplicates, none too small, in an order that depends only on the content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.identity import seed_of, sha256_hex
from ssl4rl_bench.core.types import EncodedImage, HubSource
from ssl4rl_bench.task.pictures.located import Dropped, ImageLocation, ImageSource
from ssl4rl_bench.task.pictures.perceptual import Perceptual, near, near_duplicates, perceptual_hash
from ssl4rl_bench.task.ssl.base import MIN_SIDE

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""`map`, or a function that does the work in other processes and keeps the order."""

UNSPLIT = "data"
"""The name of the only split if no ratio is given."""
REDUCED = 64
"""Pixels: perceptual hashes use images decoded to at least this size on each side (`images.reduced`)."""
CHUNK = 32
"""The number of images that a worker takes at a time."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A selected image."""

    located: ImageLocation
    """One of the places that hold it: the one whose name sorts first."""
    sha256: str
    width: int
    height: int
    perceptual: Perceptual = field(repr=False)
    split: str
    """"train" or "test", or "data" if there is no ratio."""

    def read(self) -> EncodedImage:
        """Returns the encoded image.

        Raises:
            DataError: if the file has changed since it was selected.
        """
        try:
            data = self.located.read()
        except OSError as error:
            raise DataError(f"{self.located.name} can no longer be read ({error.strerror}).") from None
        if sha256_hex(data) != self.sha256:
            raise DataError(f"{self.located.name} changed while it was used: run the same command again.")
        return EncodedImage(data, self.sha256)


@dataclass(frozen=True, slots=True)
class Selection:
    """The images of a source that are kept, and those that are dropped."""

    source: str
    pictures: tuple[Picture, ...]
    """Sorted by SHA-256, so that the order does not depend on where the images are stored."""
    dropped: tuple[Dropped, ...]
    """Sorted by name."""
    n_seen: int
    """The number of all images of the source, including dropped ones."""
    n_left: int = 0
    """The number of images that a limit left out without decoding their pixels."""
    hub: HubSource | None = None
    """The hub data set that the images came from."""

    def counts(self) -> dict[str, int]:
        """Returns the numbers of images seen and kept, and dropped by kind."""
        kinds = Counter(drop.kind for drop in self.dropped)
        names = ("unreadable", "too_small", "exact_duplicate", "near_duplicate")
        counts = {"seen": self.n_seen, **{name: kinds[name] for name in names}}
        return counts | {"over_limit": self.n_left, "kept": len(self.pictures)}

    def partners(self, index: int) -> Iterator[Picture]:
        """Yields the images that can be shown together with `pictures[at]`, the preferred one first.

        All images of a split form a ring, ordered by hash; the partner is the next image that is not near. It
        therefore depends only on these two images and on those between them that cannot be shown.
        """
        picture = self.pictures[index]
        for step in range(1, len(self.pictures)):
            other = self.pictures[(index + step) % len(self.pictures)]
            if other.split == picture.split and not near(picture.perceptual, other.perceptual):
                yield other


def split_of(sha256: str, ratio: float | None) -> str:
    """Returns the split of an image, by its content alone: "train" for a share of `ratio`, else "test"."""
    if ratio is None:
        return UNSPLIT
    return "train" if seed_of("split", sha256) < ratio * 2**63 else "test"


def select(
    source: ImageSource,
    *,
    ratio: float | None = None,
    limit: int | None = None,
    mapper: Mapper = map,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Selection:
    """Selects the images to use: readable, at least 28 px per side, without duplicates.

    Of near duplicates (by `perceptual.near`) the one with the smallest hash is kept, whatever its split.

    Args:
        ratio: The share of images in the split "train", strictly between 0 and 1; None for one split.
        limit: Keep at most this many images, the first ones by hash.
        mapper: Runs the reading and hashing and keeps the order (`map`, or that of a pool).
        on_progress: Called with the name of a stage ("reading", "looking"), the number of finished images,
            and the total.

    Raises:
        UsageError: for a ratio or limit out of range.
        DataError: if nothing is left.
    """
    if ratio is not None and not 0 < ratio < 1:
        raise UsageError(f"--split {ratio:g} is not a share strictly between 0 and 1, such as 0.9.")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} leaves no images: give 1 or more.")
    report = on_progress or (lambda stage, done, total: None)
    first: dict[str, _Known] = {}
    dropped = list(source.bad)
    places = source.images
    for known in _identified(places, mapper, lambda n: report("reading", n, len(places)), look=limit is None):
        if isinstance(known, Dropped):
            dropped.append(known)
        elif known.sha256 in first:
            same = sorted((first[known.sha256], known), key=lambda item: item.located.name)
            first[known.sha256] = same[0]
            dropped.append(Dropped(same[1].located.name, "exact_duplicate", known.sha256))
        else:
            first[known.sha256] = known
    # It is only known after reading all images which of several equal ones is kept. Until then the reason is the
    # hash.
    dropped = [
        replace(drop, reason=f"it is the same as {first[drop.reason].located.name}")
        if drop.kind == "exact_duplicate"
        else drop
        for drop in dropped
    ]
    unique = [first[digest] for digest in sorted(first)]
    distinct, more, n_looked = _distinct(unique, limit, mapper, report)
    dropped += more
    selection = Selection(
        source=source.name,
        pictures=tuple(
            Picture(item.located, item.sha256, item.width, item.height, looks, split_of(item.sha256, ratio))
            for item, looks in distinct
        ),
        dropped=tuple(sorted(dropped, key=lambda drop: (drop.name, drop.kind, drop.reason))),
        n_seen=len(places) + len(source.bad),
        n_left=len(unique) - n_looked,
        hub=source.hub,
    )
    if not selection.pictures:
        raise _nothing_left(selection)
    return selection


@dataclass(frozen=True, slots=True)
class _Known:
    """An image that is not damaged, as far as it was read."""

    located: ImageLocation
    sha256: str
    width: int
    height: int
    perceptual: Perceptual | None
    """None if only its header was read."""


def _identify(chunk: Sequence[ImageLocation], look: bool) -> list[_Known | Dropped]:
    return [_known(located, look) for located in chunk]


def _known(located: ImageLocation, look: bool) -> _Known | Dropped:
    try:
        image = images.from_bytes(located.read())
        width, height = images.size(image)
        if min(width, height) < MIN_SIDE:
            reason = f"it is {width} x {height} pixels, under {MIN_SIDE} a side"
            return Dropped(located.name, "too_small", reason)
        perceptual = perceptual_hash(images.reduced(image, REDUCED)) if look else None
    except images.ImageError as error:
        return Dropped(located.name, "unreadable", str(error))
    except OSError as error:
        return Dropped(located.name, "unreadable", (error.strerror or "it cannot be read").lower())
    return _Known(located, image.sha256, width, height, perceptual)


def _distinct(
    unique: Sequence[_Known],
    limit: int | None,
    mapper: Mapper,
    report: Callable[[str, int, int], None],
) -> tuple[list[tuple[_Known, Perceptual]], list[Dropped], int]:
    """Drops near duplicates. It reads all images, or only as many as `limit` needs.

    Returns:
        The kept images in order, the dropped ones, and the number of images whose pixels were used.
    """
    seen: list[tuple[_Known, Perceptual]] = []
    dropped: list[Dropped] = []
    n_looked = 0
    while True:
        wanted = len(unique) if limit is None else min(len(unique), n_looked + max(limit, 2 * CHUNK))
        for known in _looked(unique[n_looked:wanted], n_looked, wanted, mapper, report):
            if isinstance(known, Dropped):
                dropped.append(known)
            elif known.perceptual is not None:
                seen.append((known, known.perceptual))
        n_looked = wanted
        like = near_duplicates([looks for _, looks in seen])
        if n_looked == len(unique) or (limit is not None and like.count(None) >= limit):
            break
    distinct: list[tuple[_Known, Perceptual]] = []
    for index, ((known, looks), other) in enumerate(zip(seen, like, strict=True)):
        if limit is not None and len(distinct) == limit:
            n_looked -= len(seen) - index
            break
        if other is None:
            distinct.append((known, looks))
        else:
            reason = f"it looks like {seen[other][0].located.name}"
            dropped.append(Dropped(known.located.name, "near_duplicate", reason))
    return distinct, dropped, n_looked


def _looked(
    batch: Sequence[_Known], start: int, wanted: int, mapper: Mapper, report: Callable[[str, int, int], None]
) -> Iterable[_Known | Dropped]:
    if all(known.perceptual for known in batch):
        return batch
    places = [known.located for known in batch]
    return _identified(places, mapper, lambda done: report("looking", start + done, wanted), look=True)


def _identified(
    places: Sequence[ImageLocation], mapper: Mapper, report: Callable[[int], None], *, look: bool
) -> Iterator[_Known | Dropped]:
    """Yields each image with a check of its header, or (`look`) with a perceptual hash."""
    chunks = (places[start : start + CHUNK] for start in range(0, len(places), CHUNK))
    n_done = 0
    for results in mapper(partial(_identify, look=look), chunks):
        n_done += len(results)
        report(n_done)
        yield from results


def _nothing_left(selection: Selection) -> DataError:
    drop = selection.dropped[0]
    return DataError(
        f"None of the {selection.n_seen} images of {selection.source} can be used "
        f"({drop.name}: {drop.reason}): give other images."
    )
