"""Renders the messages of a question: its images, its text, and the instruction of the prompt style."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ssl4rl_bench.core.types import ImagePart, Part, TextPart
from ssl4rl_bench.task import prompts
from ssl4rl_bench.task.questions.rows import QuestionRow
from ssl4rl_bench.task.questions.schema import CHOICE

IN_THE_IMAGE = "The question is in the image."
"""The question of a row whose text is empty (MathVerse, vision only)."""
_PLACE = re.compile(r"<image (\d{1,2})>")
"""Where a text shows its n-th image, counted from 1 (MMMU, MMStar)."""


def question_text(row: QuestionRow, style: str, *, shown: bool) -> str:
    """Returns the text of a question in a prompt style, with its placeholders of images.

    Args:
        shown: whether the text lists the options (`schema.OptionRule.shown`).

    Raises:
        UsageError: for an unknown style.
    """
    question = row.question if row.question.strip() else IN_THE_IMAGE
    if row.kind == CHOICE and shown:
        return prompts.renderer(style)(question, row.hint, row.choices)
    return prompts.open_renderer(style, row.kind)(question, row.hint)


def parts_of_text(text: str, n_images: int, part_of: Callable[[int], ImagePart]) -> tuple[Part, ...]:
    """Returns the parts of a message: images at their places in the text, the others before it.

    Args:
        text: the result of `question_text`.
        part_of: returns the message part of the image with an index from 0.
    """
    places = [int(match[1]) - 1 for match in _PLACE.finditer(text)]
    first = [part_of(index) for index in range(n_images) if index not in places]
    return (*first, *_interleaved(text, n_images, part_of))


def _interleaved(text: str, n_images: int, part_of: Callable[[int], ImagePart]) -> Iterator[Part]:
    """Yields the pieces of a text, and the images at their placeholders. An unknown number stays as text."""
    start = 0
    for match in _PLACE.finditer(text):
        index = int(match[1]) - 1
        if not 0 <= index < n_images:
            continue
        if before := text[start : match.start()]:
            yield TextPart(before)
        yield part_of(index)
        start = match.end()
    if rest := text[start:]:
        yield TextPart(rest)
