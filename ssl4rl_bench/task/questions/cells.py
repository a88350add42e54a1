"""Finds the cells of a row by the schema, and reads options and letters from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any, TypeAlias

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.questions.schema import OptionRule, Schema
from ssl4rl_bench.task.tables.cells import list_of, literal, quoted, text_of
from ssl4rl_bench.task.tables.columns import normal

Options: TypeAlias = Mapping[str, str]
"""Letter to option text, in order."""

MAX_TEXT_CHARS = 1_000_000
"""The maximum length of a question, an option or any other text of a row."""
_CHOICES = re.compile(r"(?:\A|\n)\s*(?:choices|options)\s*:\s*", re.IGNORECASE)
_OPTION = re.compile(r"(?:\A|(?<=\n))[ \t]*(?:\(([A-Z])\)|([A-Z])[.:)])[ \t]*([^\n]*)")
_WRITTEN_LETTER = re.compile(r"\(?([A-Za-z])(?:\)|\.|\)\.)?")
_NAN = "nan"


class RowCells:
    """The columns of one source, by the names that the schema gives them."""

    def __init__(self, source: str, first: Mapping[str, Any], schema: Schema) -> None:
        """Matches the columns of the first row.

        Raises:
            DataError: a column that every row needs is missing; the message names it and the existing ones.
        """
        self._schema = schema
        self._columns = schema.columns.match(first)
        self._fields = {
            name: next((column for column in columns if self._has(column)), None)
            for name, columns in schema.fields.items()
        }
        self._levels = {
            level: next((column for column in columns if self._has(column)), None)
            for level, columns in schema.levels.items()
        }
        self.has_leaves = "l3" in schema.levels or "l3" in schema.constants
        """Whether the schema declares the level l3."""
        self.letters = tuple(letter for letter in ascii_uppercase if letter in self._columns)
        """The letters of the option columns."""
        needed = [
            " or ".join(schema.fields[name])
            for name in ("index", "question", "answer")
            if self._fields[name] is None
        ]
        group = schema.group
        others = (*schema.answer.columns(), *schema.rows, *group.columns, *group.same, group.cycle)
        needed += [name for name in others if name and not self._has(name)]
        if schema.options.source != "letters" and not self._has(schema.options.column):
            needed.append(schema.options.column)
        if not any(self._has(name) for name in schema.images):
            needed.append(" or ".join(schema.images))
        if needed:
            existing = ", ".join(quoted(name) for name in list(first)[:12])
            raise DataError(
                f"{source} has no column {' and '.join(dict.fromkeys(needed))} (it has {existing}): give the "
                "benchmark's own file, or name the columns in metadata.params of a task file."
            )

    @property
    def missing_levels(self) -> tuple[str, ...]:
        """The levels whose columns do not exist, as clauses."""
        return tuple(
            f"no column {' or '.join(self._schema.levels[level])} for the level {level}"
            for level, column in self._levels.items()
            if column is None
        )

    def get(self, raw: Mapping[str, Any], name: str) -> Any:
        """Returns the content of a column, or of one key of a mapping in it (`column.key`)."""
        head, _, key = name.partition(".")
        value = raw.get(self._columns.get(normal(head), ""))
        if not key:
            return value
        parsed = literal(value) if isinstance(value, str) else value
        return parsed.get(key) if isinstance(parsed, Mapping) else None

    def value(self, raw: Mapping[str, Any], name: str) -> str:
        """Returns the text of a column without surrounding blanks.

        Raises:
            ValueError: it has more than `MAX_TEXT_CHARS` characters.
        """
        return _limited(name, text_of(self.get(raw, name))).strip()

    def text(self, raw: Mapping[str, Any], field: str) -> str:
        """Returns the text of a field of the schema; empty if it has no column.

        Raises:
            ValueError: as `value`.
        """
        column = self._fields.get(field)
        return "" if column is None else _limited(field, text_of(self.get(raw, column)))

    def level(self, raw: Mapping[str, Any], level: str) -> str:
        """Returns the category of a row in a level, empty if there is none."""
        column = self._levels.get(level)
        return self._schema.constants.get(level) or ("" if column is None else self.value(raw, column))

    def belongs(self, raw: Mapping[str, Any]) -> bool:
        """Whether the row belongs to the task (`Schema.rows`)."""
        return all(self.value(raw, name) in values for name, values in self._schema.rows.items())

    def _has(self, name: str) -> bool:
        return normal(name.partition(".")[0]) in self._columns


def read_options(cells: RowCells, raw: Mapping[str, Any], rule: OptionRule) -> Options:
    """Returns the options of a row; an empty or missing option leaves a gap among the letters.

    Raises:
        ValueError: a column that should hold a list holds something else, or a text is too long.
    """
    if rule.source == "letters":
        texts = {letter: cells.value(raw, letter) for letter in cells.letters}
        missing = ("", _NAN) if list(texts.values()).count(_NAN) > 1 else ("",)
        return {letter: text for letter, text in texts.items() if text not in missing}
    if rule.source == "text":
        return options_in(cells.value(raw, rule.column))
    try:
        items = list_of(cells.get(raw, rule.column))
    except ValueError as error:
        raise ValueError(f"its options in {rule.column} cannot be read: {error}") from None
    if len(items) > len(ascii_uppercase):
        raise ValueError(f"it has {len(items)} options, more than there are letters")
    texts = {
        letter: _limited(rule.column, text_of(item)).strip()
        for letter, item in zip(ascii_uppercase, items, strict=False)
    }
    return {letter: text for letter, text in texts.items() if text}


def options_in(text: str) -> Options:
    """Returns the options that a text lists after "Choices:", one per line: "A:3", "(A) 3" or "A. 3".

    Without such a list, or if its letters do not follow each other from A on, there are none.
    """
    starts = list(_CHOICES.finditer(text))
    if not starts:
        return {}
    listed = [
        (match[1] or match[2], match[3].strip()) for match in _OPTION.finditer(text[starts[-1].end() :])
    ]
    letters = [letter for letter, _ in listed]
    return dict(listed) if letters == list(ascii_uppercase[: len(letters)]) else {}


def read_target(options: Options, written: str) -> str | None:
    """Returns the letter that an answer cell means: "B", "(b)", "B." or the text of one option."""
    match = _WRITTEN_LETTER.fullmatch(written)
    if match and match[1].upper() in options:
        return match[1].upper()
    same = [letter for letter, text in options.items() if text == written]
    return same[0] if len(same) == 1 else None


def _limited(name: str, text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise ValueError(f"the {name} has {len(text):,} characters, over the limit of {MAX_TEXT_CHARS:,}")
    return text
