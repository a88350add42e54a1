"""The protocol of an SSL task: one object that corrupts an image, asks about it, and scores the reply.

The same object is used to measure a model (a probe), to write data sets, and to reward replies in training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from ssl4rl_bench.core.types import Completion, EncodedImage, ImagePart, Message, Score, Status, TextPart
from ssl4rl_bench.task.ssl import wording

if TYPE_CHECKING:
    from PIL import Image

    from ssl4rl_bench.task.scenes.question import PlacedShape

MIN_SIDE = 28
"""Pixels: the smallest side that a produced image may have (the side of Qwen2.5-VL's merged patch)."""

GRID = 16
"""Pixels: in crops on this grid, JPEG blocks (8, or 16 with halved colour) keep their phase under turns."""

Convention = Literal["ours", "released"]
"""`released` keeps SSL4RL's label, answer format, image order and corruption, with its leaks, to compare."""

RELEASED_VERSION = "1"
"""The version of the samples of the convention `released`; it does not change when ours does."""


class Unusable(Exception):
    """Raised for an image that the task can make no sample of; the message has no full stop."""


@dataclass(frozen=True, slots=True)
class Corrupted:
    """The result of corrupting an image."""

    images: tuple[Image.Image, ...]
    """RGB, in the order shown. An unchanged input image is included as the same object (`is`)."""
    target: str
    """The right answer, in its canonical form."""
    text: str = ""
    """The part of the prompt that belongs to this sample, for a task with `texts`: a caption."""


class SSLTask(Protocol):
    """A self-supervised task with one set of parameters: a frozen dataclass whose fields are the parameters.

    Members that all tasks share, or all tasks with few answers, are defined here.
    """

    __slots__ = ()

    kind: ClassVar[str]
    """One of `ssl.KINDS`."""
    few_targets: ClassVar[bool] = True
    """Whether there are so few answers that accuracy can be reported per answer."""
    pairs: ClassVar[bool] = False
    """Whether each image gives two samples: one alone, and one together with another image (contrastive)."""
    texts: ClassVar[bool] = False
    """Whether each sample has a text (`Corrupted.text`), on which its possible answers depend (caption)."""
    drawings_only: ClassVar[bool] = False
    """Whether it must know what a picture shows (`corrupt_drawing`), so that only built-in drawings can be used."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the sub-metrics; all of them are 0 for a reply without an answer."""
        ...

    @property
    def convention(self) -> Convention:
        """Either "ours" or "released"."""
        ...

    @property
    def version(self) -> str:
        """The version of the samples of the convention `ours`."""
        ...

    @property
    def identity(self) -> str:
        """The kind, version and all parameters that change a sample, as text. It is part of every seed."""
        version = RELEASED_VERSION if self.convention == "released" else self.version
        given = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]  # its subclasses are
        parameters = (
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in given
        )
        return f"{self.kind}/{version} {' '.join(parameters)}"

    @property
    def difficulty(self) -> str:
        """The difficulty as text for people: "step 90", "3x3", "strong"."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """All answers in their canonical form, for a task with few answers."""
        ...

    @property
    def chance(self) -> float:
        """The probability that a random valid answer is right; a constant answer is right no more often."""
        return 1 / len(self.labels)

    @property
    def part_chance(self) -> float:
        """The chance level of one of `guesses`; for an answer that is a list, that of one element."""
        return self.chance

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Makes a sample. The result depends only on the arguments, and is the same on every machine.

        Args:
            image: RGB.
            seed: The seed of this sample (`identity.seed_of(identity, image sha256, index)`).
            other: For a task with `pairs`: another image, for a sample that shows both; None for a sample
                that shows `image` only.

        Raises:
            Unusable: if an image is too small, or its content does not determine the answer.
        """
        ...

    def corrupt_drawing(
        self,
        image: Image.Image,
        shapes: Sequence[PlacedShape],
        seed: int,
        other: Image.Image | None = None,
    ) -> Corrupted:
        """Makes a sample of a built-in drawing of which the shapes are known; by default without them.

        Args:
            shapes: `DrawnQuestion.shapes`; empty if the drawing shows something else.
            image, seed, other: as `corrupt`.

        Raises:
            Unusable: as `corrupt`.
        """
        return self.corrupt(image, seed, other)

    def guesses(self, corrupted: Corrupted) -> Iterator[tuple[str, Sequence[Image.Image]]]:
        """Yields what `leaks` lets a classifier guess: an answer, and the images to guess it from."""
        yield corrupted.target, corrupted.images

    def columns(self, n_images: int) -> int:
        """Returns the number of columns in which a sample's images are laid out for display."""
        return n_images

    def values(self) -> Mapping[str, object]:
        """Returns the variables of the templates of the kind's prompt, without the sample's text."""
        return {}

    def candidates(self, text: str) -> Sequence[str]:
        """Returns the answers that are possible for a sample with this text, in their canonical form."""
        return self.labels

    def messages(
        self, images: Sequence[EncodedImage], style: str = "ssl4rl", text: str = ""
    ) -> tuple[Message, ...]:
        """Returns the prompt about images from `corrupt`, in a prompt style (`prompts.prompt_styles`).

        It is one user message with all images in order, then the text. Prompts about one image thus share a
        prefix.

        Args:
            text: `Corrupted.text`.
        """
        prompt = wording.render_prompt(self.kind, style, self.convention, text=text, **self.values())
        return (Message("user", (*map(ImagePart, images), TextPart(prompt))),)

    def parse(self, text: str) -> str | None:
        """Returns the canonical form of an answer, or None if the text as a whole is not an answer."""
        ...

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns the sub-metrics of a canonical answer. `exact` is the score's value."""
        ...

    def score(self, completion: Completion, target: str, extractor: str = "default") -> Score:
        """Reads and scores a reply. `value` is 1.0 or 0.0; `parts` holds the sub-metrics (`grade`). Pure.

        An error, or reasoning without a reply, has the value None. Every extractor except "strict" works like
        "default".
        """
        from ssl4rl_bench.task.extract import free  # here, because its patterns take 30 ms to compile

        if completion.has_no_content:
            return Score(value=None, answer=None, status=Status.NO_CONTENT)
        reading = free.read_free(completion.text, self.parse, completion.finish_reason, extractor)
        if reading.status is Status.ERROR:
            return Score(value=None, answer=None, status=Status.ERROR)
        parts = dict.fromkeys(self.parts, 0.0)
        if reading.answer is not None:
            parts |= self.grade(reading.answer, target)
        return Score(value=parts["exact"], answer=reading.answer, status=reading.status, parts=parts)

    def released_value(self, answer: str, target: str) -> float:
        """Returns the reward, in [0, 1], of SSL4RL's released code for the text in a reply's answer tag."""
        return float(answer in [right.strip() for right in target.split(",")])

    def has_answer(self, target: object) -> bool:
        """Whether `target` is the canonical form of an answer to some sample of the task."""
        return target in self.labels

    def gold(self, target: str) -> tuple[str, ...]:
        """Returns answers that must score 1.0, the canonical one first."""
        ...

    def wrong(self, target: str) -> str:
        """Returns a valid answer that must score 0.0."""
        return self.labels[(self.labels.index(target) + 1) % len(self.labels)]
