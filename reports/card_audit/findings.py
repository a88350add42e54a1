"""Findings about a card's table, and how its rows belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, localcontext
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


@dataclass(slots=True)
class Fit:
    """How well one way to compute derived cells agrees with the table."""

    what: str
    n: int = 0
    """Cells that could be recomputed."""
    wrong: dict[tuple[int, int], Decimal] = field(default_factory=dict)
    """(row, column) of each cell that disagrees, and the number that should be there."""

    @property
    def right(self) -> int:
        return self.n - len(self.wrong)


@dataclass
class Draft:
    """One table's audit while it is made."""

    table: CardTable
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_checked: int = 0

    def accept(self, seen: CardTable, heading: str, fit: Fit, *, beside: bool = False) -> None:
        """Adds a note on how the cells were read, and a finding for each cell that disagrees.

        Args:
            seen: the table that `fit` is of: this one, or it transposed.
            beside: whether the numbers are changes printed beside scores.
        """
        self.n_checked += fit.n
        self.notes.append(f"{heading}: {fit.what}; {fit.right} of {fit.n} agree.")
        for (row, at), expected in fit.wrong.items():
            cell = seen.cells[row][at]
            value = shown(
                expected, cell.decimals if not beside or cell.delta is None else cell.delta_decimals
            )
            if beside:
                value = value if value.startswith("-") else f"+{value}"
                why = f"{cell.text} should have {value}, the change {fit.what}."
            else:
                why = f"{cell.text} should be {value}, {fit.what}."
            self.find(seen, row, at, value, why)

    def find(
        self, seen: CardTable, row: int, at: int, expected: str, why: str, *, whole: bool = False
    ) -> None:
        """Adds a finding about a cell, or about its whole column; `why` follows "ROW, COLUMN: "."""
        names = ("" if whole else seen.labels[row], seen.headers[at])
        label, header = reversed(names) if seen.turned else names
        where = ", ".join(name for name in (label, header) if name)
        printed, sentence = seen.cells[row][at].text, f"{where}: {why}"
        self.findings.append(
            Finding(self.table.title, self.table.line, label, header, printed, expected, sentence)
        )


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


def level_rows(table: CardTable) -> list[int]:
    return [row for levels in level_blocks(table) for row in levels]


def bases(table: CardTable, levels: Sequence[int]) -> tuple[list[int], bool]:
    """Rows that the others may be compared with, and whether their labels say so; else it is the first row."""
    named = [at for at in levels if role(table.labels[at]) is Role.BASE]
    return (named, True) if named and len(named) < len(levels) else (list(levels[:1]), False)


def shown(value: Decimal, decimals: int) -> str:
    with localcontext() as context:
        context.prec = max(28, value.adjusted() + 1 + decimals + 1)  # a number may have any number of digits
        return str(value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


def _all_changes(table: CardTable, row: int) -> bool:
    """Whether a row's numbers all have a sign before them: then they are changes, whatever the label."""
    cells = [cell for cell in table.cells[row] if cell.value is not None]
    return bool(cells) and all(cell.signed for cell in cells)
