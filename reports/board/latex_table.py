r"""Lays out a table in LaTeX so that it fits a text width: columns that do not fit continue in a block below.

Widths are estimated for Computer Modern, which is wider than the fonts of most classes, in a document of 10 pt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ssl4rl_bench.reports.text.tex import tex, tex_name, tex_number

TEXT_WIDTH = 345.0
"""The text width of LaTeX's article class in points; those of conferences with one column are wider."""
COLUMN_WIDTH = 219.0
"""The width of a column in points, of ACL's style; those of IEEE and CVPR are wider."""
_SEPARATION = 2.5
"""Half of the distance between columns, in points."""
_NAME_WIDTH = 58.0
"""The width in points beside which columns must fit; longer names are broken."""
_MARK = 4.0
"""The width of an arrow in points. It stands in the space between columns, so that numbers align."""
_ARROWS = {"better": r"\rlap{$^{\uparrow}$}", "worse": r"\rlap{$^{\downarrow}$}", "": ""}
_FOOTNOTE, _SCRIPT, _SMALL = 8.5, 8.0, 7.1
"""The widths of an em in the sizes of cells, of headers and of small print, in points."""
_LONG = 25
"""The length in characters from which words of notes may be broken."""
_BOLD = 1.16
"""The width of bold digits, relative to others."""


@dataclass(frozen=True, slots=True)
class TexCell:
    """A cell: a formatted number or a short text, and what stands below it in small print."""

    text: str
    small: str = ""
    mark: str = ""
    """"better" or "worse" than the baseline, shown as an arrow; or ""."""
    bold: bool = False


@dataclass(frozen=True, slots=True)
class TexRow:
    """A row of a table. A row without cells is a heading over the rows below it."""

    name: str
    cells: tuple[TexCell, ...] = ()
    italic: bool = False
    detail: bool = False
    """Whether it is about the row above; it is set in small print."""
    rule: bool = False
    """Whether a rule separates it from the row above."""


@dataclass(frozen=True, slots=True)
class TexTable:
    """A table with its caption and notes, which are plain text."""

    caption: str
    label: str
    headers: tuple[str, ...]
    """The headers of the columns after the first one."""
    rows: tuple[TexRow, ...]
    notes: tuple[str, ...] = ()
    first: str = field(default="Model")
    """The header of the first column."""


def format_table(table: TexTable, narrow: bool = False) -> str:
    r"""Formats a table with booktabs rules.

    Args:
        narrow: fit one column of a paper with two; otherwise both, or the text of a paper with one.
    """
    budget = COLUMN_WIDTH if narrow else TEXT_WIDTH
    name = "table" if narrow else "table*"
    blocks, name_width = _layout(table, budget)
    sides = "r" * max(len(block) for block in blocks)
    end = (
        rf"@{{\hspace{{{_MARK:g}pt}}}}"
        if any(cell.mark for row in table.rows for cell in row.cells)
        else "@{}"
    )
    first = "l" if name_width is None else f"p{{{name_width:.0f}pt}}"
    return "\n".join(
        [
            rf"\begin{{{name}}}",
            r"\centering",
            rf"\caption{{{tex(table.caption)}}}",
            rf"\label{{{table.label}}}",
            r"\smallskip",
            r"\footnotesize",
            rf"\setlength{{\tabcolsep}}{{{_SEPARATION:g}pt}}",
            r"\def\smallprint#1{{\fontsize{6}{7}\selectfont #1}}",
            rf"\begin{{tabular}}{{@{{}}{first}{sides}{end}}}",
            r"\toprule",
            *_lines(table, blocks, name_width),
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip\raggedright"] if table.notes else []),
            *(rf"{_note(note)}\par" for note in table.notes),
            f"\\end{{{name}}}\n",
        ]
    )


