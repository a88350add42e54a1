"""Recomputes what a model card's tables derive: improvements, averages, changes beside scores, bold marks.

A finding is a claim that the printed numbers contradict; what they cannot decide raises none. `claims` says
how a row or column is read and how close a number must be.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.reports.card_audit.averages import averages
from ssl4rl_bench.reports.card_audit.cells import Cell
from ssl4rl_bench.reports.card_audit.changes import changes, improvements
from ssl4rl_bench.reports.card_audit.claims import Role, best_of, is_count, role
from ssl4rl_bench.reports.card_audit.findings import Draft, Finding, level_blocks, place
from ssl4rl_bench.reports.card_audit.tables import CardTable, Unread, find_tables, unread

__all__ = ["Finding", "TableAudit", "Unread", "audit", "unread"]


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
        others = "; ".join(f"not read: {told(tables)}" for tables in unread(text))
        raise DataError(
            "the card has no table of results: a header and two rows or more of numbers, in Markdown or as text"
            + (f" ({others})" if others else "")
        )
    return [_audit(table) for table in tables]


def told(tables: Unread) -> str:
    """How many tables of a kind were not read, and the way out."""
    where = "in a code block" if tables.kind == "code block" else f"in {tables.kind}"
    return f"{tables.n} {'table' if tables.n == 1 else 'tables'} {where}: write them in Markdown to have them checked"


def _audit(table: CardTable) -> TableAudit:
    made, turned = Draft(table), table.transposed()
    improvements(made, table)
    improvements(made, turned, across=True)
    averages(made, table)
    averages(made, turned, across=True)
    changes(made, table)
    _bold(made, table)
    return TableAudit(table, tuple(made.findings), made.n_checked, tuple(made.notes))


@dataclass(frozen=True, slots=True)
class _Bold:
    """What bold marks claim if they are read along one direction of a table."""

    n: int
    """Columns with a mark."""
    wrong: tuple[tuple[int, int, int], ...]
    """Row and column of a mark that is not the best, and the row of the best."""


def _bold(made: Draft, table: CardTable) -> None:
    """Bold scores claim that they are the best of their column or, where that fits better, of their row.

    The best may be that of the whole table, of a block or section, of the models of one size, or of all but reference
    rows such as "Human" or "GPT-4o"; and what is within the spread of the best may be marked beside it.
    """
    rows = [row for levels in level_blocks(table) for row in levels]
    scores = [at for at, header in enumerate(table.headers) if not _unclear(header)]
    marked = {row for row in rows if any(table.cells[row][at].bold for at in scores)}
    whole = {row for row in rows if _all_bold([table.cells[row][at] for at in scores])}
    if marked and marked <= whole:
        made.notes.append("Bold: whole rows, which is not read as a claim.")
        return
    down, across = _claims(table), _claims(table.transposed())
    if not down.n and not across.n:
        return
    turned = bool(down.wrong) and not across.wrong and _by_row(table, rows)
    claims, seen = (across, table.transposed()) if turned else (down, table)
    made.n_checked += claims.n
    made.notes.append(f"Bold: the best of each {'row' if turned else 'column'}.")
    for row, at, leader in claims.wrong:
        printed, value = seen.cells[row][at].text, seen.cells[leader][at].text
        why = f"{printed} is in bold, but {seen.labels[leader]} has the best, {value}."
        made.find(*place(turned, seen.labels[row], seen.headers[at]), printed, value, why)


def _by_row(table: CardTable, rows: Sequence[int]) -> bool:
    """Whether marks can be of the best of each row: each row has some, and not all, and no column is a cost."""
    marks = [[cell.bold for cell in table.cells[row] if cell.value is not None] for row in rows]
    levels = all(
        role(header) in (Role.LEVEL, Role.BASE) and best_of(header) == (max,) for header in table.headers
    )
    return levels and all(any(bold) and not all(bold) for bold in marks)


def _all_bold(cells: Sequence[Cell]) -> bool:
    bold = [cell.bold for cell in cells if cell.value is not None]
    return len(bold) > 1 and all(bold)


def _unclear(header: str) -> bool:
    """Whether a column is of costs or counts, of which either end or none may be the best."""
    return role(header) is Role.OTHER and (is_count(header) or len(best_of(header)) > 1)


def _claims(table: CardTable) -> _Bold:
    parts = level_blocks(table)
    rows = [row for levels in parts for row in levels]
    n, wrong = 0, []
    for at, header in enumerate(table.headers):
        bold = [row for row in rows if table.cells[row][at].bold]
        if not bold or role(header) is Role.IMPROVEMENT or _unclear(header):
            continue
        n += 1
        best = {row for peers in _peers(table, parts) for row in _leaders(table, peers, at)}
        for row in bold:
            if row not in best:
                block = next(levels for levels in parts if row in levels)
                wrong.append((row, at, min(_leaders(table, block, at, spread=False))))
    return _Bold(n, tuple(wrong))


def _peers(table: CardTable, parts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The sets of rows that a mark may be the best of."""
    rows = [row for levels in parts for row in levels]
    sections: dict[int, list[int]] = {}
    sizes: dict[str, list[int]] = {}
    for row in rows:
        sections.setdefault(bisect_right(table.sections, row), []).append(row)
        if size := _SIZE.search(table.labels[row]):
            sizes.setdefault(size[1], []).append(row)
    sets = [rows, *parts, *sections.values(), *sizes.values()]
    for peers in sets:
        yield list(peers)
        if compared := [row for row in peers if not _REFERENCE.search(table.labels[row])]:
            yield compared


def _leaders(table: CardTable, rows: Sequence[int], at: int, *, spread: bool = True) -> set[int]:
    """The rows with the best value of a column, and with `spread` those that are within its spread or their own."""
    cells = {row: table.cells[row][at] for row in rows}
    values = {row: cell.value for row, cell in cells.items() if cell.value is not None}
    found: set[int] = set()
    for best in best_of(table.headers[at]) if values else ():
        most = best(values.values())
        leading = {row for row, value in values.items() if value == most}
        reach = max((cells[row].spread or 0 for row in leading), default=0)
        found |= leading
        if spread:
            found |= {
                row
                for row, value in values.items()
                if abs(value - most) <= max(reach, cells[row].spread or 0)
            }
    return found


_SIZE = re.compile(r"\b(\d+(?:\.\d+)?)\s*[BM]\b", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\b(?:human|oracle|upper.?bound|topline|teacher|ground.?truth|gpt|gemini|claude|proprietary|closed)",
    re.IGNORECASE,
)
"""Labels of rows that others are not meant to beat."""
