"""Finds the tables of results in a model card: Markdown's pipe tables, and columns of plain text.

Plain text is the result of copying a page: words and numbers between single spaces, below a header of words.
Of HTML and LaTeX, only emphasis inside a cell is read; `unread` counts the tables in them and in code blocks.
The running time grows with the length of the text, which `MAX_CHARS` limits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import itemgetter

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.reports.card_audit.cells import Cell, caption, read_cell

MAX_CHARS = 1_000_000
MAX_LINE = 20_000
"""Longer lines are ignored: they are not rows of a table that a person reads."""
MAX_COLUMNS = 200
_ABOVE = 4
"""The number of lines above a table that are searched for its header or title."""

_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_PIPE = re.compile(r"(?<!\\)\|")
_QUOTE = re.compile(r"^\s{0,3}(?:>\s?)+")
_FENCE = re.compile(r"\s{0,3}(`{3,}+(?!.*`)|~{3,}+)(.*)")
"""A line that begins or ends a code block: its fence, and the text after it."""
_TOKEN = re.compile(
    r"[↑↓]?[+-]?(?:\d[\d,]*)?\.?\d+%?(?:±\.?\d[\d.]*%?)?[↑↓]?|[(\[][↑↓+-]{0,2}\d[\d.,]*%?[↑↓]?[)\]]|[-–—]|N/A|n/a"
)
"""A number, a change in brackets, or a dash in plain text."""
_INNER_SPACE = re.compile(r"(?<=[↑↓]) (?=[\d.+-])|(?<=[(\[±]) | (?=[)\]±])")
"""A space inside such a cell."""
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_COMMENT_LINES = re.compile(r"^[ \t]{0,3}<!--.*?(?:-->|\Z)", re.DOTALL | re.MULTILINE)
"""A comment that begins a line, which Markdown does not show."""
_MARKED_UP = {
    "HTML": (re.compile(r"(?is)<table\b.*?(?:</table>|\Z)"), re.compile(r"(?i)<tr\b")),
    "LaTeX": (
        re.compile(r"(?s)\\begin\{(tabular[xy*]?|tabulary|longtable|array|tblr)\}.*?(?:\\end\{\1\}|\Z)"),
        re.compile(r"\\\\"),
    ),
}
"""Patterns of a table and of the separator of its rows, by kind."""
_ATTRIBUTES = re.compile(r"<[^<>]*", re.DOTALL)
_RESULT = re.compile(r"(?:>|&|\s|\{|\$|^)\s*[+-]?\d+(?:\.\d+)?\s*(?:\\?%|<|&|\}|\$|\\|\s|$)")

_Written = tuple[int, list[str], list[list[str]]]
"""A table's texts: the line of its header (from 1), the header, and rows with as many cells."""


@dataclass(frozen=True, slots=True)
class CardTable:
    """A table with a label for each row, a header for each column, and a cell for each pair of them."""

    title: str
    """The heading or the line above the table; may be empty."""
    line: int
    """The line of the header, from 1."""
    headers: tuple[str, ...]
    labels: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    """Indexed by row, then column."""
    sections: tuple[int, ...] = ()
    """Indices of rows that begin a section, below a line that has words and no numbers."""
    dropped: tuple[str, ...] = ()
    """Headers of the columns after the labels that are not numbers."""
    turned: bool = False
    """Whether this is the transpose of the card's table."""

    def transposed(self) -> CardTable:
        """Returns the table with rows and columns exchanged."""
        cells = tuple(zip(*self.cells, strict=True))
        return CardTable(self.title, self.line, self.labels, self.headers, cells, turned=not self.turned)


def unread(text: str) -> dict[str, int]:
    """Counts the tables that `find_tables` does not read, by kind: "HTML", "LaTeX", "code block".

    Raises:
        DataError: the text is longer than `MAX_CHARS`.
    """
    prose, code = _lines(text)
    counts = _marked_up(_COMMENT.sub("", "\n".join(prose)))
    counts["code block"] = len(_tables(code)) + sum(_marked_up("\n".join(code)).values())
    return {kind: n for kind, n in counts.items() if n}


