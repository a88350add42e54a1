"""Tables of result.json: the model card's columns with n, intervals and the share of unread replies.

Everything printed comes from result dicts. Numbers are percent, rounded to two decimals; a cell without data
prints "–". Names come from data and are untrusted: `clean` escapes their control characters, and they are
never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.reports.board.columns import AVERAGE_COLUMN, columns_of
from ssl4rl_bench.reports.board.text import category
from ssl4rl_bench.reports.text.cells import (
    Result,
    blinding,
    count,
    dig,
    escape,
    markdown_table,
    model_name,
    plain_table,
    value_and_interval,
)
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.numbers import NO_DATA, percent
from ssl4rl_bench.score.aggregate import AGGREGATIONS, UNITS
from ssl4rl_bench.task.mmbench.taxonomy import L1_OF, L2_OF

__all__ = [
    "NO_DATA",
    "card_table",
    "clean",
    "leaf_table",
    "reading_line",
    "status_line",
    "to_markdown",
]


def card_table(results: Sequence[Result], task: str, aggregation: str = "circular_micro") -> Table:
    """Makes a table with one row per result, in order, and the columns of `columns_of`.

    With the columns of SSL4RL's model card, it fits 110 columns, and 80 with the interval below the average.

    Args:
        results: a result without the task gives a row without data.
        task: the task's name with the `ssl4rl_` prefix.
        aggregation: one of `aggregate.AGGREGATIONS`.

    Raises:
        UsageError: for an unknown aggregation, or a task that no result has.
    """
    check_names(results, task, aggregation)
    headers = [
        header.replace("-", "-\n").replace(" ", "\n") for header in _headers(results, task, aggregation)
    ]
    narrowing = Narrowing(
        drop=("Unread %", f"n {UNITS[aggregation]}"), stack=("95% interval", "Average"), names=("Model",)
    )
    table = plain_table(_title(results, task, aggregation), headers, narrowing=narrowing)
    for name, *numbers in _card_rows(results, task, aggregation):
        table.add_row(Text(name), *numbers)
    return table


def to_markdown(results: Sequence[Result], task: str, aggregation: str = "circular_micro") -> str:
    """Formats `card_table`, with its arguments and errors, as titled Markdown that ends in a line break."""
    check_names(results, task, aggregation)
    rows = ([escape(name), *numbers] for name, *numbers in _card_rows(results, task, aggregation))
    table = markdown_table([escape(header) for header in _headers(results, task, aggregation)], rows)
    return f"**{escape(_title(results, task, aggregation))}**\n\n{table}"


def leaf_table(result: Result, task: str, aggregation: str = "circular_micro") -> Table:
    """Makes a table with one row per category: three nested levels in MMBench's order, unknown names last.

    The arguments and errors are those of `card_table`.
    """
    check_names([result], task, aggregation)
    title = f"{model_name(result)} · {_title([result], task, aggregation)}"
    headers = ("Category", f"n {UNITS[aggregation]}", "Score", "95% interval", "Unread %")
    narrowing = Narrowing(drop=(headers[-1], headers[1]), stack=("95% interval", "Score"))
    table = plain_table(title, headers, narrowing=narrowing)
    for depth, name, cell in _outline(dig(result, "tasks", task, "aggregates", aggregation)):
        label, unread = Text("  " * depth + category(name)), percent(cell.get("unread"))
        table.add_row(label, count(cell), *value_and_interval(cell), unread)
    return table


def status_line(status: Mapping[str, int], n_no_content_cut: int = 0) -> str:
    """Says how the replies were read, e.g. "replies: 2311 tag, 12 lenient, 20 none".

    Args:
        status: the "status" of a task in result.json.
        n_no_content_cut: the number of replies without content that hit the token limit; shown if not 0.
    """
    counts = {known.value: status.get(known.value, 0) for known in Status}
    counts["other"] = sum(status.values()) - sum(counts.values())
    cut = f" ({n_no_content_cut} at the token limit)" if n_no_content_cut else ""
    shown = (f"{n} {name}{cut * (name == Status.NO_CONTENT)}" for name, n in counts.items() if n)
    return "replies: " + (", ".join(shown) or "0")


def reading_line(task_result: Result) -> str:
    """Returns a task's `status_line` with the number of questions excluded for unscored replies."""
    status = dig(task_result, "status")
    line = status_line(status, task_result.get("n_no_content_cut") or 0)
    n_left_out = task_result.get("n_groups_excluded")
    if not n_left_out:
        return line
    kinds = "failed, missing or no_content" if status.get(Status.NO_CONTENT) else "failed or missing"
    return f"{line}; {n_left_out} questions left out for {kinds} replies"


def check_names(results: Sequence[Result], task: str, aggregation: str) -> None:
    """Checks the names of a table.

    Raises:
        UsageError: no result has the task, or there is no such aggregation.
    """
    if aggregation not in AGGREGATIONS:
        raise UsageError(f"no aggregation {clean(aggregation)}{did_you_mean(aggregation, AGGREGATIONS)}")
    known = sorted({name for result in results for name in dig(result, "tasks")})
    if results and task not in known:
        raise UsageError(f"no run has results of task {clean(task)}{clean(did_you_mean(task, known))}")


def _title(results: Sequence[Result], task: str, aggregation: str) -> str:
    shown = _shown(results, task)
    alike = f" · {shown.pop()}" if len(shown) == 1 and any(shown) else ""
    partial = " · partial" if any(result.get("partial") for result in results) else ""
    return f"{clean(task)} · {aggregation}{alike}{partial}"


def _shown(results: Sequence[Result], task: str) -> set[str]:
    """Returns the runs' distinct `blinding` texts; a single one is shown in the title, several in rows."""
    return {blinding(result, task) for result in results if dig(result, "tasks", task)}


def _headers(results: Sequence[Result], task: str, aggregation: str) -> list[str]:
    headers = [column.header for column in columns_of(results, task)]
    return ["Model", *headers, f"n {UNITS[aggregation]}", "95% interval", "Unread %"]


def _card_rows(results: Sequence[Result], task: str, aggregation: str) -> Iterator[list[str]]:
    mixed = len(_shown(results, task)) > 1
    *abilities, _ = columns_of(results, task)
    for result in results:
        cells = dig(result, "tasks", task, "aggregates", aggregation)
        overall = dig(cells, "overall")
        average, interval = value_and_interval(overall)
        notes = [blinding(result, task) if mixed else "", "partial" if result.get("partial") else ""]
        yield [
            model_name(result) + "".join(f" ({note})" for note in notes if note),
            *(percent(dig(cells, column.level, column.name).get("value")) for column in abilities),
            average,
            count(overall),
            interval,
            percent(overall.get("unread")),
        ]


def _outline(cells: Mapping[str, Any]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yields depth, name and cell of all categories, each below its parent if MMBench has it."""
    levels, abilities, leaves = (
        {name: dig(cells, level, name) for name in dig(cells, level)} for level in ("l1", "l2", "l3")
    )
    yield 0, AVERAGE_COLUMN.header, dig(cells, "overall")
    for level in [name for name in dict.fromkeys((*L1_OF.values(), *levels)) if name in levels]:
        yield 1, level, levels[level]
        for ability in [name for name in L1_OF if L1_OF[name] == level and name in abilities]:
            yield 2, ability, abilities.pop(ability)
            for leaf in [name for name in L2_OF if L2_OF[name] == ability and name in leaves]:
                yield 3, leaf, leaves.pop(leaf)
    for depth, rest in ((2, abilities), (3, leaves)):
        for name, cell in rest.items():
            yield depth, name, cell
