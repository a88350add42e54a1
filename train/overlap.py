"""Finds training images that are also in an evaluation set, either byte for byte or by their appearance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.scratch import ScratchFolder
from ssl4rl_bench.task.pictures import ImageSource, open_source
from ssl4rl_bench.task.pictures.perceptual import Perceptual, near_pairs, perceptual_hash
from ssl4rl_bench.task.pictures.selection import REDUCED
from ssl4rl_bench.task.registry import DRAWN, task_images
from ssl4rl_bench.task.taskfile import load_taskfile, task_names
from ssl4rl_bench.train.recipe import DataPart

NamesByImage = Mapping[str, tuple[str, ...]]
"""Names of evaluation images by the SHA-256 of a training image, both sorted."""


class Comparable(Protocol):
    """An image to compare, such as a `Picture`."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the encoded image."""
        ...

    @property
    def perceptual(self) -> Perceptual:
        """Its perceptual hash."""
        ...


@dataclass(frozen=True, slots=True)
class Overlap:
    """The training images that are also in one evaluation set."""

    set: str
    """The evaluation set's name in the recipe."""
    images: int
    """Number of distinct images in the set, compared by their bytes."""
    exact: NamesByImage
    """Training images that are in the set byte for byte."""
    near: NamesByImage
    """Other training images that look like an image of the set (`perceptual.near`)."""
    unreadable: tuple[str, ...] = field(default=())
    """Images of the set that cannot be decoded, of which only the bytes were compared."""

    def as_json(self) -> dict[str, Any]:
        """Returns the counts, for ssl4rl.json and model cards."""
        return {"set": self.set, "images": self.images, "exact": len(self.exact), "near": len(self.near)}

    def details(self) -> dict[str, Any]:
        """Returns every training image that was found, for data.json."""
        return {
            "set": self.set,
            "images": self.images,
            "unreadable": list(self.unreadable),
            "exact": {sha256: list(names) for sha256, names in self.exact.items()},
            "near": {sha256: list(names) for sha256, names in self.near.items()},
        }


def find_overlaps(
    pictures: Sequence[Comparable],
    sets: Sequence[str],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Overlap, ...]:
    """Compares images with each evaluation set in turn.

    Args:
        pictures: distinct images.
        sets: tasks ("mmbench_dev_en", "ssl_rotation_90"), "task=path or hub id", or image sources
            (`pictures.open_source`). For an SSL task, all images that it may use are compared; for a hub data
            set, the split that the task uses, or "train" if no task is named.
        on_progress: called with the set's name, the number of its images that were compared, and the number
            of all its images.

    Raises:
        UsageError, DataError, MissingDependency: a set cannot be loaded; no set is skipped.
    """
    report = on_progress or (lambda name, done, total: None)
    return tuple(_overlap(pictures, spec, report) for spec in sets)


def enforce(overlaps: Sequence[Overlap], data: DataPart, which: str = "training images") -> frozenset[str]:
    """Returns the SHA-256 of the images to leave out; none without overlap or if transductive.

    Args:
        which: the images, for messages.

    Raises:
        UsageError: there is overlap, and the recipe neither drops these images nor trains on them on purpose.
    """
    overlapping = [overlap for overlap in overlaps if overlap.exact or overlap.near]
    if data.transductive or not overlapping:
        return frozenset()
    if data.overlap == "drop":
        return frozenset(sha256 for overlap in overlapping for sha256 in (*overlap.exact, *overlap.near))
    counts = ", ".join(
        f"{overlap.set} ({len(overlap.exact)} equal, {len(overlap.near)} that look alike)"
        for overlap in overlapping
    )
    raise UsageError(
        f'{which} are also evaluation images of {counts}: set overlap = "drop" in [data] to leave them '
        "out, or transductive = true to train on them on purpose, which the model card then states"
    )


def _overlap(pictures: Sequence[Comparable], spec: str, report: Callable[[str, int, int], None]) -> Overlap:
    names: dict[str, list[str]] = {}
    looks: dict[str, Perceptual] = {}
    unreadable: list[str] = []
    with ScratchFolder("images") as spool:
        named, total = _images(spec, Path(spool))
        for done, (name, data) in enumerate(named, start=1):
            sha256 = sha256_hex(data)
            if sha256 not in names:
                try:
                    looks[sha256] = perceptual_hash(images.reduced(images.from_bytes(data), REDUCED))
                except images.ImageError:
                    unreadable.append(name)
            names.setdefault(sha256, []).append(name)
            report(spec, done, total)
    if not looks:
        raise DataError(
            f"{spec} has no image that can be read, so training images cannot be compared with it."
        )
    exact = {p.sha256: tuple(sorted(names[p.sha256])) for p in pictures if p.sha256 in names}
    others = [picture for picture in pictures if picture.sha256 not in exact]
    shown = list(looks)
    near: dict[str, list[str]] = {}
    for i, j in near_pairs([picture.perceptual for picture in others], list(looks.values())):
        near.setdefault(others[i].sha256, []).extend(names[shown[j]])
    return Overlap(
        set=spec,
        images=len(names),
        exact=exact,
        near={sha256: tuple(sorted(alike)) for sha256, alike in near.items()},
        unreadable=tuple(sorted(unreadable)),
    )


def _images(spec: str, spool: Path) -> tuple[Iterable[tuple[str, bytes]], int]:
    """Returns the names and bytes of a set's images, and the number of images."""
    name, _, data = spec.partition("=")
    split = "train"
    if not Path(spec).expanduser().exists() and (data or full_name(spec) in task_names()):
        task = load_taskfile(name)
        if task.kind == "ssl":
            split, spec = task.split, data or task.images or DRAWN
        elif data:
            named = list(task_images(name, data=data))
            return named, len(named)
    source = open_source(spec, spool=spool, task_images=task_images, split=split)
    if source.bad:
        bad = source.bad[0]
        raise DataError(
            f"{spec}: {len(source.bad)} images cannot be extracted from their rows ({bad.name}: {bad.reason}), so "
            "training images cannot be compared with them: correct the data."
        )
    return _read(spec, source), len(source.images)


def _read(spec: str, source: ImageSource) -> Iterator[tuple[str, bytes]]:
    for located in source.images:
        try:
            yield located.name, located.read()
        except OSError as error:
            raise DataError(f"{spec}: {located.name} cannot be read ({error.strerror}).") from None