def _marked_up(text: str) -> dict[str, int]:
    """Counts tables in HTML and in LaTeX that have at least two rows with a possible result."""
    return {
        kind: sum(
            sum(bool(_RESULT.search(_ATTRIBUTES.sub("<", row))) for row in between.split(table[0])) > 1
            for table in pattern.finditer(text)
        )
        for kind, (pattern, between) in _MARKED_UP.items()
    }


def find_tables(text: str) -> list[CardTable]:
    """Finds the tables of results, in order: a header, and at least two rows that are mostly numbers.

    Raises:
        DataError: the text is longer than `MAX_CHARS`.
    """
    return _tables(_lines(text)[0])


def _lines(text: str) -> tuple[list[str], list[str]]:
    """Splits lines into those outside and inside of code blocks; each list has empty lines for the others.

    Lines of comments are empty in both.
    """
    if len(text) > MAX_CHARS:
        raise DataError(
            f"the card has more than {MAX_CHARS:,} characters; give only the part with its tables"
        )
    prose, code, opening = [], [], ""
    for quoted in text.splitlines():
        line = _QUOTE.sub("", quoted)
        fence = _FENCE.fullmatch(line)
        begins = fence is not None and not opening
        ends = bool(fence and opening and fence[1].startswith(opening) and not fence[2].strip())
        prose.append("" if opening or begins else line)
        code.append(line if opening and not ends else "")
        opening = fence[1] if fence and begins else "" if ends else opening
    shown = _COMMENT_LINES.sub(lambda comment: "\n" * comment[0].count("\n"), "\n".join(prose))
    return shown.split("\n"), code


def _tables(lines: Sequence[str]) -> list[CardTable]:
    lines = [line if len(line) <= MAX_LINE else "" for line in lines]
    rest = list(lines)
    written = sorted([*_pipe_tables(rest), *_plain_tables(rest)], key=itemgetter(0))
    return [
        table for line, header, rows in written if (table := _table(_title(lines, line), line, header, rows))
    ]


def _pipe_tables(lines: list[str]) -> Iterator[_Written]:
    """Yields pipe tables, and empties their lines so that they are not read as plain text."""
    for piped, group in groupby(enumerate(lines), key=lambda line: "|" in line[1]):
        run = list(group)
        rule = next((index for index, line in run[1:] if piped and _RULE.fullmatch(line)), None)
        if rule is None:
            continue
        header = _split(lines[rule - 1])
        n = len(header)
        end = run[-1][0] + 1
        if n <= MAX_COLUMNS:
            yield rule, header, [(_split(line) + [""] * n)[:n] for line in lines[rule + 1 : end]]
        lines[rule - 1 : end] = [""] * (end - rule + 1)


def _split(line: str) -> list[str]:
    """Splits a line of a pipe table into cells."""
    parts = _PIPE.split(line.strip())
    if parts and not parts[0].strip():
        parts = parts[1:]
    if parts and not parts[-1].strip():
        parts = parts[:-1]
    return [part.replace(r"\|", "|").strip() for part in parts]


def _plain_tables(lines: Sequence[str]) -> Iterator[_Written]:
    """Yields tables of plain text: lines that are rows, with a header above them."""
    for is_row, group in groupby(enumerate(map(_plain_row, lines)), key=lambda row: row[1] is not None):
        run = list(group)
        above = _above(lines, run[0][0])
        if not is_row or above is None:
            continue
        rows = [row for _, row in run if row]
        n = Counter(len(cells) for _, cells in rows).most_common(1)[0][0]
        fields = [field for field in re.split(r"\t+|\s{2,}", lines[above].strip()) if field]
        words = [caption(field) for field in (fields if len(fields) >= n else lines[above].split())]
        if len(words) < n or any(read_cell(word).value is not None for word in words[-n:]):
            continue
        texts = [
            [" ".join([*label, *cells[: len(cells) - n]]), *cells[len(cells) - n :]]
            for label, cells in rows
            if len(cells) >= n
        ]
        yield above + 1, ["", *words[-n:]], texts


