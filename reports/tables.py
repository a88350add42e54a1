"""result.json as tables: the card's columns with n, intervals and the share of unread replies.

Everything printed is taken from result dicts. Numbers are percent with two decimals, rounded; a cell without
data prints "–". Names come from data and are hostile on a terminal: `clean` takes their control characters,
and they are never read as markup.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ssl4rl_bench.errors import UsageError, did_you_mean
from ssl4rl_bench.metrics import AGGREGATIONS, UNITS
from ssl4rl_bench.mmbench import CARD_COLUMNS, L1_OF, L2_OF
from ssl4rl_bench.types import Status

NO_DATA = "–"
_Result = Mapping[str, Any]
"""The content of a result.json."""


def clean(text: object, limit: int = 80) -> str:
    """Text that is safe to print: one line of at most `limit` characters, none of which is invisible.

    Takes out Unicode's "C" categories: control characters (escape sequences), format characters (text
    direction), surrogates, private use and unassigned.
    """
    line = "".join(
        " " if char.isspace() else char
        for char in str(text)
        if char.isspace() or unicodedata.category(char)[0] != "C"
    )
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def card_table(results: Sequence[_Result], task: str, aggregation: str = "circular_micro") -> Table:
    """One row a result, in their order, with the columns of the SSL4RL model card; fits 100 columns.

    Args:
        results: one without the task gives a row without data.
        task: with the `ssl4rl_` prefix.
        aggregation: one of `metrics.AGGREGATIONS`.

    Raises:
        UsageError: for an unknown aggregation, or a task that no result has.
    """
    _check(results, task, aggregation)
    table = _table(_title(results, task, aggregation))
    table.add_column("Model", overflow="fold")
    for header in _headers(aggregation):
        _add_number(table, header.replace("-", "-\n").replace(" ", "\n"))
    for result in results:
        name, *numbers = _card_row(result, task, aggregation)
        table.add_row(Text(name), *numbers)
    return table


def to_markdown(results: Sequence[_Result], task: str, aggregation: str = "circular_micro") -> str:
    """`card_table` as a titled Markdown table that ends in a line break. Arguments and errors as there."""
    _check(results, task, aggregation)
    headers = ["Model", *_headers(aggregation)]
    lines = [headers, [":---", *["---:"] * (len(headers) - 1)]]
    for result in results:
        name, *numbers = _card_row(result, task, aggregation)
        lines.append([_escape(name), *numbers])
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"**{_escape(_title(results, task, aggregation))}**\n\n{rows}"


def leaf_table(result: _Result, task: str, aggregation: str = "circular_micro") -> Table:
    """One row a category, the three levels nested, in MMBench's order; names that it lacks come last.

    Arguments and errors as for `card_table`.
    """
    _check([result], task, aggregation)
    table = _table(f"{_name(result)} · {_title([result], task, aggregation)}")
    table.add_column("Category", overflow="fold")
    for header in (f"n {UNITS[aggregation]}", "Score", "95% interval", "Unread %"):
        _add_number(table, header)
    cells = _dig(result, "tasks", task, "aggregates", aggregation)
    for depth, name, cell in _outline(cells):
        table.add_row(Text("  " * depth + clean(name)), _count(cell), *_score(cell), _percent(cell, "unread"))
    return table


def status_line(status: Mapping[str, int]) -> str:
    """How the replies were read, e.g. "replies: 2311 tag, 12 lenient, 20 none"; from a task's "status"."""
    counts = {known.value: status.get(known.value, 0) for known in Status}
    counts["other"] = sum(status.values()) - sum(counts.values())
    return "replies: " + (", ".join(f"{n} {name}" for name, n in counts.items() if n) or "0")


def _check(results: Sequence[_Result], task: str, aggregation: str) -> None:
    if aggregation not in AGGREGATIONS:
        raise UsageError(f"no aggregation {clean(aggregation)}{did_you_mean(aggregation, AGGREGATIONS)}")
    known = sorted({name for result in results for name in _dig(result, "tasks")})
    if results and task not in known:
        raise UsageError(f"no run has results of task {clean(task)}{clean(did_you_mean(task, known))}")


def _title(results: Sequence[_Result], task: str, aggregation: str) -> str:
    partial = " · partial" if any(result.get("partial") for result in results) else ""
    return f"{clean(task)} · {aggregation}{partial}"


def _dig(value: object, *keys: str) -> Mapping[str, Any]:
    """The object at the end of the keys; empty if it is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _name(result: _Result) -> str:
    return clean(_dig(result, "model").get("name", "")) or NO_DATA


def _headers(aggregation: str) -> list[str]:
    card = [header for header, _ in CARD_COLUMNS]
    return [*card, "Average", f"n {UNITS[aggregation]}", "95% interval", "Unread %"]


def _card_row(result: _Result, task: str, aggregation: str) -> list[str]:
    cells = _dig(result, "tasks", task, "aggregates", aggregation)
    overall = _dig(cells, "overall")
    average, interval = _score(overall)
    return [
        _name(result) + (" (partial)" if result.get("partial") else ""),
        *(_percent(_dig(cells, "l2", ability), "value") for _, ability in CARD_COLUMNS),
        average,
        _count(overall),
        interval,
        _percent(overall, "unread"),
    ]


def _outline(cells: Mapping[str, Any]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Depth, name and cell of all categories, each under its parent if MMBench knows it."""
    levels, abilities, leaves = (
        {name: _dig(cells, level, name) for name in _dig(cells, level)} for level in ("l1", "l2", "l3")
    )
    yield 0, "overall", _dig(cells, "overall")
    for level in _known_first(dict.fromkeys(L1_OF.values()), levels):
        yield 1, level, levels[level]
        for ability in [name for name in L1_OF if L1_OF[name] == level and name in abilities]:
            yield 2, ability, abilities.pop(ability)
            for leaf in [name for name in L2_OF if L2_OF[name] == ability and name in leaves]:
                yield 3, leaf, leaves.pop(leaf)
    for depth, rest in ((2, abilities), (3, leaves)):
        for name, cell in rest.items():
            yield depth, name, cell


def _known_first(known: Collection[str], names: Collection[str]) -> list[str]:
    return [*(name for name in known if name in names), *(name for name in names if name not in known)]


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value)


def _percent(cell: Mapping[str, Any], key: str) -> str:
    value = _number(cell.get(key))
    return NO_DATA if value is None else f"{100.0 * value:.2f}"


def _score(cell: Mapping[str, Any]) -> tuple[str, str]:
    """Value and interval."""
    ends = [f"{100.0 * end:.2f}" for end in map(_number, cell.get("ci95") or ()) if end is not None]
    return _percent(cell, "value"), "–".join(ends) if len(ends) == 2 else NO_DATA


def _count(cell: Mapping[str, Any]) -> str:
    value = _number(cell.get("n"))
    return NO_DATA if not value else f"{value:.0f}"


def _table(title: str) -> Table:
    return Table(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
    )


def _add_number(table: Table, header: str) -> None:
    table.add_column(header, justify="right", overflow="fold")


def _escape(text: str) -> str:
    r"""For Markdown: no link, emphasis, HTML or table cell begins or ends in it."""
    return re.sub(r"([\\`*_{}\[\]()<>#|~!&:@])", r"\\\1", text)
