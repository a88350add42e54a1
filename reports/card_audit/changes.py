"""The changes that a card's table prints: rows of improvements, and arrows, signs and changes beside scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from ssl4rl_bench.reports.card_audit.cells import Cell
from ssl4rl_bench.reports.card_audit.claims import Reading, Role, Unit, best_of, maximal, readings, role
from ssl4rl_bench.reports.card_audit.findings import Draft, Fit, bases, blocks, level_blocks, level_rows
from ssl4rl_bench.reports.card_audit.tables import CardTable

MAX_REFERENCES = 50
"""Rows of a table in which each row is tried as what changes are against."""


def improvements(made: Draft, table: CardTable) -> None:
    """Checks rows of improvements, each by the reading that most of its cells agree with.

    Where most cells disagree with every reading, that is a finding only if labels name the base and the maximum.
    """
    for levels, change in blocks(table):
        if change is None or len(levels) < 2:
            continue
        label = table.labels[change]
        against, named = bases(table, levels)
        ways = readings(label, _fractions(table, levels))
        fits = [_improvement(table, levels, change, base, way) for base in against for way in ways]
        fit = max(fits, key=lambda fit: fit.right)
        if fit.n == 0:
            continue
        if fit.right < len(fit.wrong) and not (named and maximal(label)):
            made.notes.append(f"{label}: not recomputed, as no way to derive it from the other rows fits.")
        else:
            made.accept(table, label, fit)


def _improvement(table: CardTable, levels: Sequence[int], change: int, base: int, reading: Reading) -> Fit:
    fit, unit = Fit(reading.what.format(base=table.labels[base])), reading.unit
    for at, (cell, header) in enumerate(zip(table.cells[change], table.headers, strict=True)):
        own = table.cells[base][at].value
        others = [table.cells[row][at] for row in levels if row != base]
        rest = [other.value for other in others if other.value is not None]
        if cell.value is None or own is None or not rest or role(header) is Role.IMPROVEMENT:
            continue
        directions = [end is min for end in best_of(header)]
        derived = [unit.change(reading.level(rest, less), own) for less in directions]
        expected = [value for value in derived if value is not None]
        if not expected:
            continue
        fit.n += 1
        decimals, places = cell.decimals, _fewest(table.cells[base][at], *others)
        if unit is Unit.PERCENT:
            decimals = places = min(decimals, places)
        printed, lower = cell.value, True in directions
        # Where less is better, an improvement of 3 may be printed as 3 or as -3.
        if not any(
            unit.agrees(-abs(printed) if lower and value < 0 else printed, value, own, decimals, places)
            for value in expected
        ):
            fit.wrong[change, at] = expected[0]
    return fit


def _fractions(table: CardTable, rows: Sequence[int]) -> bool:
    """Whether the levels of a table are fractions, from 0 to 1."""
    values = [cell.value for row in rows for cell in table.cells[row] if cell.value is not None]
    return all(0 <= value <= 1 for value in values) and any(0 < value < 1 for value in values)


def changes(made: Draft, table: CardTable) -> None:
    """Checks arrows, signs and changes beside scores: against the base row, the row above, or the base column."""
    fits = [
        (fit, named, seen)
        for seen in (table, table.transposed())
        for what, against, named in _references(seen)
        for unit in _units(seen)
        if (fit := _beside(seen, f"against {what}{unit}", against, unit)).n
    ]
    if not fits:
        return
    fit, named, seen = max(
        fits, key=lambda item: (item[0].right, -len(item[0].wrong), item[1], not item[2].turned)
    )
    if fit.right < len(fit.wrong) and not named:
        made.notes.append("Changes beside scores: not recomputed, as nothing fits as what they are against.")
    else:
        made.accept(seen, "Changes beside scores", fit, beside=True)


def _units(table: CardTable) -> list[Unit]:
    return list(Unit) if _fractions(table, level_rows(table)) else [Unit.POINTS, Unit.PERCENT]


def _references(table: CardTable) -> Iterator[tuple[str, Mapping[int, int], bool]]:
    """What changes may be against: its name, each row's row of reference, and whether labels name it.

    A row that calls itself base, the first or any other one row of a block, the row above, or the nearest row above
    without changes.
    """
    parts = level_blocks(table)
    against = [bases(table, levels) for levels in parts]
    named = any(says for _, says in against)
    for order in range(max((len(rows) for rows, _ in against), default=0)):
        chosen = [rows[min(order, len(rows) - 1)] for rows, _ in against]
        base_of = {row: base for levels, base in zip(parts, chosen, strict=True) for row in levels}
        yield ", ".join(dict.fromkeys(table.labels[base] for base in chosen)), base_of, named
    above = {row: before for rows in parts for before, row in pairwise(rows)}
    yield "the row above", above, False
    yield "the nearest row without changes", _nearest(table, parts), False
    if len(parts) == 1 and len(parts[0]) <= MAX_REFERENCES:
        for base in parts[0]:
            yield table.labels[base], dict.fromkeys(parts[0], base), False


def _nearest(table: CardTable, parts: Sequence[Sequence[int]]) -> dict[int, int]:
    """Each row with changes to the nearest one above it in its block without any."""
    found: dict[int, int] = {}
    for rows in parts:
        reference = None
        for row in rows:
            if not any(map(_has_change, table.cells[row])):
                reference = row
            elif reference is not None:
                found[row] = reference
    return found


def _beside(table: CardTable, what: str, against: Mapping[int, int], unit: Unit) -> Fit:
    """The changes beside scores, of all rows against the rows that they are mapped to."""
    fit = Fit(what)
    for row, other in against.items():
        for at, (cell, base) in enumerate(zip(table.cells[row], table.cells[other], strict=True)):
            if other == row or cell.value is None or base.value is None or not _has_change(cell):
                continue
            change = unit.change(cell.value, base.value)
            if change is None:
                continue
            fit.n += 1
            if cell.delta is None:
                right = change * cell.direction > 0
            else:
                right = unit.agrees(cell.delta, change, base.value, cell.delta_decimals, _fewest(cell, base))
            if not right:
                fit.wrong[row, at] = change
    return fit


def _has_change(cell: Cell) -> bool:
    return cell.delta is not None or cell.direction != 0


def _fewest(*cells: Cell) -> int:
    """The fewest digits after the point, of the cells that have a value."""
    return min(cell.decimals for cell in cells if cell.value is not None)
