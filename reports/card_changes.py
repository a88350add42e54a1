"""The changes that a card's table prints: rows of improvements, and arrows, signs and changes beside scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ssl4rl_bench.reports.card_cells import Cell
from ssl4rl_bench.reports.card_claims import Reading, Role, close, lower_is_better, maximal, readings, role
from ssl4rl_bench.reports.card_findings import Draft, bases, blocks, level_blocks, place, shown, signed
from ssl4rl_bench.reports.card_tables import CardTable


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
        fits = [_fit(table, levels, change, base, way) for base in against for way in readings(label)]
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
        lower = lower_is_better(table.headers[at])
        if cell.value is None or own is None or not rest or role(table.headers[at]) is Role.IMPROVEMENT:
            continue
        expected = reading.of(rest, own, lower)
        if expected is None:
            continue
        n += 1
        decimals = _fewest(cell, table.cells[base][at], *others)
        # Where less is better, an improvement of 3 may be printed as 3 or as -3.
        printed = -abs(cell.value) if lower and expected < 0 else cell.value
        if not close(printed, expected, decimals, reading.slack(own, decimals)):
            wrong.append((change, at, expected))
    return _Fit(reading.what.format(base=table.labels[base]), n, tuple(wrong))


def changes(made: Draft, table: CardTable) -> None:
    """Checks arrows, signs and changes beside scores: against the base row, the row above, or the base column."""
    found = [(fit, named, False) for fit, named in _change_fits(table)]
    found += [(fit, named, True) for fit, named in _change_fits(table.transposed())]
    if not found:
        return
    fit, named, across = max(found, key=lambda item: (item[0].right, item[1], not item[2]))
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
    """The fit of each row that changes may be against, over all blocks, and whether labels name it."""
    out: list[tuple[_Fit, bool]] = []
    parts = level_blocks(table)
    against = [bases(table, levels) for levels in parts]
    for order in range(max((len(rows) for rows, _ in against), default=0)):
        fits = [
            _against(table, levels, rows[min(order, len(rows) - 1)])
            for levels, (rows, _) in zip(parts, against, strict=True)
        ]
        out.append((_together(fits), any(named for _, named in against)))
    out.append((_together([_against(table, levels, None) for levels in parts]), False))
    return [(fit, named) for fit, named in out if fit.n]


def _against(table: CardTable, levels: Sequence[int], base: int | None) -> _Fit:
    """Claims of a block against one row, or with None each against the row above it."""
    wrong, n = [], 0
    for position, row in enumerate(levels):
        other = base if base is not None else levels[position - 1] if position else row
        if other == row:
            continue
        for at, cell in enumerate(table.cells[row]):
            own = table.cells[other][at]
            if cell.value is None or own.value is None or not (cell.direction or cell.delta is not None):
                continue
            n += 1
            change = cell.value - own.value
            if cell.delta is None:
                right = change * cell.direction > 0
            else:
                right = close(cell.delta, change, min(_fewest(cell, own), cell.delta_decimals))
            if not right:
                wrong.append((row, at, change))
    return _Fit("the row above" if base is None else table.labels[base], n, tuple(wrong))


def _together(fits: Sequence[_Fit]) -> _Fit:
    return _Fit(
        ", ".join(dict.fromkeys(fit.what for fit in fits if fit.n)),
        sum(fit.n for fit in fits),
        tuple(item for fit in fits for item in fit.wrong),
    )


def _fewest(*cells: Cell) -> int:
    """The fewest digits after the point, of the cells that have a value."""
    return min(cell.decimals for cell in cells if cell.value is not None)
