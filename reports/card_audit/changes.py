"""The changes that a card's table prints: rows of improvements, and arrows, signs and changes beside scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ssl4rl_bench.reports.card_audit.cells import Cell
from ssl4rl_bench.reports.card_audit.claims import Reading, Role, best_of, close, maximal, readings, role
from ssl4rl_bench.reports.card_audit.findings import Draft, bases, blocks, level_blocks, place, shown, signed
from ssl4rl_bench.reports.card_audit.tables import CardTable

MAX_REFERENCES = 50
"""Rows of a table in which each row is tried as what changes are against."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well one way to read claims agrees with the table."""

    what: str
    n: int
    wrong: tuple[tuple[int, int, Decimal], ...]
    """Row, column, and the change that should be there."""

    @property
    def right(self) -> int:
        return self.n - len(self.wrong)


def improvements(made: Draft, table: CardTable, across: bool = False) -> None:
    """Checks rows of improvements, each by the reading that most of its cells agree with.

    Where most cells disagree with every reading, that is a finding only if labels name the base and the maximum.
    """
    for levels, change in blocks(table):
        if change is None or len(levels) < 2:
            continue
        label = table.labels[change]
        against, named = bases(table, levels)
        ways = readings(label, _fractions(table, levels))
        fits = [_fit(table, levels, change, base, way) for base in against for way in ways]
        fit = max(fits, key=lambda fit: fit.right)
        if fit.n == 0:
            continue
        if fit.right < len(fit.wrong) and not (named and maximal(label)):
            made.notes.append(f"{label}: not recomputed, as no way to derive it from the other rows fits.")
            continue
        made.n_checked += fit.n
        made.notes.append(f"{label}: {fit.what}; {fit.right} of {fit.n} agree.")
        for row, at, expected in fit.wrong:
            cell = table.cells[row][at]
            value = shown(expected, cell.decimals)
            made.find(
                *place(across, label, table.headers[at]),
                printed=cell.text,
                expected=value,
                why=f"{cell.text} should be {value}, {fit.what}.",
            )


def _fit(table: CardTable, levels: Sequence[int], change: int, base: int, reading: Reading) -> _Fit:
    wrong, n = [], 0
    for at, cell in enumerate(table.cells[change]):
        own = table.cells[base][at].value
        others = [table.cells[row][at] for row in levels if row != base]
        rest = [other.value for other in others if other.value is not None]
        kind = role(table.headers[at])
        if cell.value is None or own is None or not rest or kind is Role.IMPROVEMENT:
            continue
        directions = [end is min for end in best_of(table.headers[at])]
        expected = [value for lower in directions if (value := reading.of(rest, own, lower)) is not None]
        if not expected:
            continue
        n += 1
        levels_decimals = _fewest(table.cells[base][at], *others)
        decimals = min(cell.decimals, levels_decimals)
        slack = reading.slack(own, levels_decimals if reading.scale > 1 else decimals)
        if reading.scale > 1:
            decimals = cell.decimals
        if not any(
            close(_printed(cell.value, value, directions), value, decimals, slack) for value in expected
        ):
            wrong.append((change, at, expected[0]))
    return _Fit(reading.what.format(base=table.labels[base]), n, tuple(wrong))


def _printed(value: Decimal, expected: Decimal, directions: Sequence[bool]) -> Decimal:
    """Where less is better, an improvement of 3 may be printed as 3 or as -3."""
    return -abs(value) if True in directions and expected < 0 else value


def _fractions(table: CardTable, rows: Sequence[int]) -> bool:
    """Whether the levels of a table are fractions, from 0 to 1."""
    values = [cell.value for row in rows for cell in table.cells[row] if cell.value is not None]
    return all(0 <= value <= 1 for value in values) and any(0 < value < 1 for value in values)


def changes(made: Draft, table: CardTable) -> None:
    """Checks arrows, signs and changes beside scores: against the base row, the row above, or the base column."""
    found = [(fit, named, False) for fit, named in _change_fits(table)]
    found += [(fit, named, True) for fit, named in _change_fits(table.transposed())]
    if not found:
        return
    fit, named, across = max(
        found, key=lambda item: (item[0].right, -len(item[0].wrong), item[1], not item[2])
    )
    if fit.right < len(fit.wrong) and not named:
        made.notes.append("Changes beside scores: not recomputed, as nothing fits as what they are against.")
        return
    made.n_checked += fit.n
    made.notes.append(f"Changes beside scores: against {fit.what}; {fit.right} of {fit.n} agree.")
    seen = table.transposed() if across else table
    for row, at, change in fit.wrong:
        cell = seen.cells[row][at]
        value = signed(change, cell.decimals if cell.delta is None else cell.delta_decimals)
        made.find(
            *place(across, seen.labels[row], seen.headers[at]),
            printed=cell.text,
            expected=value,
            why=f"{cell.text} should have {value}, the change against {fit.what}.",
        )


