"""Checks the averages of a card's table against each known way to average."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from math import prod

from ssl4rl_bench.reports.card_audit.cells import digits
from ssl4rl_bench.reports.card_audit.claims import LabelRole, Unit, ability, role
from ssl4rl_bench.reports.card_audit.findings import (
    Derived,
    Fit,
    TableAudit,
    best_fit,
    formatted_like,
    level_rows,
)
from ssl4rl_bench.reports.card_audit.tables import MAX_COLUMNS, CardTable
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS, EDITIONS, L2_OF

_AVERAGE_WORD = re.compile(r"\b(?:avg|average|averaged|mean|overall)\b", re.IGNORECASE)
_PLAIN_AVERAGE = re.compile(
    r"\b(?:avg|average|mean|overall|score|scores|acc|accuracy|grand|higher|is|better)\b|[↑↓%.]", re.IGNORECASE
)
"""Words in a header that do not make its average a special one."""
COINCIDENCE = 0.05
"""A number of questions that fits every printed average is noted if its chance of fitting is below this."""


_COUNT = re.compile(r"[(\[]\s*(?:n\s*=\s*)?(\d{1,7})\s*(?:questions|samples|q)?\s*[)\]]")


def averages(made: TableAudit, table: CardTable) -> None:
    """Checks each column of averages by the weighting that most rows agree with.

    If most rows disagree with every known weighting, that is one finding about the column, unless its header
    says that it averages something other than the columns, or a column of the table could not be read.
    """
    if len(table.headers) > MAX_COLUMNS:
        return
    kinds = [_kind(header) for header in table.headers]
    for column, header in enumerate(table.headers):
        if kinds[column] is not LabelRole.AVERAGE:
            continue
        named = _named(table, column)
        fits = [
            Fit(table, what, _means(table, column, columns, weights))
            for columns in ([named] if named else _columns(kinds, column))
            for what, weights in _weightings(table, columns, bool(named))
        ]
        fit, why = best_fit(fits), _undetermined(table, header, named)
        if fit is None or fit.likely or why:
            made.settle(header, fit, "" if table.turned else why)
            continue
        made.n_checked += len(fit.cells)
        _none_fits(made, table, fits)
        made.notes += tuple(_shares(table, column))


def _kind(header: str) -> LabelRole:
    """Returns the role of a column; a level whose header contains a word for "average" is an average."""
    kind = role(header)
    return LabelRole.AVERAGE if kind is LabelRole.LEVEL and _AVERAGE_WORD.search(header) else kind


def _named(table: CardTable, column: int) -> list[int]:
    """Returns the columns that the header of an average names as its parts; empty if fewer than two."""
    text = f" {_words(table.headers[column])} "
    named = [
        other
        for other, header in enumerate(table.headers)
        if other != column and (words := _words(header)) and f" {words} " in text
    ]
    return named if len(named) > 1 else []


def _undetermined(table: CardTable, header: str, named: Sequence[int]) -> str:
    """Returns a clause on why the table does not determine what a column averages; empty if it does."""
    if not named and _words(_PLAIN_AVERAGE.sub(" ", header)):
        return "the columns do not determine what its header names"
    if not named and re.search(r"\boverall\b", header, re.IGNORECASE):
        return "an overall score need not be a mean of the columns"
    return f"a column cannot be read ({table.dropped[0] or 'without a header'})" if table.dropped else ""


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _means(
    table: CardTable, column: int, sources: Sequence[int], weights: Mapping[int, Sequence[int]]
) -> Iterator[Derived]:
    """Recomputes the cells of a column of averages, with the weights of each row."""
    for row in level_rows(table):
        printed = table.cells[row][column].value
        parts = [value for column in sources if (value := table.cells[row][column].value) is not None]
        if printed is None or len(parts) < len(sources) or row not in weights:
            continue
        weighted = (n * value for n, value in zip(weights[row], parts, strict=True))
        expected = sum(weighted, Decimal()) / sum(weights[row])
        right = Unit.POINTS.agrees(printed, expected, Decimal(), digits(printed), digits(*parts))
        yield Derived(row, column, expected, right)


def _none_fits(made: TableAudit, table: CardTable, fits: Sequence[Fit]) -> None:
    row, column, *_ = min(cell for fit in fits for cell in fit.wrong)
    cell = table.cells[row][column]
    tried = [
        f"{fit.what} ({formatted_like(wrong.expected, cell.value)})"
        for fit in fits
        for wrong in fit.wrong
        if wrong.row == row
    ]
    neither = f"not {tried[0]}" if len(tried) == 1 else f"neither {', nor '.join(tried)}"
    why = f"{table.labels[row]}'s {cell.text} is {neither}; state what it averages."
    made.find(table, row, column, None, why, whole_column=True)


def _columns(kinds: Sequence[LabelRole], column: int) -> list[tuple[int, ...]]:
    """Returns the sets of columns that may be averaged: all others, those to the left, those to the right.

    Columns whose headers do not name scores are left out of the first sets and included in the later ones.
    """
    ends = [-1, *(column for column, kind in enumerate(kinds) if kind is LabelRole.AVERAGE), len(kinds)]
    here = ends.index(column)
    spans = [range(len(kinds)), range(ends[here - 1] + 1, column), range(column + 1, ends[here + 1])]
    columns = dict.fromkeys(
        tuple(column for column in span if kinds[column] in wanted)
        for wanted in ((LabelRole.LEVEL, LabelRole.BASE), (LabelRole.LEVEL, LabelRole.BASE, LabelRole.OTHER))
        for span in spans
    )
    return [chosen for chosen in columns if len(chosen) > 1]


def _weightings(
    table: CardTable, columns: Sequence[int], named: bool
) -> Iterator[tuple[str, Mapping[int, Sequence[int]]]]:
    """Yields names of weightings, and the weights of the columns in each row of the table.

    The weights are equal, or questions of MMBench's editions, or counts: those of a row, those of the row next to
    each one, or those in headers ("OCR (39)").

    Args:
        named: whether the header of the average names the columns; if so, only the plain mean applies.
    """
    rows = range(len(table.labels))
    headers = [table.headers[column] for column in columns]
    plain = dict.fromkeys(rows, [1] * len(columns))
    if named:
        yield f"the mean of {', '.join(headers)}, which its header names", plain
        return
    yield f"the plain mean of the {len(columns)} columns", plain
    abilities = [ability(header) for header in headers]
    if Counter(abilities) == Counter(name for _, name in CARD_COLUMNS):
        for edition in EDITIONS.values():
            if edition.leaves:
                leaves = edition.leaves.items()
                questions = [sum(n for leaf, n in leaves if L2_OF[leaf] == name) for name in abilities]
                yield f"the question-weighted mean of {edition.title}", dict.fromkeys(rows, questions)
    counted = dict(_counts(table, columns))
    for row, counts in counted.items():
        yield f"the mean weighted by {table.labels[row]}", dict.fromkeys(rows, counts)
    if len(counted) > 1:
        nearest = {row: min(counted, key=lambda other: (other < row, abs(other - row))) for row in rows}
        yield (
            "the mean weighted by the counts next to it",
            {row: counted[other] for row, other in nearest.items()},
        )
    counts = [int(match[1]) for header in headers if (match := _COUNT.search(header))]
    if len(counts) == len(columns):
        yield "the mean weighted by the counts in the headers", dict.fromkeys(rows, counts)


def _counts(table: CardTable, columns: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yields the rows that hold a count for each of the columns."""
    for row, label in enumerate(table.labels):
        values = [table.cells[row][column].value for column in columns]
        counts = [int(n) for n in values if n is not None and n > 0 and n == int(n)]
        if role(label) is LabelRole.OTHER and len(counts) == len(columns):
            yield row, counts


def _shares(table: CardTable, column: int) -> Iterator[str]:
    """Yields notes on sizes of MMBench's editions of which every printed average can be a share."""
    values = [value for row in level_rows(table) if (value := table.cells[row][column].value) is not None]
    for edition in EDITIONS.values():
        for n, unit in ((edition.n_groups, "questions"), (edition.n_rows, "rows")):
            if not n or prod(min(1.0, n / 10 ** (2 + digits(value))) for value in values) >= COINCIDENCE:
                continue
            for mode, how in ((ROUND_HALF_UP, "rounded"), (ROUND_DOWN, "truncated")):
                counts = [_count(value, n, mode) for value in values]
                if None not in counts:
                    yield (
                        f"{table.headers[column]}: every value can be a share of the {n} {unit} of {edition.title}, "
                        f"{how} ({', '.join(map(str, counts))} right)."
                    )


def _count(percent: Decimal, n: int, mode: str) -> int | None:
    """Returns the number of right answers out of `n` that is printed as this percentage, or None."""
    near = int(percent * n / 100)
    shares = {
        count: (Decimal(100 * count) / n).quantize(percent, rounding=mode) for count in (near, near + 1)
    }
    return next((count for count, share in shares.items() if share == percent), None)
