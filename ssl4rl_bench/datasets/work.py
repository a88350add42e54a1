"""Divides the images into jobs for workers, and makes the samples of a job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.images import ImageError
from ssl4rl_bench.task.pictures import Dropped, Made, Picture, Selection, make
from ssl4rl_bench.task.pictures.making import N_PARTNERS, Opened, prompt_text
from ssl4rl_bench.task.ssl.base import SSLTask, Unusable

CHUNK_SAMPLES, CHUNK_PIXELS = 16, 8_000_000
"""A job has about this many samples of each role, or fewer if images are large. The output is unaffected."""


@dataclass(frozen=True)
class SampleSettings:
    """The settings for making samples from images."""

    task: SSLTask
    name: str
    """The name of the task, with the prefix."""
    style: str
    """The prompt style."""
    per_image: int
    """The number of samples (of pairs of samples, for a task of pairs) per image."""

    def prompt(self, text: str = "") -> str:
        """Returns the text after the images, which is the same for samples with the same text of their own."""
        return prompt_text(self.task, self.style, text)


@dataclass(frozen=True, slots=True)
class BuildJob:
    """Images for a worker, each with the other images that may be shown with it."""

    recipe: SampleSettings
    pictures: tuple[Picture, ...]
    partners: tuple[tuple[Picture, ...], ...]
    indices: range
    """The indices of the samples to make from each image."""


@dataclass(frozen=True, slots=True)
class Record:
    """One sample, in the form that is passed to all formats."""

    recipe: SampleSettings
    made: Made
    split: str

    @property
    def prompt(self) -> str:
        """The text after the images."""
        return self.recipe.prompt(self.made.text)

    @property
    def number(self) -> int:
        """A practically unique integer below 2**53 that does not depend on other samples."""
        return seed_of("sample", self.made.id) >> 10


def jobs(recipe: SampleSettings, selection: Selection, split: str) -> Iterator[BuildJob]:
    """Yields jobs that cover all samples of a split's images, in order."""
    chunk: list[int] = []
    n_pixels = 0
    for index, picture in enumerate(selection.pictures):
        if picture.split != split:
            continue
        chunk.append(index)
        n_pixels += picture.width * picture.height * recipe.per_image
        if len(chunk) * recipe.per_image >= CHUNK_SAMPLES or n_pixels > CHUNK_PIXELS:
            yield from _jobs(recipe, selection, chunk)
            chunk, n_pixels = [], 0
    yield from _jobs(recipe, selection, chunk)


def _jobs(recipe: SampleSettings, selection: Selection, chunk: Sequence[int]) -> Iterator[BuildJob]:
    """Yields one job for a chunk of images, or several if a single image has many samples."""
    pictures = tuple(selection.pictures[index] for index in chunk)
    others = (selection.partners(index) if recipe.task.pairs else () for index in chunk)
    partners = tuple(tuple(islice(pictures, N_PARTNERS)) for pictures in others)
    step = CHUNK_SAMPLES if len(chunk) == 1 else recipe.per_image
    for start in range(0, recipe.per_image if chunk else 0, step):
        yield BuildJob(recipe, pictures, partners, range(start, min(start + step, recipe.per_image)))


def do(job: BuildJob) -> tuple[int, list[Record | Dropped]]:
    """Makes the samples of a job.

    Returns:
        The number of images that the job finished, and the samples or the reasons why one cannot be made.

    Raises:
        DataError: if a file has changed since it was selected.
    """
    recipe = job.recipe
    # Partners form a ring: an image's partner is usually the next image, so a small cache suffices.
    opened_of = lru_cache(maxsize=3)(lambda picture: Opened.of(picture.read(), picture.located.name))

    def readable(pictures: Iterable[Picture]) -> Iterator[Opened]:
        for picture in pictures:
            with suppress(ImageError):
                yield opened_of(picture)

    out: list[Record | Dropped] = []
    for picture, partners in zip(job.pictures, job.partners, strict=True):
        name = picture.located.name
        try:
            opened = opened_of(picture)
        except ImageError as error:
            if job.indices.start == 0:
                out.append(Dropped(name, "unreadable", str(error)))
            continue
        for index in job.indices:
            try:
                made = make(recipe.task, opened, index, readable(partners))
            except Unusable as error:
                out.append(Dropped(name, "unusable", str(error)))
            else:
                out += [Record(recipe, one, picture.split) for one in made]
    finished = job.indices.stop == recipe.per_image
    return finished * len(job.pictures), out