def _change_fits(table: CardTable) -> list[tuple[_Fit, bool]]:
    """How well each way to read the changes agrees, and whether labels name what they are against.

    They are against a row that calls itself base, the first or any other one row of a block, the row above, or the
    nearest row above without changes; in points, in percent of it, or in points of fractions.
    """
    parts = level_blocks(table)
    units = [_POINTS, _PERCENT]
    if _fractions(table, [row for levels in parts for row in levels]):
        units.append(_POINTS_OF_FRACTIONS)
    references: list[tuple[str, list[Mapping[int, int]], bool]] = []
    against = [bases(table, levels) for levels in parts]
    is_named = any(named for _, named in against)
    for order in range(max((len(rows) for rows, _ in against), default=0)):
        chosen = [rows[min(order, len(rows) - 1)] for rows, _ in against]
        maps: list[Mapping[int, int]] = [
            dict.fromkeys(levels, base) for levels, base in zip(parts, chosen, strict=True)
        ]
        names = ", ".join(dict.fromkeys(table.labels[base] for base in chosen))
        references.append((names, maps, is_named))
    references.append(("the row above", [dict(zip(rows[1:], rows, strict=False)) for rows in parts], False))
    references.append(("the nearest row without changes", [_nearest(table, rows) for rows in parts], False))
    if len(parts) == 1 and len(parts[0]) <= MAX_REFERENCES:
        references += [(table.labels[row], [dict.fromkeys(parts[0], row)], False) for row in parts[0]]
    fits = [
        (_against(table, what + unit.suffix, maps, unit), named)
        for what, maps, named in references
        for unit in units
    ]
    return [(fit, named) for fit, named in fits if fit.n]


@dataclass(frozen=True, slots=True)
class _Unit:
    """What changes are printed in."""

    suffix: str
    scale: int = 1
    relative: bool = False


_POINTS = _Unit("")
_PERCENT = _Unit(", in percent of it", relative=True)
_POINTS_OF_FRACTIONS = _Unit(", in points", scale=100)


def _nearest(table: CardTable, rows: Sequence[int]) -> dict[int, int]:
    """Each row with changes to the nearest one above it without any."""
    found: dict[int, int] = {}
    reference = None
    for row in rows:
        if any(cell.delta is not None or cell.direction for cell in table.cells[row]):
            if reference is not None:
                found[row] = reference
        else:
            reference = row
    return found


def _against(table: CardTable, what: str, maps: Sequence[Mapping[int, int]], unit: _Unit) -> _Fit:
    """The changes of all rows against the rows that they are mapped to."""
    wrong, n = [], 0
    for row, other in (pair for references in maps for pair in references.items()):
        if other == row:
            continue
        for at, cell in enumerate(table.cells[row]):
            own = table.cells[other][at]
            if cell.value is None or own.value is None or not (cell.direction or cell.delta is not None):
                continue
            if unit.relative and not own.value:
                continue
            n += 1
            places = _fewest(cell, own)
            change = unit.scale * (cell.value - own.value)
            if unit.relative:
                change = 100 * change / abs(own.value)
            if cell.delta is None:
                right = change * cell.direction > 0
            elif unit.relative:
                slack = 200 * Decimal(1).scaleb(-places) / abs(own.value)
                right = close(cell.delta, change, cell.delta_decimals, slack)
            elif unit.scale > 1:
                slack = unit.scale * Decimal(1).scaleb(-places)
                right = close(cell.delta, change, cell.delta_decimals, slack)
            else:
                right = close(cell.delta, change, min(places, cell.delta_decimals))
            if not right:
                wrong.append((row, at, change))
    return _Fit(what, n, tuple(wrong))


def _fewest(*cells: Cell) -> int:
    """The fewest digits after the point, of the cells that have a value."""
    return min(cell.decimals for cell in cells if cell.value is not None)
