"""The cells of a table: numbers out of result dicts as text, and names that are safe to print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.run.spec import engine_mark

NO_DATA = "–"
Result = Mapping[str, Any]
"""The content of a result.json."""


def dig(value: object, *keys: str) -> Mapping[str, Any]:
    """The object at the end of the keys; empty if it is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def model_name(result: Result) -> str:
    """The model's label, safe to print, with a mark where no model was asked: "gold (mock)"."""
    mark = engine_mark(dig(result, "engine").get("name"), dig(result, "engine", "options"))
    name = clean(dig(result, "model").get("name", "")) or NO_DATA
    return f"{name} ({mark})" if mark else name


def blinding(result: Result, task: str) -> str:
    """What a task showed in this run if not its images, as "image blank"; else empty."""
    how = dig(result, "tasks", task).get("image")
    return f"image {clean(how)}" if how else ""


def percent(cell: Mapping[str, Any], key: str) -> str:
    """A fraction as percent with two decimals."""
    value = number(cell.get(key))
    return NO_DATA if value is None else f"{100.0 * value:.2f}"


def value_and_interval(cell: Mapping[str, Any]) -> tuple[str, str]:
    """A cell's value and its 95% interval."""
    ends = [f"{100.0 * end:.2f}" for end in map(number, cell.get("ci95") or ()) if end is not None]
    return percent(cell, "value"), "–".join(ends) if len(ends) == 2 else NO_DATA


def count(cell: Mapping[str, Any]) -> str:
    """A cell's n."""
    value = number(cell.get("n"))
    return NO_DATA if not value else f"{value:.0f}"


def plain_table(title: str) -> Table:
    """A table with a rule under its header and no frame."""
    return Table(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
    )


def add_number(table: Table, header: str) -> None:
    """A right-aligned column."""
    table.add_column(header, justify="right", overflow="fold")


def escape(text: str) -> str:
    r"""For Markdown: no link, emphasis, HTML or table cell begins or ends in it."""
    return re.sub(r"([\\`*_{}\[\]()<>#|~!&:@])", r"\\\1", text)
