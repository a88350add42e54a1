"""Finds the tables of results in a model card: Markdown's pipe tables, and columns of plain text.

Plain text is what copying a page gives: words and numbers between single spaces, the header a line of words.
No HTML and no LaTeX is read but emphasis inside a cell; tables in them, and in code blocks, are counted (`unread`).
Work grows with the length of the text, and `MAX_CHARS` bounds it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.reports.card_audit.cells import Cell, caption, read_cell

MAX_CHARS = 1_000_000
MAX_LINE = 20_000
"""Longer lines are no rows of a table that a person reads."""
MAX_COLUMNS = 200

_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_PIPE = re.compile(r"(?<!\\)\|")
_QUOTE = re.compile(r"^\s{0,3}(?:>\s?)+")
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_TOKEN = re.compile(
    r"[↑↓]?[+-]?(?:\d[\d,]*)?\.?\d+%?(?:±\.?\d[\d.]*%?)?[↑↓]?|[(\[][↑↓+-]{0,2}\d[\d.,]*%?[↑↓]?[)\]]"
)
"""A number, or a change in brackets, of plain text."""
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HTML = re.compile(r"<table\b.*?(?:</table>|\Z)", re.DOTALL | re.IGNORECASE)
_HTML_ROW = re.compile(r"<tr\b", re.IGNORECASE)
_ATTRIBUTES = re.compile(r"<[^<>]*", re.DOTALL)
_LATEX = re.compile(
    r"\\begin\{(?:tabular[xy*]?|tabulary|longtable|array|tblr)\}.*?(?:\\end\{(?:tabular[xy*]?|tabulary|longtable|array|tblr)\}|\Z)",
    re.DOTALL,
)
_LATEX_ROW = re.compile(r"\\\\")
_RESULT = re.compile(r"(?:>|&|\s|\{|\$|^)\s*[+-]?\d+(?:\.\d+)?\s*(?:\\?%|<|&|\}|\$|\\|\s|$)")
_DASHES = frozenset({"-", "–", "—", "N/A", "n/a"})


@dataclass(frozen=True, slots=True)
class CardTable:
    """A table: labels down the side, headers along the top, a cell at each crossing."""

    title: str
    """The heading or line above it; may be empty."""
    line: int
    """Where its header stands, from 1."""
    headers: tuple[str, ...]
    labels: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    """By row, then column."""
    sections: tuple[int, ...] = ()
    """Rows at which a section begins, below a line that has words and no numbers."""
    dropped: tuple[str, ...] = ()
    """Headers of the columns among the cells that are no numbers."""
    turned: bool = False
    """Whether rows stand for the card's columns."""

    def transposed(self) -> CardTable:
        """Rows as columns."""
        cells = tuple(zip(*self.cells, strict=True))
        return CardTable(self.title, self.line, self.labels, self.headers, cells, turned=not self.turned)


@dataclass(frozen=True, slots=True)
class Unread:
    """Tables of a card that are not read."""

    kind: str
    """ "HTML", "LaTeX", or "code block"."""
    n: int


def unread(text: str) -> list[Unread]:
    """Tables of numbers that `find_tables` does not read, by kind.

    Raises:
        DataError: for a text over `MAX_CHARS`.
    """
    lines = _lines(text)
    code = _in_code(lines)
    prose = ["" if inside else line for line, inside in zip(lines, code, strict=True)]
    fenced = [
        line if inside and not _FENCE.match(line) else "" for line, inside in zip(lines, code, strict=True)
    ]
    html, latex = _marked_up(_COMMENT.sub("", "\n".join(prose)))
    n_code = len(_tables(fenced, [False] * len(fenced))) + sum(_marked_up("\n".join(fenced)))
    return [Unread(kind, n) for kind, n in (("HTML", html), ("LaTeX", latex), ("code block", n_code)) if n]


