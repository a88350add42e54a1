"""The averages of a card's table, under each known way to average."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from ssl4rl_bench.reports.card_audit.cells import Cell
from ssl4rl_bench.reports.card_audit.claims import Role, Weighting, close, role, weightings
from ssl4rl_bench.reports.card_audit.findings import Draft, level_blocks, place, shown
from ssl4rl_bench.reports.card_audit.tables import MAX_COLUMNS, CardTable
from ssl4rl_bench.task.mmbench.taxonomy import EDITIONS

_AVERAGE_WORD = re.compile(r"\b(?:avg|average|averaged|mean|overall)\b", re.IGNORECASE)
_PLAIN_AVERAGE = re.compile(
    r"\b(?:avg|average|mean|overall|score|scores|acc|accuracy|grand|higher|is|better)\b|[↑↓%.]", re.IGNORECASE
)
"""What a header may say without saying that its average is a special one."""
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

    If most rows disagree with every known one, that is one finding about the column, unless its header says that it
    averages something else than the columns, or a column of the table could not be read.
    """
    if len(table.headers) > MAX_COLUMNS:
        return
    kinds = [_kind(table, at) for at in range(len(table.headers))]
    rows = [row for levels in level_blocks(table) for row in levels]
    for at, header in enumerate(table.headers):
        if kinds[at] is not Role.AVERAGE:
            continue
        named = _named(table, at)
        ways = _named_ways(table, named) or _ways(table, kinds, at)
        fits = [_fit(table, rows, at, columns, way) for columns, way in ways]
        fits = [fit for fit in fits if fit.right or fit.wrong]
        if not fits:
            continue
        fit = max(fits, key=lambda fit: fit.right)
        if fit.right < max(1, len(fit.wrong)):
            why = _undetermined(table, at, named)
            if why:
                made.notes += [] if across else [f"{header}: not recomputed, as {why}."]
                continue
            made.n_checked += fit.right + len(fit.wrong)
            _none_fits(made, table, fits, at, across)
            made.notes += _counts(table, rows, at)
            continue
        made.n_checked += fit.right + len(fit.wrong)
        made.notes.append(f"{header}: {fit.way.what}; {fit.right} of {fit.right + len(fit.wrong)} agree.")
        for row, expected in fit.wrong.items():
            cell = table.cells[row][at]
            value = shown(expected, cell.decimals)
            why = f"{cell.text} should be {value}, {fit.way.what}."
            made.find(*place(across, table.labels[row], header), cell.text, value, why)


def _kind(table: CardTable, at: int) -> Role:
    """The role of a column; one whose header speaks of an average and of other columns is an average too."""
    kind = role(table.headers[at])
    if kind is Role.LEVEL and _AVERAGE_WORD.search(table.headers[at]):
        return Role.AVERAGE
    return kind


def _named(table: CardTable, at: int) -> list[int]:
    """The columns that the header of an average names as its parts."""
    text = f" {_words(table.headers[at])} "
    return [
        column
        for column, header in enumerate(table.headers)
        if column != at and (words := _words(header)) and f" {words} " in text
    ]


def _named_ways(table: CardTable, named: Sequence[int]) -> list[tuple[list[int], Weighting]]:
    if len(named) < 2:
        return []
    headers = ", ".join(table.headers[column] for column in named)
    return [(list(named), Weighting(f"the mean of {headers}, which its header names", (1,) * len(named)))]


def _undetermined(table: CardTable, at: int, named: Sequence[int]) -> str:
    """Why the table does not decide what a column averages, as a clause; empty if it should."""
    header = table.headers[at]
    qualifier = _words(_PLAIN_AVERAGE.sub(" ", header))
    if len(named) < 2 and qualifier:
        return "its header names what the columns do not determine"
    if len(named) < 2 and re.search(r"\boverall\b", header, re.IGNORECASE):
        return "an overall score need not be a mean of the columns"
    if table.dropped:
        return f"a column cannot be read ({table.dropped[0]})"
    return ""


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


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
    """Columns and weights that an average may be of: all others, those on its left, those on its right.

    Columns that are no scores by their names are left out at first, and taken in where that fits.
    """
    scores = [column for column, kind in enumerate(kinds) if kind in (Role.LEVEL, Role.BASE)]
    others = [column for column, kind in enumerate(kinds) if kind in (Role.LEVEL, Role.BASE, Role.OTHER)]
    left, right = at, at + 1
    while left and kinds[left - 1] is not Role.AVERAGE:
        left -= 1
    while right < len(kinds) and kinds[right] is not Role.AVERAGE:
        right += 1
    spans = [
        span
        for columns in (scores, others)
        for span in (columns, [c for c in columns if left <= c < at], [c for c in columns if at < c < right])
    ]
    out: dict[tuple[int, ...], list[tuple[list[int], Weighting]]] = {}
    for columns in spans:
        if len(columns) >= 2 and tuple(columns) not in out:
            ways = [*weightings([table.headers[c] for c in columns]), *_printed_weights(table, columns)]
            out[tuple(columns)] = [(columns, way) for way in ways]
    return [way for ways in out.values() for way in ways]


def _printed_weights(table: CardTable, columns: Sequence[int]) -> Iterator[Weighting]:
    """Weights that the table prints: a row of counts, or a count behind each header, as in "OCR (39)"."""
    for row, label in enumerate(table.labels):
        counts = [table.cells[row][column].value for column in columns]
        if role(label) is Role.OTHER and all(n is not None and n > 0 and n == int(n) for n in counts):
            yield Weighting(f"the mean weighted by {label}", tuple(int(n) for n in counts if n is not None))
    matches = [_COUNT.search(table.headers[column]) for column in columns]
    if all(matches):
        yield Weighting(
            "the mean weighted by the counts in the headers",
            tuple(int(match[1]) for match in matches if match),
        )


_COUNT = re.compile(r"[(\[]\s*(?:n\s*=\s*)?(\d{1,7})\s*(?:questions|samples|q)?\s*[)\]]")


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
