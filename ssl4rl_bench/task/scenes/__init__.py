"""`scenes`, the built-in benchmark: drawn pictures with exact answers, in MMBench's schema.

Every picture is drawn from a separate seed, so a question does not depend on which other questions are drawn.
Results on this benchmark are comparable only with each other; it is a substitute where MMBench is not
available.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from random import Random
from typing import Any

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.task.mmbench.circular import rotated
from ssl4rl_bench.task.mmbench.rows import GROUP_STRIDE
from ssl4rl_bench.task.mmbench.taxonomy import L2_OF
from ssl4rl_bench.task.scenes import perception, reasoning
from ssl4rl_bench.task.scenes.question import DrawnQuestion

VERSION = "1"
"""Raised whenever a picture, a question or their order changes."""

LETTERS = "ABCD"


@dataclass(frozen=True)
class Leaf:
    """One L3 leaf: its ability, its number of questions, and the function that draws them."""

    name: str
    ability: str
    """The L2 ability, as MMBench spells it."""
    n_dev: int
    """The number of questions of this leaf in the dev stream."""
    draw: Callable[[Random], DrawnQuestion]


_ABILITIES: tuple[tuple[Callable[[Random], DrawnQuestion], ...], ...] = (
    (perception.image_style, perception.image_quality, perception.image_emotion),
    (perception.attribute_recognition, perception.object_localization, perception.ocr),
    (perception.spatial_relationship, perception.attribute_comparison, perception.action_recognition),
    (reasoning.physical_property_reasoning, reasoning.function_reasoning),
    (reasoning.physical_relation, reasoning.nature_relation),
    (reasoning.structuralized_imagetext_understanding, reasoning.future_prediction),
)
"""The functions that draw the leaves of each ability; a leaf has the name of its function."""
N_DEV = 100
"""The number of questions per ability in the dev stream, spread over its leaves."""

LEAVES = tuple(
    Leaf(draw.__name__, L2_OF[draw.__name__], N_DEV // len(draws) + (index < N_DEV % len(draws)), draw)
    for draws in _ABILITIES
    for index, draw in enumerate(draws)
)


@dataclass(frozen=True)
class Question:
    """A drawn question of a stream, with its options in the order of the main row."""

    leaf: Leaf
    number: int
    """The index of the question in its leaf and stream, from 0."""
    drawn: DrawnQuestion
    options: tuple[str, ...]

    def choices(self, roll: int = 0) -> dict[str, str]:
        """Maps letters to options in circular copy `roll`: options rotate right, a pinned one stays last."""
        return dict(zip(LETTERS, rotated(self.options, roll, self.n_rolls), strict=False))

    @property
    def n_rolls(self) -> int:
        """The number of circular copies; a pinned last option is not rotated."""
        return len(self.options) - bool(self.drawn.pinned)


def question(stream: str, leaf: Leaf, number: int) -> Question:
    """Draws one question, which depends only on the arguments and is the same on every machine."""
    rng = Random(seed_of("scenes", VERSION, stream, leaf.name, number))
    drawn = leaf.draw(rng)
    free = [text for text in (drawn.answer, *drawn.wrong) if text != drawn.pinned]
    rng.shuffle(free)
    options = (*free, drawn.pinned) if drawn.pinned else tuple(free)
    return Question(leaf, number, drawn, options)


def outline(per_leaf: int | None = None, only_leaf: str | None = None) -> Iterator[tuple[int, Leaf, int]]:
    """Yields the place of each question of a stream: its index, its leaf and its number; draws nothing.

    Args:
        per_leaf: the number of questions of each leaf; None for the counts of the dev stream.
        only_leaf: the name of the only leaf whose questions are yielded; indices are those among all leaves.
    """
    places = ((leaf, n) for leaf in LEAVES for n in range(leaf.n_dev if per_leaf is None else per_leaf))
    for index, (leaf, number) in enumerate(places, start=1):
        if only_leaf in (None, leaf.name):
            yield index, leaf, number


def questions(
    stream: str = "dev", per_leaf: int | None = None, only_leaf: str | None = None
) -> Iterator[Question]:
    """Yields a stream's questions, leaf by leaf. `dev` is the benchmark; any other name is another stream.

    Args:
        per_leaf, only_leaf: as `outline`.
    """
    for _, leaf, number in outline(per_leaf, only_leaf):
        yield question(stream, leaf, number)


ASKING = ("attribute_recognition", "object_localization")
"""The leaves with questions about one of several objects of a picture."""


def asking(stream: str, n: int) -> Iterator[Question]:
    """Yields n questions about one of several objects, from the leaves `ASKING` in turn.

    Questions whose right option is "None of these" are left out: there, hiding the object is no loss.
    """
    leaves = [leaf for leaf in LEAVES if leaf.name in ASKING]
    drawn = (question(stream, leaf, number) for number in count() for leaf in leaves)
    usable = (q for q in drawn if q.drawn.asked is not None and q.drawn.answer != q.drawn.pinned)
    return islice(usable, n)


def png(drawn: DrawnQuestion) -> bytes:
    """Encodes a drawn picture."""
    buffer = io.BytesIO()
    drawn.image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def rows(
    stream: str = "dev",
    only: Container[int] | None = None,
    per_leaf: int | None = None,
    only_leaf: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yields MMBench rows with their circular copies: index + k * 1,000,000 is copy k of a question.

    Keys: index (int), question, hint, A, B, C, D, answer, category, l2-category, image (PNG bytes), split.

    Args:
        only: the indices of the questions to draw (`outline`); None for all of them.
        per_leaf, only_leaf: as `outline`.
    """
    for index, leaf, number in outline(per_leaf, only_leaf):
        if only is None or index in only:
            yield from map(dict, _question_rows(stream, index, leaf, number))


@cache
def _question_rows(stream: str, index: int, leaf: Leaf, number: int) -> list[dict[str, Any]]:
    """Returns the rows of a question, drawn once per process (all of dev: 3 s; 2 MB)."""
    q = question(stream, leaf, number)
    image = png(q.drawn)
    out = []
    for roll in range(q.n_rolls):
        choices = q.choices(roll)
        answer = next(letter for letter, text in choices.items() if text == q.drawn.answer)
        row = {
            "index": index + roll * GROUP_STRIDE,
            "question": q.drawn.question,
            "hint": "",
            **{letter: choices.get(letter, "") for letter in LETTERS},
            "answer": answer,
            "category": leaf.name,
            "l2-category": leaf.ability,
            "image": image,
            "split": "dev" if stream == "dev" else "train",
        }
        out.append(row)
    return out
