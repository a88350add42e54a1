"""The averages of a card's table, under each known way to average."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from math import prod

from ssl4rl_bench.reports.card_audit.cells import Cell
from ssl4rl_bench.reports.card_audit.claims import Role, ability, close, role
from ssl4rl_bench.reports.card_audit.findings import Draft, Fit, level_rows, shown
from ssl4rl_bench.reports.card_audit.tables import MAX_COLUMNS, CardTable
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS, EDITIONS, L2_OF

_AVERAGE_WORD = re.compile(r"\b(?:avg|average|averaged|mean|overall)\b", re.IGNORECASE)
_PLAIN_AVERAGE = re.compile(
    r"\b(?:avg|average|mean|overall|score|scores|acc|accuracy|grand|higher|is|better)\b|[↑↓%.]", re.IGNORECASE
)
"""What a header may say without saying that its average is a special one."""
COINCIDENCE = 0.05
"""A count that fits every printed average is named if it would by chance less often than this."""


_COUNT = re.compile(r"[(\[]\s*(?:n\s*=\s*)?(\d{1,7})\s*(?:questions|samples|q)?\s*[)\]]")
_QUESTIONS = {
    edition.title: {
        name: sum(n for leaf, n in edition.leaves.items() if L2_OF[leaf] == name) for _, name in CARD_COLUMNS
    }
    for edition in EDITIONS.values()
    if edition.leaves is not None
}
"""Questions of each ability, by MMBench's editions."""


_Way = tuple[str, Mapping[int, int]]
"""One way to average columns, in words, and the weight of each column."""


def averages(made: Draft, table: CardTable) -> None:
    """Checks columns of averages, each by the weighting that most rows agree with.

    If most rows disagree with every known one, that is one finding about the column, unless its header says that it
    averages something else than the columns, or a column of the table could not be read.
    """
    if len(table.headers) > MAX_COLUMNS:
        return
    kinds = [_kind(header) for header in table.headers]
    rows = level_rows(table)
    for at, header in enumerate(table.headers):
        if kinds[at] is not Role.AVERAGE:
            continue
        named = _named(table, at)
        fits = [_fit(table, rows, at, way) for way in _ways(table, kinds, at, named)]
        fits = [fit for fit in fits if fit.n]
        if not fits:
            continue
        fit = max(fits, key=lambda fit: fit.right)
        if fit.right >= max(1, len(fit.wrong)):
            made.accept(table, header, fit)
        elif why := _undetermined(table, header, named):
            made.notes += [] if table.turned else [f"{header}: not recomputed, as {why}."]
        else:
            made.n_checked += fit.n
            _none_fits(made, table, fits, at)
            made.notes += _shares(table, rows, at)


def _kind(header: str) -> Role:
    """The role of a column; one whose header speaks of an average and of other columns is an average too."""
    kind = role(header)
    return Role.AVERAGE if kind is Role.LEVEL and _AVERAGE_WORD.search(header) else kind


def _named(table: CardTable, at: int) -> list[int]:
    """The columns, two or more, that the header of an average names as its parts."""
    text = f" {_words(table.headers[at])} "
    named = [
        column
        for column, header in enumerate(table.headers)
        if column != at and (words := _words(header)) and f" {words} " in text
    ]
    return named if len(named) > 1 else []


def _undetermined(table: CardTable, header: str, named: Sequence[int]) -> str:
    """Why the table does not decide what a column averages, as a clause; empty if it should."""
    if not named and _words(_PLAIN_AVERAGE.sub(" ", header)):
        return "its header names what the columns do not determine"
    if not named and re.search(r"\boverall\b", header, re.IGNORECASE):
        return "an overall score need not be a mean of the columns"
    return f"a column cannot be read ({table.dropped[0]})" if table.dropped else ""


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _fit(table: CardTable, rows: Sequence[int], at: int, way: _Way) -> Fit:
    what, weights = way
    fit = Fit(what)
    for row in rows:
        cells = table.cells[row]
        printed = cells[at].value
        parts = [n * value for column, n in weights.items() if (value := cells[column].value) is not None]
        if printed is None or len(parts) < len(weights):
            continue
        fit.n += 1
        expected = sum(parts, Decimal()) / sum(weights.values())
        if not close(printed, expected, min(cells[column].decimals for column in (at, *weights))):
            fit.wrong[row, at] = expected
    return fit


