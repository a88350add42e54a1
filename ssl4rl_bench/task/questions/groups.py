"""Forms the groups of a benchmark's rows (the unit of all statistics), and checks that each is complete."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.mmbench.circular import Copy, defect
from ssl4rl_bench.task.questions.rows import GROUP_STRIDE, ParsedRows, QuestionRow, Refused
from ssl4rl_bench.task.questions.schema import Schema

_Row: TypeAlias = QuestionRow | Refused
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")


@dataclass(frozen=True, slots=True)
class GroupedRows:
    """The groups that can be asked; the rows of each are adjacent."""

    rows: tuple[QuestionRow, ...]
    n_groups: int
    left_out: tuple[Refused, ...]
    """The rows that the task file allows to leave out."""
    n_left_out: int
    """The number of groups with such a row. None of their rows is asked."""
    bad: tuple[Refused, ...]
    """Other rows that cannot be used; empty unless they may be skipped."""
    n_bad: int
    """The number of groups with such a row."""

    def left_out_summary(self) -> str:
        """Returns how many rows are left out for which reasons, the most frequent ones first."""
        reasons = Counter(_QUOTED.sub("...", row.reason) for row in self.left_out).most_common()
        listed = "; ".join(f"{n}: {reason}" for reason, n in reasons[:3])
        return f"{listed}; {len(reasons) - 3} more reasons" if len(reasons) > 3 else listed


def group_rows(
    source: str, parsed: ParsedRows, schema: Schema, *, may_leave_out: bool, skip_bad: bool = False
) -> GroupedRows:
    """Groups the rows by the schema's rule and checks the groups.

    Args:
        source: the name of the data in messages.
        may_leave_out: whether rows without an image or a scorable answer are left out (`Refused.left_out`).
        skip_bad: leave out groups with any other bad row instead of refusing the data.

    Raises:
        DataError: for a bad row or group, or if no group is left; the message names the row and the fix.
    """
    groups: dict[Hashable, list[_Row]] = defaultdict(list)
    for key, row in _keyed(parsed, schema):
        groups[key].append(row)
    complete: list[list[QuestionRow]] = []
    left_out: list[Refused] = []
    bad: list[Refused] = []
    n_left_out = n_bad = 0
    n_cycles = len({row.cycle for row in parsed.rows})
    seen = Counter(row.id for group in groups.values() for row in group if row.id is not None)
    twice = {id for id, n in seen.items() if n > 1}
    for group in groups.values():
        refused = [row for row in group if isinstance(row, Refused)]
        rows = [row for row in group if isinstance(row, QuestionRow)]
        wrong = [row for row in refused if not (row.left_out and may_leave_out)]
        wrong += [Refused(row.where, row.id, "its index appears twice") for row in group if row.id in twice]
        if not refused and not wrong and (reason := _defect(rows, schema, n_cycles)):
            wrong = [Refused(rows[0].where, rows[0].id, reason)]
        if wrong:
            bad += wrong
            n_bad += 1
        elif refused:
            left_out += refused
            n_left_out += 1
        else:
            complete.append(_numbered(rows, schema))
    if bad and not skip_bad:
        more = f" {n_bad} questions have bad rows." if n_bad > 1 else ""
        fix = "correct the data, or leave the question out with --skip-bad"
        raise DataError(f"{source}, {bad[0]}: {fix}.{more}")
    if not complete:
        first = (bad or left_out)[0]
        raise DataError(f"{source} has no question that can be asked; the first: {first}.")
    return GroupedRows(
        tuple(_adjacent(complete)), len(complete), tuple(left_out), n_left_out, tuple(bad), n_bad
    )


def _keyed(parsed: ParsedRows, schema: Schema) -> Iterator[tuple[Hashable, _Row]]:
    """Yields each row with the key of its group. A row that cannot be placed is a group by itself."""
    rows: list[_Row] = [*parsed.rows, *parsed.refused]
    rule = schema.group
    if rule.pairs:
        lost = [row for row in rows if row.id is None]
        yield from ((("row", row.where), row) for row in lost)
        placed = sorted((row for row in rows if row.id is not None), key=lambda row: _order(row.id or ""))
        yield from ((number // rule.pairs, row) for number, row in enumerate(placed))
        return
    by_image = any(name in schema.images for name in rule.columns)
    for row in rows:
        if row.id is None or (by_image and isinstance(row, Refused)):
            yield ("row", row.where), row
        elif schema.copies:
            number = int(row.id) if row.id.isdecimal() else None
            yield (row.id if number is None else number % GROUP_STRIDE), row
        elif rule.by_row:
            yield row.id, row
        else:
            shown = tuple(image.sha256 for image in row.images) if isinstance(row, QuestionRow) else ()
            yield (row.keys, shown if by_image else ()), row


def _order(id: str) -> tuple[int, int, str]:
    """Sorts ids as numbers if they are numbers, and as texts otherwise."""
    return (0, int(id), "") if id.isdecimal() else (1, 0, id)


def _defect(rows: Sequence[QuestionRow], schema: Schema, n_cycles: int) -> str | None:
    """Returns why rows are not one group, as a clause, or None if they are."""
    rule = schema.group
    if rule.pairs and len(rows) != rule.pairs:
        return f"its group has {len(rows)} rows instead of {rule.pairs}"
    for name, values in zip(rule.same, zip(*(row.same for row in rows), strict=True), strict=True):
        if len(set(values)) > 1:
            return f"the rows {', '.join(row.id for row in rows)} are one group but differ in {name}"
    if len({row.categories for row in rows}) > 1:
        return f"the rows {', '.join(row.id for row in rows[:4])} are one group but differ in category"
    if rule.cycle:
        return _cycle_defect(rows, rule.cycle, n_cycles)
    if schema.copies and all(row.id.isdecimal() for row in rows):
        return defect([Copy(int(row.id) // GROUP_STRIDE, row.choices, row.target) for row in rows])
    return None


def _cycle_defect(rows: Sequence[QuestionRow], column: str, n_cycles: int) -> str | None:
    if len({row.cycle for row in rows}) != len(rows):
        return f"two rows of its group have the same {column}"
    if len(rows) != n_cycles:
        return f"its group has {len(rows)} of {n_cycles} values of {column}"
    if len({tuple(sorted(row.choices.values())) for row in rows}) > 1:
        return "the rows of its group have different options"
    if len({row.choices[row.target] if row.choices else row.target for row in rows}) > 1:
        return "the rows of its group have different right answers"
    return None


def _numbered(rows: Sequence[QuestionRow], schema: Schema) -> list[QuestionRow]:
    """Sets the group and the roll of rows. Only circular copies have rolls above 0."""
    ordered = sorted(rows, key=lambda row: _order(row.cycle) if schema.group.cycle else _order(row.id))
    name = ordered[0].id
    if schema.copies:
        return [replace(row, group=name, roll=_copy_number(row.id)) for row in ordered]
    cycles = bool(schema.group.cycle)
    return [replace(row, group=name, roll=number if cycles else 0) for number, row in enumerate(ordered)]


def _copy_number(id: str) -> int:
    return int(id) // GROUP_STRIDE if id.isdecimal() else 0


def _adjacent(groups: Iterable[Sequence[QuestionRow]]) -> list[QuestionRow]:
    """Joins groups so that those whose first rows show the same images are adjacent."""
    by_image: Mapping[tuple[str, ...], list[QuestionRow]] = defaultdict(list)
    for rows in groups:
        by_image[tuple(image.sha256 for image in rows[0].images)] += rows
    return [row for rows in by_image.values() for row in rows]