def _lines(table: TexTable, blocks: Sequence[range], name_width: float | None) -> Iterable[str]:
    """Yields the rows of each block of columns, below its headers."""
    for number, block in enumerate(blocks):
        if number:
            yield r"\bottomrule"
            yield r"\addlinespace[6pt]"
            yield r"\toprule"
        yield _row([rf"\scriptsize {tex(table.first)}", *(_header(table.headers[index]) for index in block)])
        yield r"\midrule"
        for row in table.rows:
            if row.rule:
                yield r"\midrule"
            if not row.cells:
                yield _row([rf"\multicolumn{{{len(block) + 1}}}{{@{{}}l}}{{\textit{{{tex(row.name)}}}}}"])
                continue
            cells = [row.cells[index] for index in block]
            name = rf"\quad {_small(row.name)}" if row.detail else _name(row, name_width)
            shown = [_small(cell.text) for cell in cells] if row.detail else map(_cell, cells)
            if any(cell.small for cell in cells):
                yield _row([name, *shown]) + "[-2pt]"
                yield _row(["", *(_small(cell.small) for cell in cells)]) + "[2pt]"
            else:
                yield _row([name, *shown])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _name(row: TexRow, width: float | None) -> str:
    name = tex(row.name) if width is None else tex_name(row.name, max(4, int(width / 4.6)))
    name = rf"\textit{{{name}}}" if row.italic else name
    return name if width is None else rf"\raggedright {name}"


def _note(note: str) -> str:
    """Formats a note, in which only long words may be broken."""
    return " ".join(tex(word) if len(word) <= _LONG else tex_name(word, _LONG) for word in note.split(" "))


def _header(header: str) -> str:
    lines = header_lines(header)
    text = r"\\".join(map(tex, lines))
    return rf"\scriptsize {text}" if len(lines) == 1 else rf"\scriptsize\shortstack[r]{{{text}}}"


def _cell(cell: TexCell) -> str:
    text = tex_number(cell.text)
    return (rf"\textbf{{{text}}}" if cell.bold else text) + _ARROWS[cell.mark]


def _small(text: str) -> str:
    return rf"\smallprint{{{tex_number(text)}}}" if text else ""


def header_lines(header: str, width: int = 9) -> list[str]:
    """Breaks a header after blanks, "-" and "_" into lines of about `width` characters."""
    lines = [""]
    for part in re.split(r"(?<=[ _-])", header):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def _layout(table: TexTable, budget: float) -> tuple[list[range], float | None]:
    """Chooses the fewest blocks of columns that fit, and the width of names, or None if they need not be broken."""
    natural = max(_width(text, _FOOTNOTE) for text in (table.first, *_names(table)))
    names = min(natural, _NAME_WIDTH)
    widths = [_column_width(table, index) for index in range(len(table.headers))]
    budget -= _MARK
    n = len(widths)
    for n_blocks in range(1, n + 1):
        size = -(-n // n_blocks)
        blocks = [range(start, min(n, start + size)) for start in range(0, n, size)]
        taken = sum(
            max(widths[block[column]] for block in blocks if column < len(block)) for column in range(size)
        )
        if names + taken <= budget:
            break
    spare = budget - taken
    return blocks, None if natural <= spare else max(spare, _NAME_WIDTH)


def _names(table: TexTable) -> Iterable[str]:
    return (row.name for row in table.rows if row.cells and not row.detail)


def _column_width(table: TexTable, index: int) -> float:
    widths = [_width(line, _SCRIPT) for line in header_lines(table.headers[index])]
    for row in table.rows:
        if row.cells:
            cell = row.cells[index]
            em = _SMALL if row.detail else _FOOTNOTE * (_BOLD if cell.bold else 1.0)
            widths += [_width(cell.text, em), _width(cell.small, _SMALL)]
    return 2 * _SEPARATION + max(widths)


def _width(text: str, em: float) -> float:
    """Estimates the width of a text in points."""
    return em * sum(map(_ems, text))


def _ems(character: str) -> float:
    if character in "iljft.,:;'|()[]! ":
        return 0.32
    if not character.isascii() and tex(character).startswith(r"\texttt"):
        return 0.6 * len("[U+12345]")
    if character in "mwMW–%−+":
        return 0.8
    return 0.72 if character.isupper() else 0.52