def _marked_up(text: str) -> list[int]:
    """The numbers of tables in HTML and in LaTeX with two rows or more that have what could be a result."""
    return [
        sum(
            sum(bool(_RESULT.search(_ATTRIBUTES.sub("<", line))) for line in row.split(table)) > 1
            for table in whole.findall(text)
        )
        for whole, row in ((_HTML, _HTML_ROW), (_LATEX, _LATEX_ROW))
    ]


def find_tables(text: str) -> list[CardTable]:
    """The tables of results: a header, and two rows or more that are mostly numbers. In the text's order.

    Raises:
        DataError: for a text over `MAX_CHARS`.
    """
    lines = _lines(text)
    return _tables(
        lines, [len(line) > MAX_LINE or code for line, code in zip(lines, _in_code(lines), strict=True)]
    )


def _lines(text: str) -> list[str]:
    if len(text) > MAX_CHARS:
        raise DataError(f"the card has more than {MAX_CHARS:,} characters; give the part with its tables")
    return [_QUOTE.sub("", line) for line in text.splitlines()]


def _tables(lines: Sequence[str], taken: list[bool]) -> list[CardTable]:
    found = [*_pipe_tables(lines, taken), *_plain_tables(lines, taken)]
    return sorted(found, key=lambda table: table.line)


def _in_code(lines: Sequence[str]) -> list[bool]:
    """Whether each line is in a code block, or is its fence."""
    inside, found = False, []
    for line in lines:
        fence = bool(_FENCE.match(line))
        found.append(inside or fence)
        inside ^= fence
    return found


def _pipe_tables(lines: Sequence[str], taken: list[bool]) -> Iterator[CardTable]:
    at = 1
    while at < len(lines):
        header_line, rule = lines[at - 1 : at + 1]
        if taken[at] or taken[at - 1] or "|" not in header_line or not _RULE.fullmatch(rule):
            at += 1
            continue
        header = _split(header_line)
        start, at = at - 1, at + 1
        rows = []
        while at < len(lines) and not taken[at] and "|" in lines[at]:
            row = _split(lines[at])[: len(header)]
            rows.append(row + [""] * (len(header) - len(row)))
            at += 1
        taken[start:at] = [True] * (at - start)
        if len(header) <= MAX_COLUMNS and (table := _table(_title(lines, start), start + 1, header, rows)):
            yield table


def _split(line: str) -> list[str]:
    """The cells of a pipe table's line."""
    parts = _PIPE.split(line.strip())
    if parts and not parts[0].strip():
        parts = parts[1:]
    if parts and not parts[-1].strip():
        parts = parts[:-1]
    return [part.replace(r"\|", "|").strip() for part in parts]


def _table(title: str, line: int, header: Sequence[str], rows: Sequence[Sequence[str]]) -> CardTable | None:
    """Columns that are mostly numbers become cells; those before the first of them, the labels.

    Lines of words above the first numbers go on with the header. Between the numbers they begin a section.
    """
    read = [[read_cell(text) for text in row] for row in rows]
    numeric = [at for at in range(len(header)) if _mostly_numbers([row[at] for row in read])]
    if not numeric or numeric[0] == 0:
        numeric = numeric[1:]  # a first column of numbers (steps, years) names the rows
    if not numeric:
        return None
    kept: list[tuple[Sequence[str], list[Cell]]] = []
    sections: list[int] = []
    captions = [caption(text) for text in header]
    for texts, row in zip(rows, read, strict=True):
        if any(row[at].value is not None for at in numeric):
            kept.append((texts, row))
        elif kept and any(caption(text) for text in texts):
            sections.append(len(kept))
        elif not kept and sum(bool(caption(texts[at])) for at in numeric) > len(numeric) / 2:
            captions = _two_lines(captions, [caption(text) for text in texts], numeric)
    if len(kept) < 2:
        return None
    others = [at for at in range(numeric[0], len(header)) if at not in numeric]
    return CardTable(
        title=title,
        line=line,
        headers=tuple(captions[at] for at in numeric),
        labels=tuple(caption(" ".join(texts[: numeric[0]])) for texts, _ in kept),
        cells=tuple(tuple(row[at] for at in numeric) for _, row in kept),
        sections=tuple(dict.fromkeys(start for start in sections if start < len(kept))),
        dropped=tuple(captions[at] for at in others if any(not row[at].empty for _, row in kept)),
    )


