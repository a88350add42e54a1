"""MMBench as a task: renders samples from its rows, and scores replies."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.identity import sha256_json_list
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    ImagePart,
    Message,
    Sample,
    Score,
    Status,
    TextPart,
)
from ssl4rl_bench.task import extract, prompts
from ssl4rl_bench.task.base import GOLD_REPLIES, LoadedTask
from ssl4rl_bench.task.editions import SourceCheck
from ssl4rl_bench.task.mmbench.circular import Checked, Copy, check_rows, defect, with_images
from ssl4rl_bench.task.mmbench.rows import MMBenchRow, Problem
from ssl4rl_bench.task.mmbench.taxonomy import EDITIONS, categories, edition_warning
from ssl4rl_bench.task.tables.columns import LocatedRow, Reader
from ssl4rl_bench.task.taskfile import TaskFile

_REPORT_EVERY = 1000
"""The number of samples between two calls of `on_share`."""


@dataclass(frozen=True, kw_only=True)
class MMBenchTask(LoadedTask):
    """A loaded benchmark of MMBench's schema.

    Copies of a question are adjacent, as are questions about the same image. `data_sha256` covers the
    content of all rows that are asked. It is the same for a TSV and a parquet file with the same rows.
    """

    rows: tuple[MMBenchRow, ...] = field(repr=False)
    """The rows that the samples were made from, in the same order."""

    @cached_property
    def _rows(self) -> Mapping[str, MMBenchRow]:
        return {str(row.index): row for row in self.rows}

    def content(self, sample: Sample) -> list[Any]:
        """Returns the row's texts, its answer and the digest of its image (before any blinding)."""
        row = self._rows[sample.id]
        return [row.question, row.hint, dict(row.choices), row.answer, row.image.sha256]

    def question(self, sample: Sample) -> tuple[str, str]:
        """Returns the row's question and hint."""
        row = self._rows[sample.id]
        return row.question, row.hint

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """Returns the right letter in the forms of `GOLD_REPLIES`, and a reply with another letter."""
        gold = [form.format(answer=sample.target) for form in GOLD_REPLIES]
        wrong = next((letter for letter in sample.choices if letter != sample.target), None)
        return gold, () if wrong is None else (GOLD_REPLIES[0].format(answer=wrong),)

    def defects(self) -> Iterator[str]:
        """Yields options and images that are missing from the prompt, and groups that are not circular."""
        groups: dict[str, list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.group, []).append(sample)
            if not sample.images:
                yield f"Sample {sample.id} has no image."
            if sample.target not in sample.choices:
                yield f"Sample {sample.id}: the target {sample.target!r} is none of its choices."
                continue
            prompt = sample.text()
            for letter, option in sample.choices.items():
                if f"{letter}. {option}" not in prompt:
                    yield f"Sample {sample.id}: option {letter} is not in the prompt."
        for name, group in groups.items():
            if any(sample.target not in sample.choices for sample in group):
                continue
            if reason := defect([Copy(sample.roll, sample.choices, sample.target) for sample in group]):
                yield f"Group {name}: {reason}."
            if len({sample.categories for sample in group}) > 1:
                yield f"Group {name}: its copies have different categories."

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Scores 1 for the right letter, 0 for any other reply, None for an error or reasoning alone."""
        return score_choice(sample.choices, sample.target, completion, extractor)


def score_choice(
    choices: Mapping[str, str], target: str, completion: Completion, extractor: str = "default"
) -> Score:
    """Reads a reply to a multiple-choice question and compares it with the right letter. Pure."""
    if completion.finish_reason == "error":
        return Score(value=None, answer=None, status=Status.ERROR)
    if completion.has_no_content:
        return Score(value=None, answer=None, status=Status.NO_CONTENT)
    reading = extract.read(completion.text, choices, completion.finish_reason, extractor)
    value = None if reading.status is Status.ERROR else float(reading.answer == target)
    return Score(value=value, answer=reading.answer, status=reading.status)


def load_mmbench(
    task: TaskFile,
    located: Iterable[LocatedRow] | Reader | Checked,
    *,
    source: str,
    where: str,
    file: Path | None = None,
    prompt: str | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    on_share: Callable[[float], None] | None = None,
) -> MMBenchTask:
    """Reads all rows, checks their circular groups, and renders the samples.

    Args:
        located: The rows, as they are read or checked, or a function that reads them. With a limit, the
            function is called at least twice, and only the images of the questions that are kept are decoded.
        source: The name of the data's source that is recorded.
        where: The source as the user gave it, for messages.
        file: The data's file, which is compared with the published one.
        prompt: A prompt style instead of the task file's.
        skip_bad: Leave out groups with a bad row instead of refusing the data.
        limit: Keep this many complete groups, taken from the abilities in turn, within an ability from its
            leaves in turn, and within a leaf in the data's order.
        on_share: Callback that receives the share of the samples that have been rendered.

    Raises:
        DataError: for data that cannot be used; the message names a bad row and the fix.
        UsageError: for an unknown prompt style or edition, or a limit below 1.
    """
    style = prompts.check_style(prompt or task.prompt)
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} leaves nothing to ask: give 1 or more questions.")
    if task.edition is not None and task.edition not in EDITIONS:
        suggestion = did_you_mean(task.edition, EDITIONS)
        raise UsageError(
            f"{task.name} has an unknown edition {task.edition}{suggestion} ({', '.join(EDITIONS)})."
        )
    published = SourceCheck(task.source, file)
    more: list[Problem] = []
    if isinstance(located, Checked):
        checked, rows = located, located.rows
    elif limit is not None and callable(located):
        # The first pass reads the texts and chooses the questions; the second one reads only their images.
        checked = check_rows(where, located(images=False), skip_bad=skip_bad, images=False)
        choose = partial(_limited, limit=limit)
        rows, more = with_images(where, located, checked.rows, choose, skip_bad=skip_bad)
    else:
        checked = check_rows(where, located() if callable(located) else located, skip_bad=skip_bad)
        rows = checked.rows
    problems = [*checked.problems, *more]
    n_left_out = len({problem.group for problem in more})
    n_available = checked.n_groups - n_left_out
    n_skipped = checked.n_groups_skipped + n_left_out
    reasons = []
    if problems:
        reasons.append(f"questions left out for bad rows: {n_skipped}; {problems[0]}")
    if limit is not None and limit < n_available:
        rows = _limited(rows, limit)
        reasons.append(limit_reason(limit, n_available, checked.n_abilities))
    rows = adjacent(rows)
    return MMBenchTask(
        name=task.name,
        version=task.version,
        prompt=style,
        source=source,
        samples=tuple(_samples(rows, style, on_share)),
        rows=tuple(rows),
        sampling=task.sampling,
        n_groups_skipped=n_skipped,
        columns=task.columns,
        warnings=tuple(_warnings(task, checked, published)),
        partial_reasons=tuple(reasons),
        data_sha256=rows_digest(rows),
    )


def _warnings(task: TaskFile, checked: Checked, published: SourceCheck) -> Iterator[str]:
    """Yields the warnings about the data, one sentence per warning."""
    leaves = {row.group: categories(row.category, row.l2).l3 for row in checked.rows}
    n_rows = len(checked.rows)
    differs = published.warning(n_rows)
    if task.edition is not None:
        differs = edition_warning(task.edition, Counter(leaves.values()), n_rows) or differs
    if differs is not None:
        yield differs
    if not checked.circular:
        yield "There are no circular copies: CircularEval is the same as plain accuracy here."
    if checked.nan_is_missing:
        yield 'The option text "nan" is read as a missing option, since a row has it more than once.'


def _limited(rows: Sequence[MMBenchRow], limit: int) -> list[MMBenchRow]:
    """Returns the rows of the groups that `limited_groups` keeps."""
    groups = limited_groups(((row.group, categories(row.category, row.l2)) for row in rows), limit)
    return [row for row in rows if row.group in groups]


def limit_reason(limit: int, n_available: int, n_abilities: int) -> str:
    """Says how many questions `limited_groups` keeps, and how many abilities they cover if not all."""
    reason = f"limited to {limit} of {n_available} questions"
    if limit >= n_abilities:
        return reason
    return f"{reason}, in {limit} of {n_abilities} abilities (--limit {n_abilities} covers all)"


def limited_groups(places: Iterable[tuple[int, Categories]], limit: int) -> set[int]:
    """Returns `limit` groups, taken from the abilities in turn, and in each from its leaves.

    The order does not depend on the limit, so a smaller limit keeps a subset of the groups that a larger
    one keeps.

    Args:
        places: The group and the categories of each row, in the data's order.
    """
    abilities: dict[str, dict[Categories, dict[int, None]]] = defaultdict(lambda: defaultdict(dict))
    for group, place in places:
        abilities[place.l2][place][group] = None
    in_turn = _round_robin(_round_robin(leaves.values()) for leaves in abilities.values())
    return set(islice(in_turn, min(limit, sys.maxsize)))


def _round_robin(queues: Iterable[Iterable[int]]) -> Iterator[int]:
    """Yields the first item of each queue, then the second of each, until all are empty."""
    in_turn = chain.from_iterable(zip_longest(*queues))
    return (item for item in in_turn if item is not None)


def adjacent(rows: Sequence[MMBenchRow]) -> list[MMBenchRow]:
    """Sorts rows so that copies of a question, and questions about an image, are adjacent.

    Engines can then reuse what they have prepared for an image.
    """
    first: dict[str | int, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(row.image.sha256, index)
        first.setdefault(row.group, index)
    return sorted(rows, key=lambda row: (first[row.image.sha256], first[row.group], row.roll))


def _samples(
    rows: Sequence[MMBenchRow], style: str, on_share: Callable[[float], None] | None
) -> Iterator[Sample]:
    render = prompts.renderer(style)
    parts: dict[str, ImagePart] = {}
    for number, row in enumerate(rows):
        if on_share is not None and number % _REPORT_EVERY == 0:
            on_share(number / len(rows))
        image = parts.setdefault(row.image.sha256, ImagePart(row.image))
        text = TextPart(render(row.question, row.hint, row.choices))
        yield Sample(
            id=str(row.index),
            group=str(row.group),
            messages=(Message("user", (image, text)),),
            target=row.answer,
            choices=row.choices,
            categories=categories(row.category, row.l2),
            roll=row.roll,
        )


def rows_digest(rows: Iterable[MMBenchRow]) -> str:
    """Computes `MMBenchTask.data_sha256`, which does not depend on the order of the rows."""
    return sha256_json_list(
        {
            "index": row.index,
            "question": [row.question, row.hint, *row.choices.values(), row.answer],
            "categories": [row.category, row.l2],
            "image": row.image.sha256,
        }
        for row in sorted(rows, key=lambda row: row.index)
    )
