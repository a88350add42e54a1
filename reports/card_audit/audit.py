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
from ssl4rl_bench.reports.card_audit.changes import changes, improvements
from ssl4rl_bench.reports.card_audit.claims import Role, best_of, is_count, role
from ssl4rl_bench.reports.card_audit.findings import Draft, Finding, level_blocks, level_rows
from ssl4rl_bench.reports.card_audit.tables import CardTable, Unread, find_tables, unread

__all__ = ["Finding", "TableAudit", "Unread", "audit", "unread"]

_SIZE = re.compile(r"\b(\d+(?:\.\d+)?)\s*[BM]\b", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\b(?:human|oracle|upper.?bound|topline|teacher|ground.?truth|gpt|gemini|claude|proprietary|closed)",
    re.IGNORECASE,
)
"""Labels of rows that others are not meant to beat."""


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
    made = Draft(table)
    for check in (improvements, averages):
        check(made, table)
        check(made, table.transposed())
    changes(made, table)
    _bold(made, table)
    return TableAudit(table, tuple(made.findings), made.n_checked, tuple(made.notes))


def _bold(made: Draft, table: CardTable) -> None:
    """Bold scores claim that they are the best of their column or, where that fits better, of their row.

    The best may be that of the whole table, of a block or section, of the models of one size, or of all but reference
    rows such as "Human" or "GPT-4o"; and what is within the spread of the best may be marked beside it.
    """
    scores = [at for at, header in enumerate(table.headers) if not _unclear(header)]
    marks = [
        [cell.bold for at in scores if (cell := table.cells[row][at]).value is not None]
        for row in level_rows(table)
    ]
    marked = [bold for bold in marks if any(bold)]
    if marked and all(len(bold) > 1 and all(bold) for bold in marked):
        made.notes.append("Bold: whole rows, which is not read as a claim.")
        return
    seen, turned = table, table.transposed()
    n, wrong = _not_best(table)
    n_across, wrong_across = _not_best(turned)
    if not n and not n_across:
        return
    # Marks can be of the best of each row if each row has some, and not all, and no column is a cost.
    by_row = all(any(bold) and not all(bold) for bold in marks) and all(
        role(header) in (Role.LEVEL, Role.BASE) and best_of(header) == (max,) for header in table.headers
    )
    if wrong and not wrong_across and by_row:
        seen, n, wrong = turned, n_across, wrong_across
    made.n_checked += n
    made.notes.append(f"Bold: the best of each {'row' if seen.turned else 'column'}.")
    for row, at, leader in wrong:
        printed, value = seen.cells[row][at].text, seen.cells[leader][at].text
        why = f"{printed} is in bold, but {seen.labels[leader]} has the best, {value}."
        made.find(seen, row, at, value, why)


def _unclear(header: str) -> bool:
    """Whether a column is of costs or counts, of which either end or none may be the best."""
    return role(header) is Role.OTHER and (is_count(header) or len(best_of(header)) > 1)


def _not_best(table: CardTable) -> tuple[int, list[tuple[int, int, int]]]:
    """The number of columns with a mark; row and column of each mark that is not the best, and the best's row."""
    parts, rows = level_blocks(table), level_rows(table)
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
    return n, wrong


def _peers(table: CardTable, parts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The sets of rows that a mark may be the best of."""
    rows = level_rows(table)
    sections: dict[int, list[int]] = {}
    sizes: dict[str, list[int]] = {}
    for row in rows:
        sections.setdefault(bisect_right(table.sections, row), []).append(row)
        if size := _SIZE.search(table.labels[row]):
            sizes.setdefault(size[1], []).append(row)
    for peers in (rows, *parts, *sections.values(), *sizes.values()):
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
        reach = max(cells[row].spread or 0 for row, value in values.items() if value == most)
        found |= {
            row
            for row, value in values.items()
            if value == most or (spread and abs(value - most) <= max(reach, cells[row].spread or 0))
        }
    return found
