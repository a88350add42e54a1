"""A file of predictions as all formats represent it, and the cells that the formats share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.core.types import FinishReason
from ssl4rl_bench.task.tables.cells import index_of, text_of

MAX_ROWS = 1_000_000
"""The maximum number of rows of a file."""
MAX_CELL_CHARS = 1_000_000
"""The maximum length of a reply or another text of a row."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A row of a file of predictions. What the file does not say is None."""

    where: str
    """The place in the file, such as "line 7"."""
    text: str
    id: str | None = None
    """The id of the question, if the file has one."""
    number: int | None = None
    """The number of the row in the other tool's data set, from 0."""
    repeat: int = 0
    error: str | None = None
    """Why there is no reply; `text` is then empty."""
    finish_reason: FinishReason | None = None
    reasoning: str = ""
    question: str | None = None
    """The question's text alone."""
    prompt: str | None = None
    """The text of the prompt that was sent."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The options by letter."""
    target: str | None = None
    verdict: float | None = None
    """The score that the other tool gave, in [0, 1]."""

    @property
    def name(self) -> str:
        """The id of the row for messages."""
        return f"row {self.number}" if self.id is None else clean(self.id, 40)


@dataclass(frozen=True, slots=True)
class Predictions:
    """The content of a file of predictions."""

    path: Path
    format: str
    """The name of the format (`reading.FORMATS`)."""
    sha256: str
    rows: Sequence[Prediction]
    tool: str = ""
    """The program that wrote the file; empty if that is not known."""
    notes: Sequence[str] = ()
    """What a user should know about the file, one sentence per note."""


class BadRow(Exception):
    """A row that cannot be read; the message is a clause."""


class Faults:
    """Collects the faults of a file's rows, so that one message has the first and the number of the others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._faults: list[str] = []

    def add(self, where: str, reason: str) -> None:
        """Adds the fault of a row."""
        self._faults.append(f"{where}: {reason}")

    def check(self) -> None:
        """Raises DataError if there is a fault."""
        if self._faults:
            more = f" ({len(self._faults) - 1} more rows have faults)" if len(self._faults) > 1 else ""
            raise DataError(f"{self._path}, {self._faults[0]}: correct or remove the row{more}")


def refuse(path: Path, reason: str) -> NoReturn:
    """Raises DataError about a whole file."""
    raise DataError(f"{path} {reason}")


def limited(path: Path, rows: Iterator[T], limit: int | None = None) -> Iterator[T]:
    """Yields rows, of which there may be at most `limit`, by default `MAX_ROWS`.

    Raises:
        DataError: there are more.
    """
    most = MAX_ROWS if limit is None else limit
    for count, row in enumerate(rows):
        if count >= most:
            refuse(path, f"has more than {most:,} rows, and no more are read: split the file")
        yield row


def text_cell(value: Any, name: str) -> str:
    """Returns a cell as text; a missing value is an empty text.

    Raises:
        BadRow: a list or an object, or a text that is too long.
    """
    if isinstance(value, list | dict | bytes):
        raise BadRow(f"its {name} is a {type(value).__name__} instead of a text")
    text = text_of(value)
    if len(text) > MAX_CELL_CHARS:
        raise BadRow(f"its {name} has {len(text):,} characters, and at most {MAX_CELL_CHARS:,} are read")
    return text


def id_cell(value: Any, name: str) -> str:
    """Returns a cell as the id of a question. A whole number may be written as a float.

    Raises:
        BadRow: the cell is empty, or as `text_cell`.
    """
    text = text_cell(value, name).strip()
    if not text:
        raise BadRow(f"its {name} is empty")
    index = index_of(text)
    return text if index is None else str(index)


def verdict_cell(value: Any) -> float | None:
    """Returns another tool's score of a row; None for anything but a number from 0 to 1 or a truth value."""
    if isinstance(value, str):
        named = {"true": 1.0, "false": 0.0}.get(value.strip().lower())
        try:
            value = float(value) if named is None else named
        except ValueError:
            return None
    score = float(value) if isinstance(value, bool) else number(value)
    return score if score is not None and 0.0 <= score <= 1.0 else None


def finish_cell(value: Any) -> FinishReason | None:
    """Returns a finish reason; None for an empty cell.

    Raises:
        BadRow: for another word.
    """
    text = text_of(value).strip()
    known: tuple[FinishReason, ...] = get_args(FinishReason)
    for reason in known:
        if text == reason:
            return reason
    if text:
        raise BadRow(f"its finish_reason is {clean(text, 20)!r}, and {', '.join(known)} are known")
    return None
