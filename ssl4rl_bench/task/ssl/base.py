"""The protocol of an SSL task: one object that corrupts an image, asks about it, and scores the reply.

The same object measures a model (a probe), writes data sets, and rewards replies in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ssl4rl_bench.core.types import Completion, EncodedImage, Message, Score

if TYPE_CHECKING:
    from PIL import Image

MIN_SIDE = 28
"""Pixels: no produced image may have a shorter side (Qwen2.5-VL's merged patch)."""

GRID = 16
"""Pixels: crops on this grid have a JPEG's blocks (8, or 16 with halved colour) in the same phase, turned or not."""

CONVENTIONS = ("ours", "released")
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


class WholeAnswer:
    """Of tasks with few answers, each of which is guessed as a whole from all images."""

    __slots__ = ()
    few_targets = True

    def guesses(self, corrupted: Corrupted) -> Iterator[tuple[str, Sequence[Image.Image]]]:
        yield corrupted.target, corrupted.images

    def columns(self, n_images: int) -> int:
        return n_images

    def released_value(self, answer: str, target: str) -> float:
        return float(answer in [right.strip() for right in target.split(",")])


class SSLTask(Protocol):
    """A self-supervised task with one set of parameters."""

    @property
    def kind(self) -> str:
        """rotation, jigsaw, contrastive or position."""
        ...

    @property
    def identity(self) -> str:
        """Kind, version and all parameters that change a sample, as text: part of every seed."""
        ...

    @property
    def difficulty(self) -> str:
        """For people: "step 90", "3x3", "strong"."""
        ...

    @property
    def chance(self) -> float:
        """Probability that a blind guess among the valid answers is right; the best constant answer's too."""
        ...

    @property
    def few_targets(self) -> bool:
        """Whether there are so few answers that accuracy can be told for each."""
        ...

    @property
    def pairs(self) -> bool:
        """Whether each image gives two samples, one alone and one with another image (contrastive)."""
        ...

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
        ...

    def columns(self, n_images: int) -> int:
        """How many of a sample's images stand side by side where they are drawn."""
        ...

    def messages(self, images: Sequence[EncodedImage], style: str = "ssl4rl") -> tuple[Message, ...]:
        """The prompt about the images that `corrupt` made, in a prompt style (`prompts.prompt_styles`)."""
        ...

    def score(self, completion: Completion, target: str, extractor: str = "default") -> Score:
        """Reads and scores a reply. `value` is 1.0 or 0.0; `parts` holds sub-metrics. Pure.

        An error, or reasoning without a reply, has no value. Any extractor but "strict" reads as "default" does.
        """
        ...

    def released_value(self, answer: str, target: str) -> float:
        """What SSL4RL's released reward pays for what stands in a reply's tag, in [0, 1]."""
        ...

    def has_answer(self, target: object) -> bool:
        """Whether this is the canonical form of an answer to some sample of the task."""
        ...

    def gold(self, target: str) -> tuple[str, ...]:
        """Answers that must score 1.0, the canonical one first."""
        ...

    def wrong(self, target: str) -> str:
        """A valid answer that must score 0.0."""
        ...
