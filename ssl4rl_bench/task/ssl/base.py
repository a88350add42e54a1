"""The protocol of an SSL task: one object that corrupts an image, asks about it, and scores the reply.

The same object measures a model (a probe), writes data sets, and rewards replies in training.
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

MIN_SIDE = 28
"""Pixels: no produced image may have a shorter side (Qwen2.5-VL's merged patch)."""

GRID = 16
"""Pixels: crops on this grid have a JPEG's blocks (8, or 16 with halved colour) in the same phase, turned or not."""

Convention = Literal["ours", "released"]
"""`released` keeps SSL4RL's label, answer format, image order and corruption, leaks included, to compare with."""

RELEASED_VERSION = "1"
"""Version of the samples of the convention `released`; it stays when ours changes."""


class Unusable(Exception):
    """An image that this task can make no sample of; the message is a short reason without a full stop."""


@dataclass(frozen=True, slots=True)
class Corrupted:
    """What a corruption made of an image."""

    images: tuple[Image.Image, ...]
    """RGB, in the order shown. One that *is* (`is`) the image given stands for it unchanged."""
    target: str
    """The right answer, in its canonical form."""


class SSLTask(Protocol):
    """A self-supervised task with one set of parameters: a frozen dataclass whose fields are the parameters.

    What is the same for all tasks, or for all with few answers, is defined here.
    """

    __slots__ = ()

    kind: ClassVar[str]
    """rotation, jigsaw, contrastive or position."""
    parts: ClassVar[tuple[str, ...]]
    """Names of the sub-metrics; all are 0 for a reply without an answer."""
    few_targets: ClassVar[bool] = True
    """Whether there are so few answers that accuracy can be told for each."""
    pairs: ClassVar[bool] = False
    """Whether each image gives two samples, one alone and one with another image (contrastive)."""

    @property
    def convention(self) -> Convention:
        """ "ours" or "released"."""
        ...

    @property
    def version(self) -> str:
        """Of the samples of the convention `ours`."""
        ...

    @property
    def identity(self) -> str:
        """Kind, version and all parameters that change a sample, as text: part of every seed."""
        version = RELEASED_VERSION if self.convention == "released" else self.version
        given = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        told = (
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in given
        )
        return f"{self.kind}/{version} {' '.join(told)}"

    @property
    def difficulty(self) -> str:
        """For people: "step 90", "3x3", "strong"."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """The answers in their canonical form, where there are few."""
        ...

    @property
    def chance(self) -> float:
        """Probability that a blind guess among the valid answers is right; the best constant answer's too."""
        return 1 / len(self.labels)

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Makes a sample: a function of its arguments, the same on every machine.

        Args:
            image: RGB.
            seed: of this sample (`hashing.seed_of(identity, image sha256, index)`).
            other: where `pairs`: another image, for a sample that shows both; None for one that shows `image` only.

        Raises:
            Unusable: if an image is too small or has too little to tell.
        """
        ...

    def guesses(self, corrupted: Corrupted) -> Iterator[tuple[str, Sequence[Image.Image]]]:
        """What a guesser without knowledge of the content may try: an answer, and the images to guess it from."""
        yield corrupted.target, corrupted.images

    def columns(self, n_images: int) -> int:
        """How many of a sample's images stand side by side where they are drawn."""
        return n_images

    def values(self) -> Mapping[str, object]:
        """What the templates of the kind's prompt name."""
        return {}

    def messages(self, images: Sequence[EncodedImage], style: str = "ssl4rl") -> tuple[Message, ...]:
        """The prompt about the images that `corrupt` made, in a prompt style (`prompts.prompt_styles`).

        One user message: all images in order, then the text, so that prompts on one image share a prefix.
        """
        text = wording.render(self.kind, style, self.convention, **self.values())
        return (Message("user", (*map(ImagePart, images), TextPart(text))),)

    def parse(self, text: str) -> str | None:
        """The canonical answer that all of a short text is, or None."""
        ...

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """The sub-metrics of a canonical answer. `exact` is the score's value."""
        ...

    def score(self, completion: Completion, target: str, extractor: str = "default") -> Score:
        """Reads and scores a reply. `value` is 1.0 or 0.0; `parts` holds sub-metrics (`grade`). Pure.

        An error, or reasoning without a reply, has no value. Any extractor but "strict" reads as "default" does.
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
        """What SSL4RL's released reward pays for what stands in a reply's tag, in [0, 1]."""
        return float(answer in [right.strip() for right in target.split(",")])

    def has_answer(self, target: object) -> bool:
        """Whether this is the canonical form of an answer to some sample of the task."""
        return target in self.labels

    def gold(self, target: str) -> tuple[str, ...]:
        """Answers that must score 1.0, the canonical one first."""
        ...

    def wrong(self, target: str) -> str:
        """A valid answer that must score 0.0."""
        return self.labels[(self.labels.index(target) + 1) % len(self.labels)]
