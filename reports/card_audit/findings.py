"""The recomputed cells and the findings of a card's table, and the blocks that its rows form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import groupby
from typing import NamedTuple

from ssl4rl_bench.reports.card_audit.cells import digits
from ssl4rl_bench.reports.card_audit.claims import LabelRole, role
from ssl4rl_bench.reports.card_audit.tables import CardTable


@dataclass(frozen=True, slots=True)
class CardFinding:
    """A derived number or mark that the table contradicts. Its texts are from the card and untrusted."""

    row: str
    """The row's label; empty if the finding is about a whole column."""
    column: str
    printed: str
    expected: str | None
    """The text that should be printed; None if it is not known."""
    sentence: str


class Derived(NamedTuple):
    """A recomputed cell."""

    row: int
    column: int
    """The index of its column."""
    expected: Decimal
    right: bool
    """Whether the printed number agrees with the expected one."""


class Fit:
    """How well one way to compute derived cells agrees with a table.

    Args:
        table: the card's table, or its transpose.
        what: a description of the way.
        cells: the cells recomputed in this way.
        named: whether labels of the table name this way.
    """

    def __init__(self, table: CardTable, what: str, cells: Iterable[Derived], named: bool = False) -> None:
        self.table, self.what, self.named = table, what, named
        self.cells = list(cells)
        self.wrong = [cell for cell in self.cells if not cell.right]
        self.right = len(self.cells) - len(self.wrong)
        self.likely = self.right >= len(self.wrong)


def best_fit(fits: Iterable[Fit]) -> Fit | None:
    """Returns the first way with the largest number of agreeing cells; None if no way has any cell."""
    return max((fit for fit in fits if fit.cells), key=lambda fit: fit.right, default=None)


@dataclass(slots=True)
class TableAudit:
    """The audit of one table."""

    table: CardTable
    findings: tuple[CardFinding, ...] = ()
    n_checked: int = 0
    """The number of derived cells and marks that were recomputed."""
    notes: tuple[str, ...] = ()
    """How rows and columns were read, one sentence per note."""

    def settle(self, heading: str, fit: Fit | None, why: str, *, beside: bool = False) -> None:
        """Adds a note on how cells were read, and a finding for each that disagrees.

        Args:
            fit: the best way; if it is neither likely nor named, only a note is added.
            why: a clause for that note on why nothing is recomputed; if it is empty, there is no note.
            beside: whether the numbers are changes printed next to scores.
        """
        if fit is None:
            return
        if not fit.likely and not fit.named:
            self.notes += (f"{heading}: not recomputed, as {why}.",) if why else ()
            return
        self.n_checked += len(fit.cells)
        self.notes += (f"{heading}: {fit.what}; {fit.right} of {len(fit.cells)} agree.",)
        for row, column, expected, _ in fit.wrong:
            cell = fit.table.cells[row][column]
            if beside:
                number = formatted_like(expected, cell.value if cell.delta is None else cell.delta, "+")
                claim = f"{cell.text} should have {number}, the change {fit.what}."
            else:
                number = formatted_like(expected, cell.value)
                claim = f"{cell.text} should be {number}, {fit.what}."
            self.find(fit.table, row, column, number, claim)

    def find(
        self,
        seen: CardTable,
        row: int,
        column: int,
        expected: str | None,
        why: str,
        *,
        whole_column: bool = False,
    ) -> None:
        """Adds a finding about a cell, or about its whole column; `why` follows "ROW, COLUMN: ".

        Args:
            seen: the card's table, or its transpose.
        """
        names = ("" if whole_column else seen.labels[row], seen.headers[column])
        label, header = reversed(names) if seen.turned else names
        where = ", ".join(name for name in (label, header) if name)
        printed = seen.cells[row][column].text
        self.findings += (CardFinding(label, header, printed, expected, f"{where}: {why}"),)


def formatted_like(value: Decimal, like: Decimal | None, sign: str = "") -> str:
    """Formats a number with as many decimals as another.

    Args:
        like: the number with the decimals to use.
        sign: "+" to show the sign of positive numbers too.
    """
    with localcontext(rounding=ROUND_HALF_UP):
        return f"{value:{sign}.{digits(like)}f}"


class Block(NamedTuple):
    """Rows that belong together: level rows and the improvement rows that follow them, all as indices."""

    levels: list[int]
    changes: list[int]
    bases: list[int]
    """The level rows that the others may be compared with."""
    named: bool
    """Whether labels name `bases`; otherwise `bases` is the first row."""


def blocks(table: CardTable) -> list[Block]:
    """Returns the blocks of a table that have levels."""
    out: list[Block] = []
    kinds = [_role(table, row) for row in range(len(table.labels))]
    for changes, run in groupby(range(len(kinds)), key=lambda row: kinds[row] is LabelRole.IMPROVEMENT):
        if changes:
            if out:
                out[-1].changes.extend(run)
            continue
        levels = [row for row in run if kinds[row] in (LabelRole.LEVEL, LabelRole.BASE)]
        bases = [row for row in levels if kinds[row] is LabelRole.BASE]
        named = 0 < len(bases) < len(levels)
        out.append(Block(levels, [], bases if named else levels[:1], named))
    return [block for block in out if block.levels]


def level_rows(table: CardTable) -> list[int]:
    """Returns the level rows of all blocks."""
    return [row for block in blocks(table) for row in block.levels]


def _role(table: CardTable, row: int) -> LabelRole:
    """Returns a row's role by its label; but if all numbers are signed, they are changes and not levels."""
    kind = role(table.labels[row])
    signed = [cell.signed for cell in table.cells[row] if cell.value is not None]
    return LabelRole.OTHER if kind is not LabelRole.IMPROVEMENT and signed and all(signed) else kind
