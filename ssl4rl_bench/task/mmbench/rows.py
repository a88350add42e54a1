"""Parses rows of MMBench's schema, given as mappings of columns to values (a file, the hub, drawn scenes)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from string import ascii_uppercase
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.types import EncodedImage
from ssl4rl_bench.task.tables.cells import Images, index_of, quoted, text_of
from ssl4rl_bench.task.tables.columns import MMBENCH, LocatedRow

GROUP_STRIDE = 1_000_000
"""A row's index is `group + roll * GROUP_STRIDE`."""

MAX_TEXT_CHARS = 1_000_000
"""The maximum length of a question, an option or any other text of a row."""

_TEXTS = MMBENCH.texts
_REQUIRED = ("index", "question", "A", "B", "image")
_NAN = "nan"
"""The text that a careless export writes for a missing value. It can also be a real option."""


NO_IMAGE = EncodedImage(b"", "")
"""A placeholder for an image that was not read."""


@dataclass(frozen=True, slots=True)
class MMBenchRow:
    """A row: a question with its options in one circular order."""

    index: int
    question: str
    hint: str
    """Empty if there is none."""
    choices: Mapping[str, str]
    """Letter to option text, from A on, without missing options."""
    answer: str
    """A letter of `choices`."""
    category: str
    """The leaf (L3) as spelled in the data; may be empty."""
    l2: str
    """The ability (L2) as spelled in the data; may be empty."""
    split: str
    image: EncodedImage = field(repr=False)
    where: str = field(default="", compare=False)

    @property
    def group(self) -> int:
        """The index of the main row, which all copies of a question share."""
        return self.index % GROUP_STRIDE

    @property
    def roll(self) -> int:
        """The number of the copy; 0 for the main row."""
        return self.index // GROUP_STRIDE


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why a row, and so all of its group, cannot be used."""

    where: str
    index: int | None
    """None if it cannot be parsed."""
    reason: str
    """A clause without a full stop."""

    @property
    def group(self) -> int | None:
        """The index of the group's main row; None if the row has no index."""
        return None if self.index is None else self.index % GROUP_STRIDE

    def __str__(self) -> str:
        index = "" if self.index is None else f" (index {self.index})"
        return f"{self.where}{index}: {self.reason}"


def column_names(names: Iterable[str]) -> dict[str, str]:
    """Maps the columns of the schema that the data has to their names in the data.

    Case is ignored, and `_` and a space are equivalent to `-`. The keys are "A", "B", ... for options, and
    lower-case names such as `l2-category` for the others.
    """
    return MMBENCH.match(names)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The parsed rows of a source."""

    rows: list[MMBenchRow]
    """The usable rows, in the data's order. Equal images are the same object."""
    problems: list[Problem]
    """The problems of the other rows."""
    nan_is_missing: bool
    """Whether the text "nan" counts as a missing option, because some row has it as two options."""


def parse_rows(source: str, located: Iterable[LocatedRow], *, images: bool = True) -> Parsed:
    """Parses all rows; `source` is the name of the data in messages.

    Without `images`, no image is read, and every row has `NO_IMAGE`.

    Raises:
        DataError: if the source as a whole cannot be used: it is empty, or lacks a column or all answers.
    """
    drafts: list[tuple[MMBenchRow, EncodedImage | int]] = []
    problems: list[Problem] = []
    columns: dict[str, str] = {}
    read = Images().read if images else None
    texts: dict[str, str] = {}
    for where, raw in located:
        try:
            if isinstance(raw, str):
                raise _BadRow(raw)
            columns = columns or _checked_columns(source, raw)
            drafts.append(_draft(where, raw, columns, read, texts))
        except _BadRow as bad:
            problems.append(Problem(where, bad.index, bad.reason))
    if not drafts and not problems:
        raise DataError(f"{source} has no rows: point --data at a file or folder that has some.")
    if drafts and not any(row.answer for row, _ in drafts):
        raise _no_answers(source)
    image_of = {row.index: image for row, image in reversed(drafts)}
    nan_is_missing = any(list(row.choices.values()).count(_NAN) > 1 for row, _ in drafts)
    rows: list[MMBenchRow] = []
    drafts.reverse()
    while drafts:  # removing each draft as its row is added halves the memory of many rows
        row, image = drafts.pop()
        try:
            rows.append(_row(row, image, image_of, nan_is_missing))
        except _BadRow as bad:
            problems.append(Problem(row.where, row.index, bad.reason))
    return Parsed(rows, problems, nan_is_missing)


