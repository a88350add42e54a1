"""Parses the rows of a benchmark by the schema that its task file declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.types import Categories, EncodedImage
from ssl4rl_bench.task.answers import check_target
from ssl4rl_bench.task.questions.cells import Options, RowCells, read_options, read_target
from ssl4rl_bench.task.questions.schema import CHOICE, LEFT_OUT, OPTIONS, Schema
from ssl4rl_bench.task.tables.cells import MAX_REFERENCE_CHARS, Images, image_items, index_of, quoted, text_of
from ssl4rl_bench.task.tables.columns import LocatedRow

GROUP_STRIDE = 1_000_000
"""With `copies`, a row's index is `question + roll * GROUP_STRIDE`."""
UNKNOWN = "other"
"""The category of a row in a level whose column is empty or missing."""


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A row: a question with its images and its right answer."""

    id: str
    question: str
    hint: str
    """Empty if there is none."""
    choices: Mapping[str, str]
    """Letter to option text, with gaps if the data has them. Empty for an open answer."""
    kind: str
    """The kind of answer (`schema.KINDS`)."""
    target: str
    """A letter of `choices`, or the right answer."""
    unit: str
    """The unit of a number; empty if there is none."""
    decimals: int | None
    """The digits of a number after the point that must agree; None for those of the target."""
    categories: Categories
    images: tuple[EncodedImage, ...] = field(repr=False)
    keys: tuple[str, ...]
    """What the rows of one group have in common, besides their images (`schema.GroupRule`)."""
    same: tuple[str, ...]
    """What must not differ inside a group."""
    cycle: str
    where: str = field(compare=False)
    group: str = ""
    """The id of the first row of its group; set by `groups.group_rows`."""
    roll: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be asked."""

    where: str
    id: str | None
    """None if it cannot be parsed."""
    reason: str
    """A clause without a full stop."""
    left_out: bool = False
    """Whether the task file allows to leave it out: it has no image, or no answer that can be scored."""
    keys: tuple[str, ...] = ()
    same: tuple[str, ...] = ()

    def __str__(self) -> str:
        row = "" if self.id is None else f" (index {self.id})"
        return f"{self.where}{row}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ParsedRows:
    """The rows of a source, in its order."""

    rows: list[QuestionRow]
    refused: list[Refused]
    missing: tuple[str, ...]
    """The levels whose columns the data does not have, as clauses."""
    n_rows: int
    """The number of rows that belong to the task, also those that are refused."""
    others: tuple[str, ...] = ()
    """The ids of rows that do not belong to the task, such as those of another split."""


