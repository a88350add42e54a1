"""Recomputes what a model card's tables derive: improvements, averages, changes beside scores, bold marks.

A finding is a claim that the printed numbers contradict; what they cannot decide raises none. `card_claims` says
how a row or column is read and how close a number must be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl4rl_bench.errors import DataError
from ssl4rl_bench.reports.card_averages import averages
from ssl4rl_bench.reports.card_changes import changes, improvements
from ssl4rl_bench.reports.card_claims import Role, lower_is_better, role
from ssl4rl_bench.reports.card_findings import Draft, Finding, level_blocks
from ssl4rl_bench.reports.card_tables import CardTable, find_tables

__all__ = ["Finding", "TableAudit", "audit"]


@dataclass(frozen=True, slots=True)
class TableAudit:
    """What was recomputed of one table."""

    table: CardTable
    findings: tuple[Finding, ...]
    n_checked: int
    """Derived cells and marks that were recomputed."""
    notes: tuple[str, ...]
    """How its rows and columns were read, a sentence each."""


def audit(text: str) -> list[TableAudit]:
    """Recomputes the derived cells of every table of results in a card, in the card's order.

    Raises:
        DataError: for a card without a table of results, or one that is too long.
    """
    tables = find_tables(text)
    if not tables:
        raise DataError(
            "the card has no table of results: a header and two rows or more of numbers, in Markdown or as text"
        )
    return [_audit(table) for table in tables]


def _audit(table: CardTable) -> TableAudit:
    made, turned = Draft(table), table.transposed()
    improvements(made, table)
    improvements(made, turned, across=True)
    averages(made, table)
    averages(made, turned, across=True)
    changes(made, table)
    _bold(made, table)
    return TableAudit(table, tuple(made.findings), made.n_checked, tuple(made.notes))


def _bold(made: Draft, table: CardTable) -> None:
    """A column with bold scores claims that they are the best of their block, or of the table."""
    parts = level_blocks(table)
    rows = [row for levels in parts for row in levels]
    marked = {(row, at) for row in rows for at, cell in enumerate(table.cells[row]) if cell.bold}
    whole = {row for row in rows if all(cell.bold for cell in table.cells[row] if cell.value is not None)}
    if not marked:
        return
    if {row for row, _ in marked} <= whole:
        made.notes.append("Bold: whole rows, which is not read as a claim.")
        return
    made.notes.append("Bold: the best of each column.")
    for at, header in enumerate(table.headers):
        bold = [row for row in rows if (row, at) in marked]
        if not bold or role(header) in (Role.IMPROVEMENT, Role.OTHER):
            continue
        made.n_checked += 1
        best = _leaders(table, rows, at).union(*(_leaders(table, levels, at) for levels in parts))
        wrong = [row for row in bold if row not in best]
        if wrong:
            block = next(levels for levels in parts if wrong[0] in levels)
            leader = min(_leaders(table, block, at))
            printed, value = table.cells[wrong[0]][at].text, table.cells[leader][at].text
            why = f"{printed} is in bold, but {table.labels[leader]} has the best, {value}."
            made.find(table.labels[wrong[0]], header, printed, value, why)


def _leaders(table: CardTable, rows: Sequence[int], at: int) -> set[int]:
    """The rows with the best value of a column."""
    values = {row: value for row in rows if (value := table.cells[row][at].value) is not None}
    if not values:
        return set()
    best = min(values.values()) if lower_is_better(table.headers[at]) else max(values.values())
    return {row for row, value in values.items() if value == best}
