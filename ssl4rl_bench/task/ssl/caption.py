"""Caption: which word of a caption is false?

The idea is ViCrit's (arXiv 2506.10128), which alters a few words of a caption that people wrote. Here the picture is
a built-in drawing, so that a caption is true by construction, and a colour, a shape or a place in it is replaced by
another one. Exactly one word is then false.

Without the picture, every word is equally likely to be the false one. The shapes of a drawing have different
colours, names and places, which are drawn uniformly; two of them are described, in a random order; the word to be
replaced is drawn uniformly, and its replacement uniformly among words that the caption does not use. A caption with a
false word is therefore a true caption of another drawing, and each of its words is the false one with the same
probability. (A replacement that repeats a colour, or breaks an order, would give itself away.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from PIL import Image

from ssl4rl_bench.task.scenes.draw import COLOURS, QUADRANTS, SHAPES
from ssl4rl_bench.task.scenes.question import PlacedShape
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.base import Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.rng import Stream

PLACES = tuple(place.replace(" ", "-") for place in QUADRANTS)
VOCABULARY = (tuple(COLOURS), tuple(SHAPES), PLACES)
"""The words that describe a shape, by kind: its colour, its shape and its place."""
DESCRIBED = 2
"""The number of shapes that a caption describes."""
SHAPES_SHOWN = {"easy": (2, 3), "hard": (3, 4)}
"""How many shapes the picture may have. With four, every place occurs in it; with two, the caption describes all."""
WORDS = tuple(word for words in VOCABULARY for word in words)
_ANY = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in WORDS))


@dataclass(frozen=True, slots=True)
class Caption(SSLTask):
    """Describes two shapes of a drawing and replaces one of the six words; all are equally likely."""

    distractors: Literal["easy", "hard"] = "easy"
    """What the false word is: easy, a word that is true of no shape in the picture, so that it suffices to know
    which colours, names and places occur; hard, one that is true of a shape that the caption does not describe."""

    kind = "caption"
    version = "1"
    parts = ("exact",)
    few_targets = False
    texts = True
    drawings_only = True
    convention: ClassVar[Convention] = "ours"
    labels = WORDS
    chance = 1 / (DESCRIBED * len(VOCABULARY))

    @property
    def difficulty(self) -> str:
        return self.distractors

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
            Unusable: if the picture does not show a suitable number of shapes, or something else.
        """
        low, high = SHAPES_SHOWN[self.distractors]
        if not low <= len(shapes) <= high:
            raise Unusable(f"it does not show {low} or {high} shapes and nothing else")
        stream = Stream(seed)
        words = [_words_of(shapes[index]) for index in stream.permutation(len(shapes))]
        number, kind = divmod(stream.below(DESCRIBED * len(VOCABULARY)), len(VOCABULARY))
        if self.distractors == "hard":
            false = [of_shape[kind] for of_shape in words[DESCRIBED:]]
        else:
            false = [word for word in VOCABULARY[kind] if all(word != of_shape[kind] for of_shape in words)]
        words[number][kind] = target = false[stream.below(len(false))]
        return Corrupted((image,), target, caption_of(words[:DESCRIBED]))

    def candidates(self, text: str) -> Sequence[str]:
        """Returns the words of a caption that may be false, in its order."""
        return _ANY.findall(text)

    def parse(self, text: str) -> str | None:
        """Reads one of `WORDS`, whether or not the caption uses it."""
        return answers.word(text, WORDS)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        return {"exact": float(answer == target)}

    def gold(self, target: str) -> tuple[str, ...]:
        return target, target.title(), f'"{target}"', f"the word '{target}'", f"{target}."


def _words_of(shape: PlacedShape) -> list[str]:
    """Returns the colour, the name and the place of a shape, as words of `VOCABULARY`."""
    return [shape.colour, shape.shape, shape.place.replace(" ", "-")]


def caption_of(words: Sequence[Sequence[str]]) -> str:
    """Returns a sentence that describes shapes, each given by its colour, its name and its place."""
    *first, last = (
        f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape} at the {place}"
        for colour, shape, place in words
    )
    return f"The picture shows {', '.join(first)} and {last}."
