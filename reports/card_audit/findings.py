"""What is recomputed of a card's table, with its findings, and how its rows belong together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import groupby
from typing import NamedTuple

from ssl4rl_bench.reports.card_audit.cells import digits
from ssl4rl_bench.reports.card_audit.claims import Role, role
from ssl4rl_bench.reports.card_audit.tables import CardTable


@dataclass(frozen=True, slots=True)
class Finding:
    """A derived number or mark that the table contradicts. Texts are the card's own: hostile on a terminal."""

    row: str
    """Empty if the finding is about a whole column."""
    column: str
    printed: str
    expected: str | None
    """What it should be; None if that cannot be said."""
    sentence: str


class Derived(NamedTuple):
    """One cell as it is recomputed."""

    row: int
    at: int
    """Its column."""
    expected: Decimal
    right: bool
    """Whether the printed number agrees."""


class Fit:
    """How well one way to compute derived cells agrees with a table.

    Args:
        table: the card's, or it transposed.
        what: the way, in words.
        named: whether labels of the table say so.
    """

    def __init__(self, table: CardTable, what: str, cells: Iterable[Derived], named: bool = False) -> None:
        self.table, self.what, self.named = table, what, named
        self.cells = list(cells)
        self.wrong = [cell for cell in self.cells if not cell.right]
        self.right = len(self.cells) - len(self.wrong)
        self.likely = self.right >= len(self.wrong)


def best_fit(fits: Iterable[Fit]) -> Fit | None:
    """The first of the ways that most cells agree with; None if there is no cell that any applies to."""
    return max((fit for fit in fits if fit.cells), key=lambda fit: fit.right, default=None)


@dataclass(slots=True)
class TableAudit:
    """What was recomputed of one table."""

    table: CardTable
    findings: tuple[Finding, ...] = ()
    n_checked: int = 0
    """Derived cells and marks that were recomputed."""
    notes: tuple[str, ...] = ()
    """How its rows and columns were read, a sentence each."""

    def settle(self, heading: str, fit: Fit | None, why: str, *, beside: bool = False) -> None:
        """Adds a note on how cells were read, and a finding for each that disagrees.

        Args:
            fit: the best way; one that is neither likely nor named gives no more than the note.
            why: what that note says, as a clause; no note if it is empty.
            beside: whether the numbers are changes printed beside scores.
        """
        if fit is None:
            return
        if not fit.likely and not fit.named:
            self.notes += (f"{heading}: not recomputed, as {why}.",) if why else ()
            return
        self.n_checked += len(fit.cells)
        self.notes += (f"{heading}: {fit.what}; {fit.right} of {len(fit.cells)} agree.",)
        for row, at, expected, _ in fit.wrong:
            cell = fit.table.cells[row][at]
            if beside:
                number = shown(expected, cell.value if cell.delta is None else cell.delta, "+")
                claim = f"{cell.text} should have {number}, the change {fit.what}."
            else:
                number = shown(expected, cell.value)
                claim = f"{cell.text} should be {number}, {fit.what}."
            self.find(fit.table, row, at, number, claim)

    def find(
        self, seen: CardTable, row: int, at: int, expected: str | None, why: str, *, whole: bool = False
    ) -> None:
        """Adds a finding about a cell, or about its whole column; `why` follows "ROW, COLUMN: ".

        Args:
            seen: the card's table, or it transposed.
        """
        names = ("" if whole else seen.labels[row], seen.headers[at])
        label, header = reversed(names) if seen.turned else names
        where = ", ".join(name for name in (label, header) if name)
        printed = seen.cells[row][at].text
        self.findings += (Finding(label, header, printed, expected, f"{where}: {why}"),)


def shown(value: Decimal, like: Decimal | None, sign: str = "") -> str:
    """A number with as many digits after the point as another.

    Args:
        sign: "+" for a sign before a gain too.
    """
    with localcontext(rounding=ROUND_HALF_UP):
        return f"{value:{sign}.{digits(like)}f}"


class Block(NamedTuple):
    """Rows that belong together: those up to rows of improvements, and these. By number."""

    levels: list[int]
    changes: list[int]
    bases: list[int]
    """Rows of levels that the others may be compared with."""
    named: bool
    """Whether the labels of `bases` say so; else it is the first row."""


def blocks(table: CardTable) -> list[Block]:
    """The blocks of a table in which there are levels."""
    out: list[Block] = []
    kinds = [_role(table, row) for row in range(len(table.labels))]
    for changes, run in groupby(range(len(kinds)), key=lambda row: kinds[row] is Role.IMPROVEMENT):
        if changes:
            if out:
                out[-1].changes.extend(run)
            continue
        levels = [row for row in run if kinds[row] in (Role.LEVEL, Role.BASE)]
        bases = [row for row in levels if kinds[row] is Role.BASE]
        named = 0 < len(bases) < len(levels)
        out.append(Block(levels, [], bases if named else levels[:1], named))
    return [block for block in out if block.levels]


def level_rows(table: CardTable) -> list[int]:
    """The rows of levels of all blocks."""
    return [row for block in blocks(table) for row in block.levels]


def _role(table: CardTable, row: int) -> Role:
    """By a row's label; levels that all have a sign before them are none, but changes whatever the label."""
    kind = role(table.labels[row])
    signed = [cell.signed for cell in table.cells[row] if cell.value is not None]
    return Role.OTHER if kind is not Role.IMPROVEMENT and signed and all(signed) else kind