def _plain_row(line: str) -> tuple[list[str], list[str]] | None:
    """Splits a line into words and trailing cells; None unless there are a word and at least two cells."""
    tokens = _INNER_SPACE.sub("", caption(line)).split()
    n = len(tokens) - len(list(takewhile(_TOKEN.fullmatch, reversed(tokens))))
    cells: list[str] = []
    changes = n < len(tokens) and tokens[n][0] in "↑↓"
    for token in tokens[n:]:
        beside = token[0] in "([" or (token[0] in "↑↓" and not changes)
        if beside and cells:
            cells[-1] += f" {token}"
        else:
            cells.append(token)
    return (tokens[:n], cells) if n and 2 <= len(cells) <= MAX_COLUMNS else None


def _table(title: str, line: int, header: Sequence[str], rows: Sequence[Sequence[str]]) -> CardTable | None:
    """Makes a table of texts; None if there are fewer than two rows with numbers.

    Columns that are mostly numbers become cells, and those before the first of them labels. Lines of words
    above the first numbers continue the header; between the numbers they begin a section.
    """
    read = [[read_cell(text) for text in row] for row in rows]
    numeric = [column for column in range(len(header)) if _mostly_numbers([row[column] for row in read])]
    if not numeric or numeric[0] == 0:
        numeric = numeric[1:]  # a first column of numbers (steps, years) names the rows
    if not numeric:
        return None
    body: list[tuple[Sequence[str], list[Cell]]] = []
    sections: list[int] = []
    captions = [caption(text) for text in header]
    for texts, row in zip(rows, read, strict=True):
        if any(row[column].value is not None for column in numeric):
            body.append((texts, row))
        elif body and any(caption(text) for text in texts):
            sections.append(len(body))
        elif not body and sum(bool(caption(texts[column])) for column in numeric) > len(numeric) / 2:
            captions = _two_lines(captions, [caption(text) for text in texts], numeric)
    if len(body) < 2:
        return None
    others = [column for column in range(numeric[0], len(header)) if column not in numeric]
    return CardTable(
        title=title,
        line=line,
        headers=tuple(captions[column] for column in numeric),
        labels=tuple(caption(" ".join(texts[: numeric[0]])) for texts, _ in body),
        cells=tuple(tuple(row[column] for column in numeric) for _, row in body),
        sections=tuple(dict.fromkeys(start for start in sections if start < len(body))),
        dropped=tuple(captions[column] for column in others if any(not row[column].empty for _, row in body)),
    )


def _two_lines(above: Sequence[str], below: Sequence[str], numeric: Sequence[int]) -> list[str]:
    """Joins headers of two lines: the second line's, with the arrow of their group in the first line."""
    out, group = list(above), ""
    for column in numeric:
        group = above[column] or group
        arrow = next((mark for mark in "↑↓" if mark in group and not re.search("[↑↓]", below[column])), "")
        out[column] = f"{below[column]} {arrow}".strip() if below[column] else above[column]
    return out


def _mostly_numbers(cells: Sequence[Cell]) -> bool:
    n = sum(cell.value is not None for cell in cells)
    return n >= 2 and n > sum(cell.value is None and not cell.empty for cell in cells)


def _above(lines: Sequence[str], index: int) -> int | None:
    """Returns the nearest line with words in the `_ABOVE` lines above a line, or None."""
    near = range(index - 1, max(-1, index - 1 - _ABOVE), -1)
    return next((above for above in near if re.search(r"\w", lines[above])), None)


def _title(lines: Sequence[str], line: int) -> str:
    above = _above(lines, line - 1)
    return "" if above is None else caption(lines[above].strip().lstrip("#").strip())[:120]