def _two_lines(above: Sequence[str], below: Sequence[str], numeric: Sequence[int]) -> list[str]:
    """Headers of two lines: those of the second, with the arrow of the group that the first line puts them in."""
    out, group = list(above), ""
    for at in numeric:
        group = above[at] or group
        arrow = next((mark for mark in "↑↓" if mark in group and not re.search("[↑↓]", below[at])), "")
        out[at] = f"{below[at]} {arrow}".strip() if below[at] else above[at]
    return out


def _mostly_numbers(cells: Sequence[Cell]) -> bool:
    n = sum(cell.value is not None for cell in cells)
    return n >= 2 and n > sum(cell.value is None and not cell.empty for cell in cells)


def _plain_tables(lines: Sequence[str], taken: Sequence[bool]) -> Iterator[CardTable]:
    rows = [None if used else _plain_row(line) for line, used in zip(lines, taken, strict=True)]
    start = 0
    for is_row, group in groupby(rows, key=lambda row: row is not None):
        run = list(group)
        if is_row and (table := _plain_table(lines, taken, start, [row for row in run if row])):
            yield table
        start += len(run)


def _plain_row(line: str) -> tuple[list[str], list[str]] | None:
    """A line's words and its trailing cells; None unless there is a word and, after it, two cells or more."""
    text = re.sub(r"([↑↓]) (?=[\d.+-])", r"\1", caption(line))
    text = re.sub(r"(?<=[(\[]) | (?=[)\]])", "", text).replace(" ±", "±").replace("± ", "±")
    tokens = text.split()
    n = len(tokens)
    while n and (_TOKEN.fullmatch(tokens[n - 1]) or tokens[n - 1] in _DASHES):
        n -= 1
    cells: list[str] = []
    changes = n < len(tokens) and tokens[n][0] in "↑↓"
    for token in tokens[n:]:
        beside = token[0] in "([" or (token[0] in "↑↓" and not changes)
        if beside and cells:
            cells[-1] += f" {token}"
        else:
            cells.append(token)
    return (tokens[:n], cells) if n and 2 <= len(cells) <= MAX_COLUMNS else None


def _plain_table(
    lines: Sequence[str], taken: Sequence[bool], start: int, rows: Sequence[tuple[list[str], list[str]]]
) -> CardTable | None:
    """Lines of rows with the header above them."""
    n = Counter(len(cells) for _, cells in rows).most_common(1)[0][0]
    above = start - 1
    while above >= 0 and above >= start - 3 and not re.search(r"\w", lines[above]):
        above -= 1
    if above < 0 or taken[above]:
        return None
    fields = [field for field in re.split(r"\t+|\s{2,}", lines[above].strip()) if field]
    words = [caption(field) for field in (fields if len(fields) >= n else lines[above].split())]
    if len(words) < n or any(read_cell(word).value is not None for word in words[-n:]):
        return None
    texts = [
        [" ".join([*label, *cells[: len(cells) - n]]), *cells[len(cells) - n :]]
        for label, cells in rows
        if len(cells) >= n
    ]
    return _table(_title(lines, above), above + 1, ["", *words[-n:]], texts)


def _title(lines: Sequence[str], header: int) -> str:
    """The nearest line with words above a header, if it is near."""
    for line in reversed(lines[max(0, header - 4) : header]):
        if re.search(r"\w", line) and len(line) <= MAX_LINE:
            return caption(line.strip().lstrip("#").strip())[:120]
    return ""