def read_images(located: Iterable[LocatedRow], wanted: Container[int]) -> dict[int, EncodedImage | int | str]:
    """Maps each wanted row index to its image, the index of the row that has it, or a reason for a failure.

    The images of other rows are not decoded. If several rows have the same index, the first one is used.
    """
    out: dict[int, EncodedImage | int | str] = {}
    read = Images().read
    columns: dict[str, str] = {}
    for _, raw in located:
        if isinstance(raw, str):
            continue
        columns = columns or column_names(raw)
        index = index_of(text_of(raw.get(columns["index"])))
        if index is None or index not in wanted or index in out:
            continue
        try:
            out[index] = read(raw.get(columns["image"]))
        except images.ImageError as error:
            out[index] = f"the image cannot be used, {error}"
    return out


class _BadRow(Exception):
    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index


def _checked_columns(source: str, raw: Mapping[str, Any]) -> dict[str, str]:
    columns = column_names(raw)
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        existing = ", ".join(quoted(name) for name in list(raw)[:12])
        raise DataError(
            f"{source} has no column {' or '.join(missing)} (it has {existing}): "
            "give a file with MMBench's columns index, question, A, B, answer and image."
        )
    if "answer" not in columns:
        raise _no_answers(source)
    return columns


def _no_answers(source: str) -> DataError:
    return DataError(
        f"{source} has no answers (MMBench's test files have none, except those of v1.1 since 2026): "
        "run ssl4rl_mmbench_dev_en, or point --data at a copy with an `answer` column."
    )


def _draft(
    where: str,
    raw: Mapping[str, Any],
    columns: Mapping[str, str],
    read: Callable[[Any], EncodedImage | int] | None,
    known: dict[str, str],
) -> tuple[MMBenchRow, EncodedImage | int]:
    """Returns a row with all option columns and no image, and its image or the index of the row that has it.

    Equal texts (in `known`) become one object. Without `read`, which reads a cell, no image is read.
    """
    texts = {name: text_of(raw.get(columns.get(name, ""))) for name in _TEXTS}
    written = texts.pop("index")
    index = index_of(written)
    if index is None:
        raise _BadRow(f"the index is {quoted(written)}, not a whole number")
    letters = takewhile(columns.__contains__, ascii_uppercase)
    options = {letter: text_of(raw.get(columns[letter])) for letter in letters}
    for name, text in (*texts.items(), *options.items()):
        if len(text) > MAX_TEXT_CHARS:
            what = f"option {name}" if name in options else f"the {name}"
            raise _BadRow(f"{what} has {len(text):,} characters, over the limit of {MAX_TEXT_CHARS:,}", index)
    image: EncodedImage | int = NO_IMAGE
    if read is not None:
        try:
            image = read(raw.get(columns["image"]))
        except images.ImageError as error:
            raise _BadRow(f"the image cannot be used, {error}", index) from None
    texts = {name: known.setdefault(text, text) for name, text in texts.items()}
    row = MMBenchRow(
        index=index,
        question=texts["question"],
        hint="" if texts["hint"].strip() in ("", _NAN) else texts["hint"],
        choices={letter: known.setdefault(text, text) for letter, text in options.items()},
        answer=texts["answer"],
        category=texts["category"].strip(),
        l2=texts["l2-category"].strip(),
        split=texts["split"].strip(),
        image=NO_IMAGE,
        where=where,
    )
    return row, image


def _row(
    draft: MMBenchRow,
    image: EncodedImage | int,
    image_of: Mapping[int, EncodedImage | int],
    nan_is_missing: bool,
) -> MMBenchRow:
    """Returns the final row: without missing options, and with its image."""
    choices = _choices(draft.choices, nan_is_missing)
    answer = draft.answer.strip()
    if answer not in choices:
        raise _BadRow(f"the answer {quoted(answer)} is none of the options {', '.join(choices)}")
    holder = image_of.get(image) if isinstance(image, int) else image
    if not isinstance(holder, EncodedImage):
        raise _BadRow(f"the image refers to row {image}, which has no usable image")
    return replace(draft, choices=choices, answer=answer, image=holder)


def _choices(options: Mapping[str, str], nan_is_missing: bool) -> dict[str, str]:
    choices = dict(options)
    for letter in reversed(list(options)):
        if choices[letter].strip() and not (nan_is_missing and choices[letter] == _NAN):
            break
        del choices[letter]
    gaps = [letter for letter, text in choices.items() if not text.strip()]
    if gaps:
        raise _BadRow(f"option {gaps[0]} is empty although a later one is not")
    if len(choices) < 2:
        raise _BadRow("it has fewer than two options")
    return choices
