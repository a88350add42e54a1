"""A table that stays readable on a narrow terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from ssl4rl_bench.reports.text.shortening import shorten_names

WORD = 46
"""The longest word that is kept on one line. Longer ones, such as ids and paths, may be broken."""
FOLD = 16
"""The least width of a column with words that may be broken."""
SHORT = 16
"""The least width to which names are shortened."""
PROSE = 24
"""The least width of a column of words while columns can be left out instead."""
NUMBER = 20
"""The longest cell of a right-aligned column that is kept on one line; longer cells are texts."""


class _Size(NamedTuple):
    least: int
    """The width at which no number and no word is broken."""
    natural: int
    """The width at which nothing is wrapped."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a table does when it is too wide, one step after another until it fits."""

    drop: tuple[str | tuple[str, ...], ...] = ()
    """Headers of columns to leave out, the least important one first; those of a tuple are left out together."""
    stack: tuple[str, str] | None = None
    """Headers of a column that then goes below another one, and of that one; after all columns are left out."""
    names: tuple[str, ...] = ()
    """Headers of columns whose names may be shortened in the middle."""

    def droppable(self) -> list[str]:
        """Returns the headers of all columns that may be left out."""
        steps = ((step,) if isinstance(step, str) else step for step in self.drop)
        return [header for step in steps for header in step]


class FittingTable(Table):
    """A table whose numbers and words are not broken over lines. Its cells are strings and texts.

    A table that is too wide is made narrower as its `Narrowing` says, and a note below it says what is not shown. If
    that is not enough, each row is shown as a line of names and lines of "header value".

    Args:
        n_keys: the number of columns that name the rows; by default all before the first right-aligned one.
        narrowing: what may be left out, stacked and shortened.
        options: options of `rich.table.Table`.
    """

    def __init__(
        self, *headers: str, n_keys: int | None = None, narrowing: Narrowing | None = None, **options: Any
    ) -> None:
        super().__init__(*headers, **options)
        self._n_keys = n_keys
        self._narrowing = narrowing or Narrowing()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the title, which may be wider than the table, the table or its rows, and a note."""
        most = options.max_width
        chosen = self._chosen(most)
        title = self.title
        if chosen is None:
            if title:
                yield Text(str(title), style="table.title")
            yield from self._records(self._n_key_columns(), most)
            return
        columns = [self.columns[index] for index in chosen.shown]
        if chosen.stacked is not None:
            columns[chosen.shown.index(chosen.stacked[1])] = self._stacked(*chosen.stacked)
        widths = self._widths(columns, chosen.shown, most)
        shown = [
            _shortened(column, width) if self._is_named(index) else column
            for index, column, width in zip(chosen.shown, columns, widths, strict=True)
        ]
        if title and cell_len(str(title)) > self._width(widths):
            yield Text(str(title), style="table.title")
            title = None
        yield self._of(shown, widths, title)
        was_shortened = any(map(_differ, shown, columns))
        yield from self._note([index for index in chosen.dropped if self.rows], was_shortened, most)

    def is_by_row(self, most: int) -> bool:
        """Checks whether the table is shown row by row on a terminal of `most` columns."""
        return self._chosen(most) is None

    def _n_key_columns(self) -> int:
        right = (index for index, column in enumerate(self.columns) if column.justify == "right")
        return next(right, len(self.columns)) if self._n_keys is None else self._n_keys

    def _is_named(self, index: int) -> bool:
        return _one_line(self.columns[index].header) in self._narrowing.names

    def _chosen(self, most: int) -> _Chosen | None:
        """Returns what is shown on `most` columns; None if only rows one by one fit."""
        headers = [_one_line(column.header) for column in self.columns]
        shown, dropped = list(range(len(headers))), list[int]()
        empty = tuple(
            header
            for header, column in zip(headers, self.columns, strict=True)
            if self.rows and not any(map(_plain, column.cells)) and header in self._narrowing.droppable()
        )
        for step in ((), empty, *self._narrowing.drop, None):
            names = (step,) if isinstance(step, str) else step or ()
            indices = [headers.index(name) for name in names if name in headers]
            dropped += [index for index in indices if index not in dropped]
            shown = [index for index in shown if index not in dropped]
            prose = 0 if step is None else PROSE
            if self._least([self.columns[index] for index in shown], shown, prose) <= most:
                return _Chosen(shown, dropped, None)
        if self._narrowing.stack is not None and {*self._narrowing.stack} <= {*headers}:
            below, above = (headers.index(header) for header in self._narrowing.stack)
            shown = [index for index in shown if index != below]
            columns = [
                self._stacked(below, above) if index == above else self.columns[index] for index in shown
            ]
            if self._least(columns, shown) <= most:
                return _Chosen(shown, dropped, (below, above))
        return None

    def _least(self, columns: Sequence[Column], indices: Sequence[int], prose: int = 0) -> int:
        """Returns the least width of a table of these columns, with words in columns of at least `prose`."""
        n_keys, pairs = self._n_key_columns(), zip(columns, indices, strict=True)
        is_prose = [column.justify == "left" and index >= n_keys for column, index in pairs]
        return self._width(
            [
                max(size.least, min(prose, size.natural)) if wide else size.least
                for size, wide in zip(self._sizes(columns, indices), is_prose, strict=True)
            ]
        )

    def _widths(self, columns: Sequence[Column], indices: Sequence[int], most: int) -> list[int]:
        return _shared(self._sizes(columns, indices), most - self._width([0] * len(columns)))

    def _sizes(self, columns: Sequence[Column], indices: Sequence[int]) -> list[_Size]:
        pairs = zip(columns, indices, strict=True)
        return [_size(column, self._is_named(index)) for column, index in pairs]

    def _stacked(self, below: int, above: int) -> Column:
        """Returns a column that shows the cells of one below those of another."""
        upper, lower = self.columns[above], self.columns[below]
        column = Column(header=f"{_plain(upper.header)}\n{_one_line(lower.header)}", justify=upper.justify)
        column._cells = [
            Text("\n").join([_text(first), _text(second)]) if _plain(second) else first
            for first, second in zip(upper.cells, lower.cells, strict=True)
        ]
        return column

    def _of(self, columns: Sequence[Column], widths: Sequence[int], title: Any) -> Table:
        table = Table(
            title=title,
            title_justify=self.title_justify,
            box=self.box,
            show_edge=self.show_edge,
            pad_edge=self.pad_edge,
            padding=self.padding,
        )
        for column, width in zip(columns, widths, strict=True):
            table.add_column(column.header, justify=column.justify, overflow="fold", width=width)
        cells = zip(*(column.cells for column in columns), strict=True)
        for row, texts in zip(self.rows, cells, strict=True):
            table.add_row(*texts, style=row.style, end_section=row.end_section)
        return table

    def _note(self, dropped: Collection[int], was_shortened: bool, most: int) -> Iterator[Text]:
        """Yields a line about columns that are not shown; a value that all rows have is part of it."""
        if not dropped and not was_shortened:
            return
        alike, missing = [], []
        for index in sorted(dropped):
            header = _one_line(self.columns[index].header)
            values = {_one_line(cell) for cell in self.columns[index].cells} - {""}
            if len(values) == 1:
                alike.append(f"{header} {values.pop()}")
            elif values:
                missing.append(header)
        parts = [f"in all rows: {', '.join(alike)}"] if alike else []
        if missing:
            parts.append(f"not shown in {most} columns: {', '.join(missing)}")
        if was_shortened:
            parts.append("names are shortened")
        if missing or was_shortened:
            natural = self._width([_size(column).natural for column in self.columns])
            parts.append(f"COLUMNS={natural} shows everything")
        if parts:
            yield Text("; ".join(parts), style="dim")

    def _records(self, n_keys: int, most: int) -> Iterator[RenderableType]:
        """Yields each row as a line of its names, and indented lines of all other cells with their headers."""
        headers = [_one_line(column.header) for column in self.columns[n_keys:]]
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            yield Text("  ").join(name for name in map(_text, cells[:n_keys]) if name)
            texts = map(_one_line, cells[n_keys:])
            line = ""
            for pair in (f"{header} {text}" for header, text in zip(headers, texts, strict=True) if text):
                if line and cell_len(f"  {line}, {pair},") > most:
                    yield Padding(f"{line},", (0, 0, 0, 2))
                    line = ""
                line = f"{line}, {pair}" if line else pair
            yield Padding(line, (0, 0, 0, 2))

    def _width(self, columns: Sequence[int]) -> int:
        """Returns the width of a table of columns of these widths."""
        _, right, _, left = self.padding
        inner = (left + right) * len(columns) - (0 if self.pad_edge else left + right)
        rules = len(columns) - 1 if self.box else 0
        return sum(columns) + inner + rules


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The columns that a table shows, by index."""

    shown: list[int]
    dropped: list[int]
    stacked: tuple[int, int] | None
    """The column that is shown below another one, and that one."""


