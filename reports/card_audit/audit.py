"""Recomputes what a model card's tables derive: improvements, averages, changes next to scores, bold marks.

A finding is a claim that the printed numbers contradict; a claim that they cannot decide is not a finding.
`claims` defines how a row or column is read and how close a number must be.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.reports.card_audit.averages import averages
from ssl4rl_bench.reports.card_audit.changes import changes, improvements
from ssl4rl_bench.reports.card_audit.claims import LabelRole, better_ends, is_count, role
from ssl4rl_bench.reports.card_audit.findings import CardFinding, TableAudit, blocks, level_rows
from ssl4rl_bench.reports.card_audit.tables import CardTable, find_tables, unread

__all__ = ["CardFinding", "TableAudit", "audit_card", "unread"]

_SIZE = re.compile(r"\b(\d+(?:\.\d+)?)\s*[BM]\b", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\b(?:human|oracle|upper.?bound|topline|teacher|ground.?truth|gpt|gemini|claude|proprietary|closed)",
    re.IGNORECASE,
)
"""Labels of reference rows, which the others are not meant to beat."""


def audit_card(text: str) -> list[TableAudit]:
    """Recomputes the derived cells of every table of results in a card, in the card's order.

    Raises:
        DataError: the card has no table of results, or is too long.
    """
    tables = find_tables(text)
    if not tables:
        others = "; ".join(f"not read: {unread_note(kind, n)}" for kind, n in unread(text).items())
        raise DataError(
            "the card has no table of results: a header and two rows or more of numbers, in Markdown or as text"
            + (f" ({others})" if others else "")
        )
    return [_audit(table) for table in tables]


def unread_note(kind: str, n: int) -> str:
    """Says how many tables of a kind were not read, and how to have them checked."""
    where = "in a code block" if kind == "code block" else f"in {kind}"
    return f"{n} {'table' if n == 1 else 'tables'} {where}: write them in Markdown to have them checked"


def _audit(table: CardTable) -> TableAudit:
    made = TableAudit(table)
    for check in (improvements, averages):
        check(made, table)
        check(made, table.transposed())
    changes(made, table)
    _bold(made, table)
    return made


def _bold(made: TableAudit, table: CardTable) -> None:
    """Checks bold scores, which claim to be the best of their column or, if that fits better, of their row.

    "Best" may refer to the whole table, a block or section, the models of one size, or all but reference rows
    such as "Human" or "GPT-4o". Scores within the spread of the best may be bold too.
    """
    scores = [column for column, header in enumerate(table.headers) if not _unclear(header)]
    marks = [
        [cell.bold for column in scores if (cell := table.cells[row][column]).value is not None]
        for row in level_rows(table)
    ]
    marked = [row for row in marks if any(row)]
    if marked and all(len(row) > 1 and all(row) for row in marked):
        made.notes += ("Bold: complete rows, which are not taken as a claim.",)
        return
    seen, turned = table, table.transposed()
    n, wrong = _not_best(table)
    n_across, wrong_across = _not_best(turned)
    if not n and not n_across:
        return
    # Marks can be read by row only if every row has some marks but not all, and no column is a cost.
    by_row = all(any(row) and not all(row) for row in marks) and all(
        role(header) in (LabelRole.LEVEL, LabelRole.BASE) and better_ends(header) == (max,)
        for header in table.headers
    )
    if wrong and not wrong_across and by_row:
        seen, n, wrong = turned, n_across, wrong_across
    made.n_checked += n
    made.notes += (f"Bold: the best of each {'row' if seen.turned else 'column'}.",)
    for row, column, leader in wrong:
        printed, value = seen.cells[row][column].text, seen.cells[leader][column].text
        why = f"{printed} is in bold, but {seen.labels[leader]} has the best value, {value}."
        made.find(seen, row, column, value, why)


def _unclear(header: str) -> bool:
    """Whether a column holds costs or counts, for which either end, or neither, may be the best."""
    return role(header) is LabelRole.OTHER and (is_count(header) or len(better_ends(header)) > 1)


def _not_best(table: CardTable) -> tuple[int, list[tuple[int, int, int]]]:
    """Returns the number of columns with a mark, and (row, column, row of the best) of each wrong mark."""
    parts = [block.levels for block in blocks(table)]
    n, wrong = 0, []
    for column, header in enumerate(table.headers):
        marked = [(row, levels) for levels in parts for row in levels if table.cells[row][column].bold]
        if not marked or role(header) is LabelRole.IMPROVEMENT or _unclear(header):
            continue
        n += 1
        best = {row for peers in _peers(table, parts) for row in _leaders(table, peers, column)}
        wrong += [
            (row, column, min(_leaders(table, levels, column, spread=False)))
            for row, levels in marked
            if row not in best
        ]
    return n, wrong


def _peers(table: CardTable, parts: Sequence[list[int]]) -> Iterator[list[int]]:
    """Yields the sets of rows that a mark may claim to be the best of."""
    rows = [row for levels in parts for row in levels]
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for row in rows:
        groups[bisect_right(table.sections, row)].append(row)
        if size := _SIZE.search(table.labels[row]):
            groups[size[1]].append(row)
    for peers in (rows, *parts, *groups.values()):
        yield peers
        yield [row for row in peers if not _REFERENCE.search(table.labels[row])]


def _leaders(table: CardTable, rows: Sequence[int], column: int, *, spread: bool = True) -> set[int]:
    """Returns the rows with a column's best value; with `spread`, also those within its or their spread."""
    cells = {row: table.cells[row][column] for row in rows}
    values = {row: cell.value for row, cell in cells.items() if cell.value is not None}
    leaders: set[int] = set()
    for best in better_ends(table.headers[column]) if values else ():
        most = best(values.values())
        reach = max(cells[row].spread or 0 for row, value in values.items() if value == most)
        leaders |= {
            row
            for row, value in values.items()
            if value == most or (spread and abs(value - most) <= max(reach, cells[row].spread or 0))
        }
    return leaders
