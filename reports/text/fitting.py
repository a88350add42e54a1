"""A table that stays readable on a narrow terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

WORD = 30
"""The longest word that is kept on one line. Longer ones, such as ids and paths, may be broken."""
FOLD = 16
"""The least width of a column with words that may be broken."""
NUMBER = 20
"""The longest cell of a right-aligned column that is kept on one line; longer cells are texts."""
MOST_PARTS = 3
"""A table of more parts is shown row by row."""


class _Size(NamedTuple):
    least: int
    """The width at which no number and no word is broken."""
    natural: int
    """The width at which nothing is wrapped."""


class FittingTable(Table):
    """A table whose numbers and words are not broken over lines. Its cells are strings and texts.

    A table that is too wide is shown in parts: each repeats the first columns, which name the rows, and shows as many
    others as fit. If that takes more than `MOST_PARTS`, each row is shown as a line of names and lines of
    "header value".

    Args:
        n_keys: the number of columns that name the rows; by default all before the first right-aligned one.
        options: options of `rich.table.Table`.
    """

    def __init__(self, *headers: str, n_keys: int | None = None, **options: Any) -> None:
        super().__init__(*headers, **options)
        self._n_keys = n_keys

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the title, which may be wider than the table, and the table or its parts or rows."""
        most, sizes = options.max_width, [_size(column) for column in self.columns]
        n_keys, natural = self._n_key_columns(), [size.natural for size in sizes]
        parts, fits, by_row = self._layout(sizes, most)
        title = self.title
        if title and (by_row or cell_len(str(title)) > self._width(natural if fits else [most])):
            yield Text(str(title), style="table.title")
            title = None
        if by_row:
            yield from self._records(n_keys, most)
            return
        for number, part in enumerate(parts):
            if number:
                yield ""
            spare = most - self._width([0] * len(part))
            widths = natural if fits else _shared([sizes[index] for index in part], spare)
            yield self._part(part, widths, None if number else title)

    def is_by_row(self, most: int) -> bool:
        """Checks whether the table is shown row by row on a terminal of `most` columns."""
        return self._layout([_size(column) for column in self.columns], most)[2]

    def _n_key_columns(self) -> int:
        right = (index for index, column in enumerate(self.columns) if column.justify == "right")
        return next(right, len(self.columns)) if self._n_keys is None else self._n_keys

    def _layout(self, sizes: Sequence[_Size], most: int) -> tuple[list[list[int]], bool, bool]:
        """Returns the columns of each part, whether the table fits as it is, and whether it is shown row by row."""
        n_keys, least = self._n_key_columns(), [size.least for size in sizes]
        if self._width([size.natural for size in sizes]) <= most:
            return [list(range(len(sizes)))], True, False
        parts = list(self._parts(least, n_keys, most))
        too_wide = any(
            len(part) > n_keys and self._width([least[index] for index in part]) > most for part in parts
        )
        return parts, False, len(parts) > MOST_PARTS or too_wide

    def _parts(self, least: Sequence[int], n_keys: int, most: int) -> Iterator[list[int]]:
        """Yields the columns of each part of a table that is wider than `most`."""
        chosen = list(range(n_keys))
        for index in range(n_keys, len(least)):
            if len(chosen) > n_keys and self._width([least[other] for other in (*chosen, index)]) > most:
                yield chosen
                chosen = chosen[:n_keys]
            chosen = [*chosen, index]
        yield chosen

    def _part(self, chosen: Sequence[int], widths: Sequence[int], title: Any) -> Table:
        part = Table(
            title=title,
            title_justify=self.title_justify,
            box=self.box,
            show_edge=self.show_edge,
            pad_edge=self.pad_edge,
            padding=self.padding,
        )
        for index, width in zip(chosen, widths, strict=True):
            column = self.columns[index]
            part.add_column(column.header, justify=column.justify, overflow="fold", width=width)
        for row, cells in zip(self.rows, self._cells(), strict=True):
            part.add_row(*(cells[index] for index in chosen), style=row.style, end_section=row.end_section)
        return part

    def _records(self, n_keys: int, most: int) -> Iterator[RenderableType]:
        """Yields each row as a line of its names, and indented lines of all other cells with their headers."""
        headers = [_one_line(column.header) for column in self.columns[n_keys:]]
        for cells in self._cells():
            names = (cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells[:n_keys])
            yield Text("  ").join(name for name in names if name)
            texts = map(_one_line, cells[n_keys:])
            line = ""
            for pair in (f"{header} {text}" for header, text in zip(headers, texts, strict=True) if text):
                if line and cell_len(f"  {line}, {pair},") > most:
                    yield Padding(f"{line},", (0, 0, 0, 2))
                    line = ""
                line = f"{line}, {pair}" if line else pair
            yield Padding(line, (0, 0, 0, 2))

    def _cells(self) -> list[tuple[RenderableType, ...]]:
        """Returns the cells of each row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    def _width(self, columns: Sequence[int]) -> int:
        """Returns the width of a table of columns of these widths."""
        _, right, _, left = self.padding
        inner = (left + right) * len(columns) - (0 if self.pad_edge else left + right)
        rules = len(columns) - 1 if self.box else 0
        return sum(columns) + inner + rules


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _one_line(cell: RenderableType) -> str:
    return " ".join(_plain(cell).replace("-\n", "-").replace("_\n", "_").split("\n"))


def _size(column: Column) -> _Size:
    header, cells = _plain(column.header), [_plain(cell) for cell in column.cells]
    longest = max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)
    is_number = column.justify == "right" and longest <= NUMBER
    words = [_longest_word(cell) for cell in cells]
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
