"""A benchmark of questions as a task: renders samples from its rows, and scores replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from ssl4rl_bench.core.identity import sha256_json_list
from ssl4rl_bench.core.types import Completion, ImagePart, Message, Sample, Score
from ssl4rl_bench.task import answers
from ssl4rl_bench.task.base import GOLD_REPLIES, LoadedTask
from ssl4rl_bench.task.mmbench.task import score_choice
from ssl4rl_bench.task.questions.rows import QuestionRow
from ssl4rl_bench.task.questions.schema import CHOICE, Schema
from ssl4rl_bench.task.questions.wording import parts_of_text, question_text

_REPORT_EVERY = 1000
"""The number of samples between two calls of `on_share`."""


@dataclass(frozen=True, kw_only=True)
class QuestionsTask(LoadedTask):
    """A loaded benchmark of the kind `questions`.

    `data_sha256` covers the content of all rows that are asked, with their groups and categories. It is the
    same for a TSV and a parquet file with the same rows.
    """

    rows: tuple[QuestionRow, ...] = field(repr=False)
    """The rows that the samples were made from, in the same order."""
    schema: Schema
    headline: str
    """The aggregation that the benchmark publishes (`score.aggregate.AGGREGATIONS`)."""
    unasked: frozenset[str] = field(default=frozenset(), repr=False)
    """The ids of rows of the data that are no samples: of another split, or without an answer that can be scored."""

    @cached_property
    def _rows(self) -> Mapping[str, QuestionRow]:
        return {row.id: row for row in self.rows}

    def content(self, sample: Sample) -> list[Any]:
        """Returns the row's texts, its answer and the digests of its images (before any blinding)."""
        return row_content(self._rows[sample.id])

    def question(self, sample: Sample) -> tuple[str, str]:
        """Returns the row's question and hint."""
        row = self._rows[sample.id]
        return row.question, row.hint

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """Returns the right answer in several forms, and replies with another answer."""
        row = self._rows[sample.id]
        if row.kind != CHOICE:
            return answers.gold_replies(row.kind, row.target), answers.wrong_replies(row.kind, row.target)
        gold = [form.format(answer=row.target) for form in GOLD_REPLIES]
        others = [letter for letter in row.choices if letter != row.target]
        return gold, [GOLD_REPLIES[0].format(answer=letter) for letter in others]

    def defects(self) -> Iterator[str]:
        """Yields samples without an image, and options and images that are missing from the prompt."""
        for sample in self.samples:
            row = self._rows[sample.id]
            prompt = sample.text()
            if not sample.images:
                yield f"Sample {sample.id} has no image."
            if missing := {image.sha256 for image in row.images} - {image.sha256 for image in sample.images}:
                yield f"Sample {sample.id}: {len(missing)} of its images are not in the prompt."
            if row.kind == CHOICE and sample.target not in sample.choices:
                yield f"Sample {sample.id}: the target {sample.target!r} is none of its choices."
            for letter in row.choices if self.schema.options.shown else ():
                if f"{letter}. " not in prompt:
                    yield f"Sample {sample.id}: option {letter} is not in the prompt."

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Scores 1 for the right answer, 0 for any other reply, None for an error or reasoning alone."""
        return score_row(self._rows[sample.id], self.schema.tolerance, completion, extractor)


class Answerable(Protocol):
    """What a reply's score depends on, besides the tolerance."""

    @property
    def kind(self) -> str:
        """The kind of answer (`schema.KINDS`)."""
        ...

    @property
    def target(self) -> str:
        """A letter of `choices`, or the right answer."""
        ...

    @property
    def choices(self) -> Mapping[str, str]:
        """Letter to option text. Empty for an open answer."""
        ...

    @property
    def unit(self) -> str:
        """The unit of a number; empty if there is none."""
        ...

    @property
    def decimals(self) -> int | None:
        """The digits of a number after the point that must agree; None for those of the target."""
        ...


def score_row(row: Answerable, tolerance: float | None, completion: Completion, extractor: str) -> Score:
    """Scores a reply to a row (`mmbench.task.score_choice`, `answers.score_answer`). Pure."""
    if row.kind == CHOICE:
        return score_choice(row.choices, row.target, completion, extractor)
    number = row.kind == "number"
    return answers.score_answer(
        row.kind,
        row.target,
        completion,
        unit=row.unit or None if number else None,
        tolerance=tolerance if number else None,
        decimals=row.decimals,
        extractor=extractor,
    )


def samples_of(
    rows: Sequence[QuestionRow],
    schema: Schema,
    style: str,
    on_share: Callable[[float], None] | None = None,
) -> Iterator[Sample]:
    """Yields the samples of rows in a prompt style; equal images share one message part.

    Raises:
        UsageError: for an unknown style.
    """
    parts: dict[str, ImagePart] = {}
    for number, row in enumerate(rows):
        if on_share is not None and number % _REPORT_EVERY == 0:
            on_share(number / len(rows))

        def part_of(index: int, row: QuestionRow = row) -> ImagePart:
            image = row.images[index]
            return parts.setdefault(image.sha256, ImagePart(image))

        text = question_text(row, style, shown=schema.options.shown)
        yield Sample(
            id=row.id,
            group=row.group,
            messages=(Message("user", parts_of_text(text, len(row.images), part_of)),),
            target=row.target,
            choices=row.choices,
            categories=row.categories,
            roll=row.roll,
        )


def row_content(row: QuestionRow) -> list[Any]:
    """Returns all that distinguishes one question from another, as JSON values."""
    shown = [image.sha256 for image in row.images]
    return [row.question, row.hint, dict(row.choices), row.kind, row.target, row.unit, row.decimals, shown]


def questions_digest(rows: Iterable[QuestionRow]) -> str:
    """Computes `QuestionsTask.data_sha256`, which does not depend on the order of the rows."""
    return sha256_json_list(
        {
            "index": row.id,
            "group": [row.group, row.roll],
            "question": row_content(row),
            "categories": [row.categories.l1, row.categories.l2, row.categories.l3],
        }
        for row in sorted(rows, key=lambda row: row.id)
    )