class _RowError(Exception):
    """A row cannot be used; for `left_out` see `Refused`."""

    def __init__(self, reason: str, *, left_out: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.left_out = left_out


def parse_questions(source: str, located: Iterable[LocatedRow], schema: Schema) -> ParsedRows:
    """Parses all rows; `source` is the name of the data in messages.

    Raises:
        DataError: the source as a whole cannot be used: it is empty, or lacks a column or all answers.
    """
    reader: _RowReader | None = None
    drafts: list[tuple[QuestionRow, list[EncodedImage | str]]] = []
    refused: list[Refused] = []
    others: list[str] = []
    n_rows = 0
    for where, raw in located:
        if isinstance(raw, str):
            refused.append(Refused(where, None, raw))
            n_rows += 1
            continue
        reader = reader or _RowReader(schema, RowCells(source, raw, schema))
        if not reader.cells.belongs(raw):
            others.append(reader.cells.text(raw, "index").strip())
            continue
        n_rows += 1
        read = reader.read(where, raw)
        if isinstance(read, Refused):
            refused.append(read)
        else:
            drafts.append(read)
    if n_rows == 0:
        chosen = ", ".join(f"{name} {' or '.join(values)}" for name, values in schema.rows.items())
        what = f"rows with {chosen}" if chosen and reader is not None else "rows"
        raise DataError(f"{source} has no {what}: point --data at a file or folder that has some.")
    if reader is not None and not reader.answered:
        raise DataError(f"{source} has no answers: point --data at a copy with an `answer` column.")
    rows = []
    holders = {row.id: shown for row, shown in reversed(drafts)}
    for row, shown in drafts:
        complete = _resolved(row, shown, holders)
        if isinstance(complete, Refused):
            refused.append(complete)
        else:
            rows.append(complete)
    missing = () if reader is None else reader.cells.missing_levels
    return ParsedRows(rows, refused, missing, n_rows, tuple(others))


class _RowReader:
    """Reads the rows of one source."""

    def __init__(self, schema: Schema, cells: RowCells) -> None:
        self.schema = schema
        self.cells = cells
        self.answered = False
        """Whether any row had an answer."""
        self._images = Images()
        self._texts: dict[str, str] = {}
        self._places: dict[Categories, Categories] = {}

    def read(
        self, where: str, raw: Mapping[str, Any]
    ) -> tuple[QuestionRow, list[EncodedImage | str]] | Refused:
        """Returns a row without images, and its images or the ids of the rows that have them."""
        cells, id = self.cells, None
        keys: tuple[str, ...] = ()
        same: tuple[str, ...] = ()
        try:
            id = _row_id(cells.text(raw, "index"))
            keys, same = self._keys(raw, id), tuple(cells.value(raw, name) for name in self.schema.group.same)
            return self._row(where, raw, id, keys, same), self._shown(raw)
        except _RowError as error:
            return Refused(where, id, error.reason, error.left_out, keys, same)
        except ValueError as error:  # a cell of the wrong form or with too much text
            return Refused(where, id, str(error), False, keys, same)

    def _row(
        self, where: str, raw: Mapping[str, Any], id: str, keys: tuple[str, ...], same: tuple[str, ...]
    ) -> QuestionRow:
        cells = self.cells
        options = read_options(cells, raw, self.schema.options)
        answer = cells.text(raw, "answer").strip()
        self.answered = self.answered or bool(answer)
        kind, target = self._answer(raw, options, answer)
        hint, unit = cells.text(raw, "hint"), cells.text(raw, "unit").strip()
        l1, l2 = (cells.level(raw, level) or UNKNOWN for level in ("l1", "l2"))
        place = Categories(l1, l2, (cells.level(raw, "l3") or UNKNOWN) if cells.has_leaves else l2)
        return QuestionRow(
            id=id,
            question=cells.text(raw, "question"),
            hint="" if hint.strip() in ("", "nan") else hint,
            choices={key: self._texts.setdefault(text, text) for key, text in options.items()}
            if kind == CHOICE
            else {},
            kind=kind,
            target=target,
            unit="" if unit == "nan" or kind == CHOICE else unit,
            decimals=index_of(cells.text(raw, "decimals")) if kind == "number" else None,
            categories=self._places.setdefault(place, place),
            images=(),
            keys=keys,
            same=same,
            cycle=cells.value(raw, self.schema.group.cycle) if self.schema.group.cycle else "",
            where=where,
        )

    def _answer(self, raw: Mapping[str, Any], options: Options, written: str) -> tuple[str, str]:
        """Returns the kind of the row's answer and the right answer."""
        rule = self.schema.answer
        while rule.by:
            value = (
                self.cells.value(raw, rule.by) if rule.by != OPTIONS else "present" if options else "absent"
            )
            if value not in rule.cases:
                what = "it has no options" if rule.by == OPTIONS else f"its {rule.by} is {quoted(value)}"
                raise _RowError(f"{what}, which has no kind of answer", left_out=True)
            rule = rule.cases[value]
        if rule.kinds[0] == CHOICE:
            letter = self.cells.text(raw, "letter").strip() if "letter" in self.schema.fields else ""
            return CHOICE, self._choice(options, letter or written)
        reason = "its kind of answer needs a judge"
        for kind in rule.kinds:
            if kind == LEFT_OUT:
                break
            problem = "it is a list" if written.startswith("[") else check_target(kind, written)
            if problem is None:
                return kind, written
            reason = f"the answer {quoted(written)} cannot be scored without a judge, {problem}"
        raise _RowError(reason, left_out=True)

    def _choice(self, options: Options, written: str) -> str:
        if not options:
            raise _RowError("it has no options", left_out=True)
        if len(options) < 2:
            raise _RowError("it has fewer than two options")
        target = read_target(options, written)
        if target is None:
            raise _RowError(f"the answer {quoted(written)} is none of the options {', '.join(options)}")
        return target

    def _keys(self, raw: Mapping[str, Any], id: str) -> tuple[str, ...]:
        rule = self.schema.group
        parts = id.split("_")
        if any(part >= len(parts) for part in rule.index_parts):
            raise _RowError(f"its index has {len(parts)} parts where group_by.index_parts needs more")
        names = [name for name in rule.columns if name not in self.schema.images]
        return (*(self.cells.value(raw, name) for name in names), *(parts[part] for part in rule.index_parts))

    def _shown(self, raw: Mapping[str, Any]) -> list[EncodedImage | str]:
        """Returns the images of a row, or for a short text the id of the row that has them."""
        shown: list[EncodedImage | str] = []
        try:
            for name in self.schema.images:
                for item in image_items(self.cells.get(raw, name)):
                    is_text = isinstance(item, str | int | float)
                    if is_text and len(reference := text_of(item).strip()) <= MAX_REFERENCE_CHARS:
                        shown.append(_row_id(reference))
                        continue
                    image = self._images.read(item)
                    if isinstance(image, int):
                        raise _RowError(f"the image refers to row {image} in a list")
                    shown.append(image)
        except images.ImageError as error:
            raise _RowError(f"the image cannot be used, {error}") from None
        if not shown:
            raise _RowError("it has no image", left_out=True)
        return shown


def _row_id(written: str) -> str:
    number = index_of(written)
    text = written.strip() if number is None else str(number)
    if not text or len(text) > MAX_REFERENCE_CHARS or not text.isprintable():
        raise _RowError(f"the index is {quoted(written)}: give a number or a short name")
    return text


def _resolved(
    row: QuestionRow, shown: list[EncodedImage | str], holders: Mapping[str, list[EncodedImage | str]]
) -> QuestionRow | Refused:
    """Returns the row with its images, also those that another row holds."""
    complete: list[EncodedImage] = []
    for item in shown:
        held = holders.get(item, []) if isinstance(item, str) else [item]
        usable = [image for image in held if isinstance(image, EncodedImage)]
        if not usable or len(usable) != len(held):
            reason = f"the image refers to row {quoted(text_of(item))}, which has no usable image"
            return Refused(row.where, row.id, reason, False, row.keys, row.same)
        complete += usable
    return replace(row, images=tuple(complete))