def _none_fits(made: Draft, table: CardTable, fits: Sequence[Fit], at: int) -> None:
    row = min(row for fit in fits for row, _ in fit.wrong)
    cell = table.cells[row][at]
    tried = [
        f"{fit.what} ({shown(fit.wrong[row, at], cell.decimals)})" for fit in fits if (row, at) in fit.wrong
    ]
    neither = f"not {tried[0]}" if len(tried) == 1 else f"neither {', nor '.join(tried)}"
    why = f"{table.labels[row]}'s {cell.text} is {neither}; say what it averages."
    made.find(table, row, at, "", why, whole=True)


def _ways(table: CardTable, kinds: Sequence[Role], at: int, named: Sequence[int]) -> list[_Way]:
    """What an average may be of: the columns that it names; else all others, those on its left, those on its right.

    Columns that are no scores by their names are left out at first, and taken in where that fits.
    """
    if named:
        headers = ", ".join(table.headers[column] for column in named)
        return [(f"the mean of {headers}, which its header names", dict.fromkeys(named, 1))]
    ends = [-1, *(column for column, kind in enumerate(kinds) if kind is Role.AVERAGE), len(kinds)]
    here = ends.index(at)
    spans = [range(len(kinds)), range(ends[here - 1] + 1, at), range(at + 1, ends[here + 1])]
    columns = dict.fromkeys(
        tuple(column for column in span if kinds[column] in wanted)
        for wanted in ((Role.LEVEL, Role.BASE), (Role.LEVEL, Role.BASE, Role.OTHER))
        for span in spans
    )
    return [way for chosen in columns if len(chosen) > 1 for way in _weightings(table, chosen)]


def _weightings(table: CardTable, columns: Sequence[int]) -> Iterator[_Way]:
    """The plain mean; by the questions of MMBench's editions; by counts in a row, or in headers as in "OCR (39)"."""

    def weighted(what: str, weights: Iterable[int]) -> _Way:
        return what, dict(zip(columns, weights, strict=True))

    headers = [table.headers[column] for column in columns]
    yield weighted(f"the plain mean of the {len(columns)} columns", [1] * len(columns))
    abilities = [name for header in headers if (name := ability(header))]
    if len(abilities) == len(columns) and sorted(abilities) == sorted(name for _, name in CARD_COLUMNS):
        for title, questions in _QUESTIONS.items():
            yield weighted(f"the question-weighted mean of {title}", [questions[name] for name in abilities])
    for row, label in enumerate(table.labels):
        values = [table.cells[row][column].value for column in columns]
        counts = [int(n) for n in values if n is not None and n > 0 and n == int(n)]
        if role(label) is Role.OTHER and len(counts) == len(columns):
            yield weighted(f"the mean weighted by {label}", counts)
    counts = [int(match[1]) for header in headers if (match := _COUNT.search(header))]
    if len(counts) == len(columns):
        yield weighted("the mean weighted by the counts in the headers", counts)


def _shares(table: CardTable, rows: Sequence[int], at: int) -> Iterator[str]:
    """Numbers of questions or rows of MMBench of which every printed average can be a share."""
    cells = [cell for row in rows if (cell := table.cells[row][at]).value is not None]
    for edition in EDITIONS.values():
        for n, unit in ((edition.n_groups, "questions"), (edition.n_rows, "rows")):
            if not n or prod(min(1.0, n / 10 ** (2 + cell.decimals)) for cell in cells) >= COINCIDENCE:
                continue
            for mode, how in ((ROUND_HALF_UP, "rounded"), (ROUND_DOWN, "truncated")):
                counts = [_count(cell, n, mode) for cell in cells]
                if None not in counts:
                    yield (
                        f"{table.headers[at]}: every value can be a share of the {n} {unit} of {edition.title}, "
                        f"{how} ({', '.join(map(str, counts))} right)."
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
