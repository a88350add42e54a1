"""Findings about a card's table, and how its rows belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from ssl4rl_bench.reports.card_audit.claims import Role, role
from ssl4rl_bench.reports.card_audit.tables import CardTable


@dataclass(frozen=True, slots=True)
class Finding:
    """A derived number or mark that the table contradicts. Texts are the card's own: hostile on a terminal."""

    table: str
    line: int
    """Of the table's header, from 1."""
    row: str
    """Empty if the finding is about a whole column."""
    column: str
    printed: str
    expected: str
    """What it should be; empty if that cannot be said."""
    sentence: str


@dataclass
class Draft:
    """One table's audit while it is made."""

    table: CardTable
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_checked: int = 0

    def find(self, row: str, column: str, printed: str, expected: str, why: str) -> None:
        """Adds a finding; `why` goes on where "ROW, COLUMN: " has begun."""
        where = ", ".join(name for name in (row, column) if name)
        found = Finding(self.table.title, self.table.line, row, column, printed, expected, f"{where}: {why}")
        self.findings.append(found)


class Block(NamedTuple):
    """Rows that belong together: those up to a row of improvements, and that row."""

    levels: list[int]
    """Row numbers."""
    change: int | None
    """The row of improvements, if one ends the block."""


def blocks(table: CardTable) -> Iterator[Block]:
    """The blocks of a table; several rows of improvements in a row share their levels."""
    levels: list[int] = []
    for at, label in enumerate(table.labels):
        kind = role(label)
        if kind is Role.IMPROVEMENT:
            yield Block(levels, at)
            following = table.labels[at + 1 : at + 2]
            if not following or role(following[0]) is not Role.IMPROVEMENT:
                levels = []
        elif kind in (Role.LEVEL, Role.BASE) and not _all_changes(table, at):
            levels = [*levels, at]
    if levels:
        yield Block(levels, None)


def level_blocks(table: CardTable) -> list[list[int]]:
    """The rows of scores of each block, each block once."""
    return [
        list(levels) for levels in dict.fromkeys(tuple(block.levels) for block in blocks(table)) if levels
    ]


def bases(table: CardTable, levels: Sequence[int]) -> tuple[list[int], bool]:
    """Rows that the others may be compared with, and whether their labels say so; else it is the first row."""
    named = [at for at in levels if role(table.labels[at]) is Role.BASE]
    return (named, True) if named and len(named) < len(levels) else (list(levels[:1]), False)


def place(across: bool, label: str, header: str) -> tuple[str, str]:
    """Row and column in the card of what may be found in the transposed table."""
    return (header, label) if across else (label, header)


def shown(value: Decimal, decimals: int) -> str:
    if not value.is_finite():
        return ""
    return str(value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


def signed(value: Decimal, decimals: int) -> str:
    text = shown(value, decimals)
    return text if text.startswith("-") else f"+{text}"


def _all_changes(table: CardTable, row: int) -> bool:
    """Whether a row's numbers all have a sign before them: then they are changes, whatever the label."""
    cells = [cell for cell in table.cells[row] if cell.value is not None]
    return bool(cells) and all(cell.signed for cell in cells)
