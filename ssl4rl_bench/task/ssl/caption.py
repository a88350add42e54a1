"""Caption: which word of a caption is false?

The idea is ViCrit's (arXiv 2506.10128), which replaces a phrase of a human caption by one that a model finds
plausible. Here the picture is a built-in drawing, so that a caption is true by construction, and a colour, a shape
or a place of it is replaced by another one. Exactly one word is then false.

Without the picture, every word is equally likely to be the false one. The shapes of a drawing have different
colours, shapes and places, which are drawn uniformly; they are named in a random order; the word to be replaced is
drawn uniformly, and its replacement uniformly among the words that the caption does not use yet. A caption with a
false word is therefore a true caption of another drawing of the same kind, and each of its words has the same
probability of being the false one. (A replacement that repeats a colour, or breaks an order, would give itself away.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.scenes.draw import COLOURS, QUADRANTS, SHAPES
from ssl4rl_bench.task.scenes.question import PlacedShape
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.base import Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.rng import Stream

PLACES = tuple(place.replace(" ", "-") for place in QUADRANTS)
VOCABULARY = (tuple(COLOURS), tuple(SHAPES), PLACES)
"""The words that describe a shape, by kind: its colour, its shape and its place."""
WORDS = tuple(word for words in VOCABULARY for word in words)
_ANY = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in WORDS))


@dataclass(frozen=True, slots=True)
class Caption(SSLTask):
    """Describes two or three shapes of a drawing and replaces one word; all words are equally likely."""

    shapes: int = 2
    """The number of shapes that the caption describes: 2 or 3."""

    kind = "caption"
    version = "1"
    parts = ("exact",)
    few_targets = False
    texts = True
    drawings_only = True
    convention: ClassVar[Convention] = "ours"
    labels = WORDS

    def __post_init__(self) -> None:
        if self.shapes not in (2, 3):
            raise UsageError(f"caption shapes {self.shapes} is not 2 or 3")

    @property
    def difficulty(self) -> str:
        return f"{self.shapes} shapes"

    @property
    def chance(self) -> float:
        return 1 / (self.shapes * len(VOCABULARY))

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Raises `Unusable`, because a picture alone does not say what is true of it."""
        raise Unusable("it is not known what it shows")

    def corrupt_drawing(
        self,
        image: Image.Image,
        shapes: Sequence[PlacedShape],
        seed: int,
        other: Image.Image | None = None,
    ) -> Corrupted:
        """Makes a sample with the unchanged picture, and a caption with one false word as its text.

        Raises:
            Unusable: if the picture shows too few shapes, or something else.
        """
        if len(shapes) < self.shapes:
            raise Unusable(f"it does not show {self.shapes} shapes, or shows something else too")
        stream = Stream(seed)
        described = [shapes[index] for index in stream.permutation(len(shapes))[: self.shapes]]
        words = [[one.colour, one.shape, one.place.replace(" ", "-")] for one in described]
        number, kind = divmod(stream.below(self.shapes * len(VOCABULARY)), len(VOCABULARY))
        used = {of_shape[kind] for of_shape in words}
        unused = [word for word in VOCABULARY[kind] if word not in used]
        words[number][kind] = target = unused[stream.below(len(unused))]
        return Corrupted((image,), target, caption_of(words))

    def candidates(self, text: str) -> Sequence[str]:
        """Returns the words of a caption that may be false, in its order."""
        return _ANY.findall(text)

    def values(self) -> Mapping[str, object]:
        return {}

    def parse(self, text: str) -> str | None:
        """Reads one of `WORDS`, whether or not the caption uses it."""
        return answers.word(text, WORDS)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        return {"exact": float(answer == target)}

    def gold(self, target: str) -> tuple[str, ...]:
        return target, target.title(), f'"{target}"', f"the word '{target}'", f"{target}."


def caption_of(words: Sequence[Sequence[str]]) -> str:
    """Returns a sentence that describes shapes, each given by its colour, its name and its place."""
    *first, last = (
        f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape} at the {place}"
        for colour, shape, place in words
    )
    return f"The picture shows {', '.join(first)} and {last}."
