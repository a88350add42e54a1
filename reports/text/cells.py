"""Tables for a terminal and in Markdown, and their cells: values of result dicts, and names safe to print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from rich import box
from rich.text import Text

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.text.fitting import FittingTable, Narrowing
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, percent
from ssl4rl_bench.run.imported import Imported
from ssl4rl_bench.run.spec import engine_mark

Result = Mapping[str, Any]
"""The content of a result.json."""
_RULES = {"l": ":---", "r": "---:", "-": "---"}


def dig(value: object, *keys: str) -> Mapping[str, Any]:
    """Returns the mapping at a path of keys; an empty one if it does not exist."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def short(task: str) -> str:
    """Returns a task's name without its prefix, safe to print."""
    return clean(short_name(task))


def import_line(imported: Imported | None) -> str | None:
    """Says where an imported run comes from and which of its settings are unknown; None for other runs."""
    if imported is None:
        return None
    unknown = (
        f"unknown settings: {', '.join(imported.unknown)}" if imported.unknown else "all settings are stated"
    )
    stated = [f"{name} by the {by}" for name, by in imported.stated.items()]
    known = f"; stated: {', '.join(stated)}" if stated else ""
    return clean(f"from {imported.origin}, file {imported.sha256[:12]}; {unknown}{known}", 400)


def model_name(result: Result) -> str:
    """Returns the model's label, safe to print, with a mark if no model was asked or it is a shard: "gold (mock)"."""
    mark = engine_mark(dig(result, "engine").get("name"), dig(result, "engine", "options"))
    shard = f"shard {clean(result['shard'])}" if "shard" in result else ""
    name = clean(dig(result, "model").get("name", "")) or NO_DATA
    qualifier = ", ".join(filter(None, (mark, shard)))
    return f"{name} ({qualifier})" if qualifier else name


def blinding(result: Result, task: str) -> str:
    """Returns what a task showed in this run instead of its images, as "image blank"; else empty."""
    how = dig(result, "tasks", task).get("image")
    return f"image {clean(how)}" if how else ""


@dataclass(frozen=True, slots=True)
class CellEstimate:
    """A value with its 95% interval, as fractions."""

    value: float
    ci95: tuple[float, float] | None


def ci95(cell: Mapping[str, Any]) -> tuple[float, float] | None:
    """Returns a cell's 95% interval as fractions, or None if it has none."""
    ends = cell.get("ci95")
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return None
    low, high = map(number, ends)
    return None if low is None or high is None else (low, high)


def cell_estimate(cell: Mapping[str, Any]) -> CellEstimate | None:
    """Returns a cell's value and interval, or None if it has no value."""
    value = number(cell.get("value"))
    return None if value is None else CellEstimate(value, ci95(cell))


def value_and_interval(cell: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the texts of a cell's value and of its 95% interval, in percent."""
    return percent(cell.get("value")), interval(ci95(cell))


def count(cell: Mapping[str, Any]) -> str:
    """Returns the text of a cell's n."""
    value = number(cell.get("n"))
    return NO_DATA if not value else f"{value:.0f}"


def plain_table(
    title: str,
    headers: Sequence[str] = (),
    sides: str = "lr",
    n_keys: int | None = None,
    narrowing: Narrowing | None = None,
) -> FittingTable:
    """Makes a table for a terminal, with a rule under its header and no frame, that fits narrow terminals.

    Args:
        sides: the alignment of each column, l or r; the last one applies to all further columns.
        n_keys: the number of columns that name the rows; by default all before the first right-aligned one.
        narrowing: what a narrow terminal does not show; by default all or rows one by one.
    """
    table = FittingTable(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
        n_keys=n_keys,
        narrowing=narrowing,
    )
    for header, side in _with_sides(headers, sides):
        table.add_column(header, justify="right" if side == "r" else "left", overflow="fold")
    return table


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]], sides: str = "lr") -> str:
    """Formats a Markdown table that ends in a line break; untrusted texts need `escape` first.

    Args:
        sides: as for `plain_table`; also "-" for a column without an alignment.
    """
    header = " | ".join(headers).lstrip()  # an empty corner is one space wide
    rules = [_RULES[side] for _, side in _with_sides(headers, sides)]
    return "".join(f"| {line} |\n" for line in (header, *map(" | ".join, (rules, *rows))))


def _with_sides(headers: Sequence[str], sides: str) -> Iterable[tuple[str, str]]:
    return zip(headers, chain(sides, repeat(sides[-1])), strict=False)


def escape(text: str) -> str:
    r"""Escapes text for Markdown, so that no link, emphasis, HTML or table cell begins or ends in it."""
    # GitHub's Markdown makes a link of a word that starts with "www.".
    return re.sub(r"([\\`*_{}\[\]()<>#|~!&:@]|(?<=www)\.)", r"\\\1", text, flags=re.IGNORECASE)
