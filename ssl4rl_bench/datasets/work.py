"""What a worker does: from a few images to the samples made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.images import ImageError
from ssl4rl_bench.core.types import EncodedImage, ImagePart, TextPart
from ssl4rl_bench.task.pictures import Dropped, Made, Picture, Selection, make
from ssl4rl_bench.task.pictures.making import N_PARTNERS, Opened
from ssl4rl_bench.task.ssl.base import SSLTask, Unusable

CHUNK_SAMPLES, CHUNK_PIXELS = 16, 8_000_000
"""A worker makes this many samples of each role at a time, or fewer of large images. No output depends on it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is made of each image."""

    task: SSLTask
    name: str
    """Of the task, with the prefix."""
    style: str
    """Prompt style."""
    per_image: int
    """Samples (of a task of pairs: pairs of samples) of an image."""


@dataclass(frozen=True, slots=True)
class Job:
    """Images for a worker, each with those that may be shown beside it."""

    recipe: Recipe
    pictures: tuple[Picture, ...]
    partners: tuple[tuple[Picture, ...], ...]
    indices: range
    """Which samples of each image."""


@dataclass(frozen=True, slots=True)
class Record:
    """One sample, as all formats write it."""

    id: str
    task: str
    kind: str
    split: str
    index: int
    role: str
    images: tuple[EncodedImage, ...] = field(repr=False)
    prompt: str
    """The text part; it comes after all images."""
    target: str
    sources: tuple[str, ...]
    """Sha256 of the images that it was made from."""

    @property
    def number(self) -> int:
        """A whole number below 2**53 that is as good as unique and does not depend on other samples."""
        return seed_of("sample", self.id) >> 10


def jobs(recipe: Recipe, selection: Selection, split: str) -> Iterator[Job]:
    """All samples of a split's images, in order."""
    chunk: list[int] = []
    n_pixels = 0
    for at, picture in enumerate(selection.kept):
        if picture.split != split:
            continue
        chunk.append(at)
        n_pixels += picture.width * picture.height * recipe.per_image
        if len(chunk) * recipe.per_image >= CHUNK_SAMPLES or n_pixels > CHUNK_PIXELS:
            yield from _jobs(recipe, selection, chunk)
            chunk, n_pixels = [], 0
    yield from _jobs(recipe, selection, chunk)


def _jobs(recipe: Recipe, selection: Selection, chunk: Sequence[int]) -> Iterator[Job]:
    """One job, or several if one image alone has many samples."""
    pictures = tuple(selection.kept[at] for at in chunk)
    partners: tuple[tuple[Picture, ...], ...] = ((),) * len(chunk)
    if recipe.task.pairs:
        partners = tuple(_first_few(selection.partners(at)) for at in chunk)
    step = CHUNK_SAMPLES if len(chunk) == 1 else recipe.per_image
    for start in range(0, recipe.per_image if chunk else 0, step):
        yield Job(recipe, pictures, partners, range(start, min(start + step, recipe.per_image)))


def _first_few(pictures: Iterator[Picture]) -> tuple[Picture, ...]:
    return tuple(picture for picture, _ in zip(pictures, range(N_PARTNERS), strict=False))


def do(job: Job) -> tuple[int, list[Record | Dropped]]:
    """Makes the samples of a job: how many images it finished, and the samples or why one cannot be made.

    Raises:
        DataError: if a file has changed since it was selected.
    """
    recipe, shelf = job.recipe, _Shelf()
    out: list[Record | Dropped] = []
    for picture, partners in zip(job.pictures, job.partners, strict=True):
        name = picture.located.name
        try:
            opened = shelf.open(picture)
        except ImageError as error:
            if job.indices.start == 0:
                out.append(Dropped(name, "unreadable", str(error)))
            continue
        for index in job.indices:
            try:
                made = make(recipe.task, opened, index, shelf.readable(partners))
            except Unusable as error:
                out.append(Dropped(name, "unusable", str(error)))
            else:
                out += [_record(recipe, one, picture.split) for one in made]
    finished = job.indices.stop == recipe.per_image
    return finished * len(job.pictures), out


class _Shelf:
    """The images decoded last: in a ring the partner of one image is the next image."""

    SIZE = 3

    def __init__(self) -> None:
        self._opened: dict[str, Opened] = {}

    def open(self, picture: Picture) -> Opened:
        if picture.sha256 not in self._opened:
            opened = Opened.of(picture.read())
            while len(self._opened) >= self.SIZE:
                del self._opened[next(iter(self._opened))]
            self._opened[picture.sha256] = opened
        return self._opened[picture.sha256]

    def readable(self, pictures: Iterable[Picture]) -> Iterator[Opened]:
        for picture in pictures:
            try:
                yield self.open(picture)
            except ImageError:
                continue


def _record(recipe: Recipe, made: Made, split: str) -> Record:
    return Record(
        id=made.id,
        task=recipe.name,
        kind=recipe.task.kind,
        split=split,
        index=made.index,
        role=made.role,
        images=made.images,
        prompt=_text(recipe, made.images),
        target=made.target,
        sources=made.sources,
    )


def _text(recipe: Recipe, images: Sequence[EncodedImage]) -> str:
    """The prompt's text: every format here puts all images before it, as the tasks do."""
    (message,) = recipe.task.messages(images, recipe.style)
    *shown, text = message.content
    if [part.image for part in shown if isinstance(part, ImagePart)] != list(images) or not isinstance(
        text, TextPart
    ):
        raise ValueError(f"{recipe.name} does not show all images and then a text")
    return text.text
