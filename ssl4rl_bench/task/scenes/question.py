"""Defines a drawn question before its options are given letters, and helpers that choose options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from PIL import Image

from ssl4rl_bench.task.scenes.draw import Box

NONE_OF_THESE = "None of these"


class PlacedShape(NamedTuple):
    """A shape in a quarter of a picture."""

    colour: str
    """A key of `draw.COLOURS`."""
    shape: str
    """A key of `draw.SHAPES`."""
    place: str
    """A key of `draw.QUADRANTS`."""


@dataclass(frozen=True)
class DrawnObject:
    """One of several objects of a picture, of which a question names one."""

    name: str
    """What a question calls it: "star", or "red object"."""
    box: Box
    """The smallest box that holds its drawing."""


@dataclass(frozen=True)
class DrawnQuestion:
    """A picture with one question about it and its exact answer."""

    image: Image.Image
    question: str
    answer: str
    """The text of the right option."""
    wrong: tuple[str, ...]
    """The other options that move with the circular copies."""
    pinned: str | None = None
    """An option that stays last in every copy; it is the right one if `answer` equals it."""
    caption: str = ""
    """A description of everything in the picture. For training; never shown with the question."""
    clue: str = ""
    """The part of the caption that decides the answer. For training."""
    shapes: tuple[PlacedShape, ...] = ()
    """All that the picture shows, if these are shapes in their colours of which no two share a colour, a shape or a
    quarter. Empty for other pictures."""
    objects: tuple[DrawnObject, ...] = ()
    """The objects of the picture, if the question is about one of them; the picture has nothing else."""
    asked: int | None = None
    """The index of the object that the question is about."""

    def about(self, index: int) -> str:
        """Returns the same question about another object of the picture.

        Raises:
            ValueError: the question is not about one object.
        """
        if self.asked is None:
            raise ValueError(f"{self.question!r} is not about one of several objects")
        return self.question.replace(self.objects[self.asked].name, self.objects[index].name)


def pick(rng: Random, names: Sequence[str], n: int) -> list[str]:
    """Draws `n` different names."""
    return rng.sample(list(names), n)


def other_names(names: Iterable[str], name: str) -> tuple[str, ...]:
    """Returns all names except `name`."""
    return tuple(other for other in names if other != name)


def with_none(rng: Random, answer: str, names: Iterable[str]) -> tuple[str, tuple[str, ...], str | None]:
    """Chooses (answer, wrong options, pinned option) from the right text and at least three wrong `names`.

    In 40% of the cases the last option is "None of these", which is right in a quarter of these cases.
    """
    wrong = other_names(names, answer)
    if rng.random() >= 0.4:
        return answer, tuple(pick(rng, wrong, 3)), None
    if rng.random() < 0.25:
        return NONE_OF_THESE, tuple(pick(rng, wrong, 3)), NONE_OF_THESE
    return answer, tuple(pick(rng, wrong, 2)), NONE_OF_THESE
