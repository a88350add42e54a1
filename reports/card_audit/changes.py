"""Checks the changes that a card's table prints: rows of improvements, and changes next to scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from ssl4rl_bench.reports.card_audit.cells import digits
from ssl4rl_bench.reports.card_audit.claims import (
    ComparedLevel,
    LabelRole,
    Unit,
    better_ends,
    maximal,
    readings,
    role,
)
from ssl4rl_bench.reports.card_audit.findings import Derived, Fit, TableAudit, best_fit, blocks, level_rows
from ssl4rl_bench.reports.card_audit.tables import CardTable

MAX_REFERENCES = 50
"""Maximum rows of a table for which every row is tried as the reference of changes."""


def improvements(made: TableAudit, table: CardTable) -> None:
    """Checks each row of improvements by the reading that most of its cells agree with.

    If most cells disagree with every reading, that is a finding only if labels name the base and the maximum.
    """
    for levels, changes_of, bases, named in blocks(table):
        if len(levels) < 2:
            continue
        for change in changes_of:
            label = table.labels[change]
            fits = [
                Fit(
                    table,
                    f"{what} minus {table.labels[base]}"
                    + (f", in percent of {table.labels[base]}" if unit is Unit.PERCENT else ""),
                    _improvement(table, levels, change, base, unit, level),
                    named and maximal(label),
                )
                for base in bases
                for unit, what, level in readings(label, _fractions(table, levels))
            ]
            made.settle(label, best_fit(fits), "no derivation from the other rows agrees with it")


def _improvement(
    table: CardTable, levels: Sequence[int], change: int, base: int, unit: Unit, level: ComparedLevel
) -> Iterator[Derived]:
    """Recomputes the cells of a row of improvements from the levels and the base of its block."""
    for column, header in enumerate(table.headers):
        printed, start = table.cells[change][column].value, table.cells[base][column].value
        others = [table.cells[row][column].value for row in levels if row != base]
        rest = [value for value in others if value is not None]
        if printed is None or start is None or not rest or role(header) is LabelRole.IMPROVEMENT:
            continue
        ends = better_ends(header)
        derived = [unit.change(level(rest, best), start) for best in ends]
        expected = [value for value in derived if value is not None]
        if not expected:
            continue
        decimals, places = digits(printed), digits(start, *rest)
        if unit is Unit.PERCENT:
            decimals = places = min(decimals, places)
        # If less is better, an improvement of 3 may be printed as 3 or as -3.
        right = any(
            unit.agrees(
                -abs(printed) if min in ends and value < 0 else printed, value, start, decimals, places
            )
            for value in expected
        )
        yield Derived(change, column, expected[0], right)


def _fractions(table: CardTable, rows: Sequence[int]) -> bool:
    """Whether the levels of a table are fractions between 0 and 1."""
    values = [cell.value for row in rows for cell in table.cells[row] if cell.value is not None]
    return all(0 <= value <= 1 for value in values) and any(0 < value < 1 for value in values)


def changes(made: TableAudit, table: CardTable) -> None:
    """Checks arrows, signs and changes next to scores, against the reference row or column that fits best."""
    fits = [
        Fit(seen, f"against {what}{unit}", _beside(seen, against, unit), named)
        for seen in (table, table.transposed())
        for what, against, named in _references(seen)
        for unit in Unit
        if unit is not Unit.FRACTIONS or _fractions(seen, level_rows(seen))
    ]
    fits.sort(key=lambda fit: (len(fit.wrong), not fit.named, fit.table.turned))
    made.settle(
        "Changes next to scores", best_fit(fits), "no row or column agrees as their reference", beside=True
    )


def _references(table: CardTable) -> Iterator[tuple[str, Mapping[int, int], bool]]:
    """Yields possible references of changes: a name, the reference of each row, and whether labels name it.

    A reference is a row labelled as base, the first or any other single row of a block, the row above, or the
    nearest row above without changes.
    """
    parts = blocks(table)
    named = any(block.named for block in parts)
    for order in range(max((len(block.bases) for block in parts), default=0)):
        base_of = {row: block.bases[: order + 1][-1] for block in parts for row in block.levels}
        yield ", ".join(dict.fromkeys(table.labels[base] for base in base_of.values())), base_of, named
    above = {row: before for block in parts for before, row in pairwise(block.levels)}
    yield "the row above", above, False
    nearest: dict[int, int] = {}
    for row, before in above.items():
        if not any(cell.changed for cell in table.cells[before]):
            nearest[row] = before
        elif before in nearest:
            nearest[row] = nearest[before]
    yield "the nearest row without changes", nearest, False
    if len(parts) == 1 and len(parts[0].levels) <= MAX_REFERENCES:
        for base in parts[0].levels:
            yield table.labels[base], dict.fromkeys(parts[0].levels, base), False


def _beside(table: CardTable, against: Mapping[int, int], unit: Unit) -> Iterator[Derived]:
    """Recomputes the changes next to scores, of each row against the row that it is mapped to."""
    for row, other in against.items():
        for column, (cell, base) in enumerate(zip(table.cells[row], table.cells[other], strict=True)):
            if other == row or cell.value is None or base.value is None or not cell.changed:
                continue
            change = unit.change(cell.value, base.value)
            if change is None:
                continue
            if cell.delta is None:
                right = change * cell.direction > 0
            else:
                places = digits(cell.value, base.value)
                right = unit.agrees(cell.delta, change, base.value, digits(cell.delta), places)
            yield Derived(row, column, change, right)
