"""The averages of a card's table, under each known way to average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from ssl4rl_bench.mmbench_taxonomy import EDITIONS
from ssl4rl_bench.reports.card_cells import Cell
from ssl4rl_bench.reports.card_claims import Role, Weighting, close, role, weightings
from ssl4rl_bench.reports.card_findings import Draft, level_blocks, place, shown
from ssl4rl_bench.reports.card_tables import CardTable

COINCIDENCE = 0.05
"""A count that fits every printed average is named if it would by chance less often than this."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well one way to average agrees with a column."""

    way: Weighting
    right: int
    wrong: Mapping[int, Decimal]
    """Row to the average that should be there."""


def averages(made: Draft, table: CardTable, across: bool = False) -> None:
    """Checks columns of averages, each by the weighting that most rows agree with.

    If most rows disagree with every known one, that is one finding about the column.
    """
    kinds = [role(header) for header in table.headers]
    rows = [row for levels in level_blocks(table) for row in levels]
    for at, header in enumerate(table.headers):
        if kinds[at] is not Role.AVERAGE:
            continue
        fits = [_fit(table, rows, at, columns, way) for columns, way in _ways(table, kinds, at)]
        fits = [fit for fit in fits if fit.right or fit.wrong]
        if not fits:
            continue
        fit = max(fits, key=lambda fit: fit.right)
        made.n_checked += fit.right + len(fit.wrong)
        if fit.right < max(1, len(fit.wrong)):
            _none_fits(made, table, fits, at, across)
            made.notes += _counts(table, rows, at)
            continue
        made.notes.append(f"{header}: {fit.way.what}; {fit.right} of {fit.right + len(fit.wrong)} agree.")
        for row, expected in fit.wrong.items():
            cell = table.cells[row][at]
            value = shown(expected, cell.decimals)
            why = f"{cell.text} should be {value}, {fit.way.what}."
            made.find(*place(across, table.labels[row], header), cell.text, value, why)


def _fit(table: CardTable, rows: Sequence[int], at: int, columns: Sequence[int], way: Weighting) -> _Fit:
    right, wrong = 0, {}
    for row in rows:
        cells = [table.cells[row][column] for column in columns]
        printed, expected = table.cells[row][at], way.of(cells)
        if printed.value is None or expected is None:
            continue
        if close(printed.value, expected, min(cell.decimals for cell in (printed, *cells))):
            right += 1
        else:
            wrong[row] = expected
    return _Fit(way, right, wrong)


def _none_fits(made: Draft, table: CardTable, fits: Sequence[_Fit], at: int, across: bool) -> None:
    row = min(row for fit in fits for row in fit.wrong)
    cell = table.cells[row][at]
    tried = [f"{fit.way.what} ({shown(fit.wrong[row], cell.decimals)})" for fit in fits if row in fit.wrong]
    neither = f"not {tried[0]}" if len(tried) == 1 else f"neither {', nor '.join(tried)}"
    why = f"{table.labels[row]}'s {cell.text} is {neither}; say what it averages."
    made.find(*place(across, "", table.headers[at]), cell.text, "", why)


def _ways(table: CardTable, kinds: Sequence[Role], at: int) -> list[tuple[list[int], Weighting]]:
    """Columns and weights that an average may be of: all others, those on its left, those on its right."""
    scores = [column for column, kind in enumerate(kinds) if kind in (Role.LEVEL, Role.BASE)]
    left, right = at, at + 1
    while left and kinds[left - 1] is not Role.AVERAGE:
        left -= 1
    while right < len(kinds) and kinds[right] is not Role.AVERAGE:
        right += 1
    spans = (scores, [c for c in scores if left <= c < at], [c for c in scores if at < c < right])
    out: dict[tuple[int, ...], list[tuple[list[int], Weighting]]] = {}
    for columns in spans:
        if len(columns) >= 2:
            out[tuple(columns)] = [(columns, way) for way in weightings([table.headers[c] for c in columns])]
    return [way for ways in out.values() for way in ways]


def _counts(table: CardTable, rows: Sequence[int], at: int) -> Iterator[str]:
    """Numbers of questions or rows of MMBench of which every printed average can be a share."""
    cells = [cell for row in rows if (cell := table.cells[row][at]).value is not None]
    for edition in EDITIONS.values():
        for n, unit in ((edition.n_groups, "questions"), (edition.n_rows, "rows")):
            for mode, how in ((ROUND_HALF_UP, "rounded"), (ROUND_DOWN, "truncated")):
                counts = [_count(cell, n, mode) for cell in cells] if n else [None]
                chance = 1.0
                for cell in cells:
                    chance *= min(1.0, (n or 0) / 10 ** (2 + cell.decimals))
                if None not in counts and chance < COINCIDENCE:
                    listed = ", ".join(map(str, counts))
                    yield (
                        f"{table.headers[at]}: every value can be a share of the {n} {unit} of {edition.title}, "
                        f"{how} ({listed} right)."
                    )


def _count(cell: Cell, n: int, mode: str) -> int | None:
    """The number right of `n` that is printed as this percentage; None if none is."""
    assert cell.value is not None
    unit = Decimal(1).scaleb(-cell.decimals)
    near = int(cell.value * n / 100)
    for count in (near, near + 1):
        if (Decimal(100 * count) / n).quantize(unit, rounding=mode) == cell.value:
            return count
    return None