def _text(cell: RenderableType) -> Text:
    return cell.copy() if isinstance(cell, Text) else Text(str(cell))


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _one_line(cell: RenderableType) -> str:
    return " ".join(_plain(cell).replace("-\n", "-").replace("_\n", "_").split("\n"))


def _shortened(column: Column, width: int) -> Column:
    """Returns a column of names, those with a word that is wider than the column shortened."""
    names = [_plain(cell) for cell in column.cells]
    short = dict(zip(names, shorten_names(names, width), strict=True))
    cells = [
        Text(short[name], style=cell.style if isinstance(cell, Text) else "")
        if _longest_word(name) > width
        else cell
        for name, cell in zip(names, column.cells, strict=True)
    ]
    made = Column(header=column.header, justify=column.justify)
    made._cells = cells
    return made


def _differ(column: Column, other: Column) -> bool:
    return any(_plain(a) != _plain(b) for a, b in zip(column.cells, other.cells, strict=True))


def _size(column: Column, is_named: bool = False) -> _Size:
    header, cells = _plain(column.header), [_plain(cell) for cell in column.cells]
    longest = max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)
    is_number = column.justify == "right" and longest <= NUMBER
    words = [_longest_word(cell) for cell in cells]
    if is_named:
        words = [min(word, SHORT) for word in words]
    least = longest if is_number else max((FOLD if word > WORD else word for word in words), default=0)
    return _Size(max(least, _longest_word(header)), max(longest, *map(cell_len, header.split("\n"))))


def _longest_word(text: str) -> int:
    """Returns the width of the longest word; a line's first word counts with the indentation before it."""
    words = [
        line[: len(line) - len(line.lstrip())] + word
        for line in text.split("\n")
        for word in line.split()[:1]
    ]
    return max(map(cell_len, [*words, *text.split()]), default=0)


def _shared(sizes: Sequence[_Size], most: int) -> list[int]:
    """Returns widths with a sum of at most `most`: the least ones, and of what is left to all an equal part."""
    widths = [size.least for size in sizes]
    while sum(widths) > most and max(widths) > 1:  # not even one column fits beside the first ones
        widths[widths.index(max(widths))] -= 1
    order = sorted(range(len(sizes)), key=lambda index: sizes[index].natural - widths[index])
    for number, index in enumerate(order):
        spare = (most - sum(widths)) // (len(order) - number)
        widths[index] += max(0, min(spare, sizes[index].natural - widths[index]))
    return widths
