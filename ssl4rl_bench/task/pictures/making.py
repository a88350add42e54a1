"""Makes the samples of one image, identically for a probe, for a data set, and for each epoch of training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import EncodedImage, TextPart
from ssl4rl_bench.task.pictures.drawn import shapes_of
from ssl4rl_bench.task.ssl.base import Corrupted, SSLTask, Unusable

if TYPE_CHECKING:
    from PIL import Image

    from ssl4rl_bench.task.scenes.question import PlacedShape

ALONE, OTHER = "alone", "other"
N_PARTNERS = 8
"""The maximum number of other images that are tried for a sample with two images."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An image in both encoded and decoded form."""

    encoded: EncodedImage
    pixels: Image.Image = field(repr=False)
    plain: bool
    """Whether every reader decodes the encoded bytes to these pixels (`images.decode_and_report`)."""
    name: str = ""
    """Its name in its source (`ImageLocation.name`), by which a built-in drawing is recognised."""

    @classmethod
    def of(cls, encoded: EncodedImage, name: str = "") -> Opened:
        """Decodes an image.

        Raises:
            ImageError: as `images.decode`.
        """
        return cls(encoded, *images.decode_and_report(encoded), name)

    def shapes(self) -> tuple[PlacedShape, ...] | None:
        """Returns what the picture shows; None if it is not a built-in drawing (`drawn.shapes_of`)."""
        return shapes_of(self.name, self.encoded.sha256)


@dataclass(frozen=True, slots=True)
class Made:
    """One sample of an image."""

    role: str
    """"alone", or "other" for a sample that shows another image too."""
    index: int
    images: tuple[EncodedImage, ...]
    """In the order shown, losslessly encoded; an image shown unchanged keeps the bytes of the source."""
    target: str
    text: str
    """`Corrupted.text`."""
    sources: tuple[str, ...]
    """SHA-256 of the image, and of the other image if there is one."""

    @property
    def id(self) -> str:
        """The id: the image's hash, the index, and the role "other". Unique if images are distinct."""
        role = "" if self.role == ALONE else f"-{self.role}"
        return f"{self.sources[0][:24]}-{self.index}{role}"


def prompt_text(task: SSLTask, style: str, text: str = "") -> str:
    """Returns the text of a task's prompt in a prompt style; it comes after all images.

    Args:
        text: the sample's own text (`Corrupted.text`).

    Raises:
        UsageError: for a style that SSL tasks do not have.
    """
    part = task.messages((), style, text)[0].content[-1]
    assert isinstance(part, TextPart)
    return part.text


def seed_for(task: SSLTask, sha256: str, index: int, role: str = ALONE) -> int:
    """Returns the seed of a sample, from the task and its parameters, the image's content, index and role."""
    if task.pairs:
        return seed_of(task.identity, sha256, index, role)
    return seed_of(task.identity, sha256, index)


def corrupt(
    task: SSLTask, image: Opened, index: int = 0, role: str = ALONE, partners: Iterable[Opened] = ()
) -> tuple[Corrupted, tuple[Opened, ...]]:
    """Returns the `index`-th corruption of an image in a role, and the images that it was made from.

    Args:
        partners: For the role OTHER: images to show with this one (`Selection.partners`). The first one
            that the task accepts is used; at most `N_PARTNERS` are tried.

    Raises:
        Unusable: if the task cannot make such a sample of the image.
        UsageError: if the task needs a built-in drawing, and the image is not one.
    """
    seed = seed_for(task, image.encoded.sha256, index, role)
    if task.drawings_only:
        if (shapes := image.shapes()) is None:
            raise UsageError(
                f"{task.kind} asks about built-in drawings only, and {image.name or 'an image'} is not one: "
                "choose the images scenes or scenes:NAME:400:attribute_recognition, or leave the task out"
            )
        return task.corrupt_drawing(image.pixels, shapes, seed), (image,)
    if role == ALONE:
        return task.corrupt(image.pixels, seed), (image,)
    why = "there is no other image to show with it"
    for other in islice(partners, N_PARTNERS):
        try:
            return task.corrupt(image.pixels, seed, other.pixels), (image, other)
        except Unusable as error:
            why = str(error)
    raise Unusable(why)


def make(task: SSLTask, image: Opened, index: int = 0, partners: Iterable[Opened] = ()) -> list[Made]:
    """Makes the `index`-th sample of an image.

    For a task of pairs it makes two samples, both or none, so that targets stay balanced.

    Args:
        partners: As for `corrupt`.

    Raises:
        Unusable, UsageError: as `corrupt`.
    """
    return [_encoded(*corrupt(task, image, index, role, partners), role, index) for role in roles(task)]


def roles(task: SSLTask) -> tuple[str, ...]:
    """Returns the roles of an image's samples: one, or two for a task of pairs."""
    return (ALONE, OTHER) if task.pairs else (ALONE,)


def _encoded(corrupted: Corrupted, sources: tuple[Opened, ...], role: str, index: int) -> Made:
    done = {id(source.pixels): source.encoded for source in sources if source.plain}
    for image in corrupted.images:
        if id(image) not in done:
            done[id(image)] = images.lossless(image)
    return Made(
        role=role,
        index=index,
        images=tuple(done[id(image)] for image in corrupted.images),
        target=corrupted.target,
        text=corrupted.text,
        sources=tuple(source.encoded.sha256 for source in sources),
    )
