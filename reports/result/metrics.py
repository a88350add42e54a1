"""Tables of the metrics that another program computes for its tasks, in that program's units.

Values are shown as lmms-eval prints them: with four decimals, and not as percent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.text.cells import (
    Result,
    dig,
    escape,
    markdown_table,
    model_name,
    plain_table,
    short,
)
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.numbers import NO_DATA

HEADERS = ("Metric", "Model", "Value", "95% interval", "n", "Of")
SAMPLES = "mean of scores"
CORPUS = "corpus"


def has_metrics(results: Sequence[Result], task: str) -> bool:
    """Whether a task has metrics of another program in any of these results."""
    return any(dig(result, "tasks", task, "metrics") for result in results)


def metrics_table(results: Sequence[Result], task: str) -> Table:
    """Makes a table with one row per metric and result."""
    table = plain_table(
        f"{short(task)} · metrics of lmms-eval",
        HEADERS,
        "llrrrl",
        narrowing=Narrowing(drop=("Of", "n"), stack=("95% interval", "Value"), names=("Model", "Metric")),
    )
    for metric, model, *cells in _rows(results, task):
        table.add_row(Text(metric), Text(model), *cells)
    return table


def metrics_markdown(results: Sequence[Result], task: str) -> str:
    """Formats `metrics_table` as titled Markdown that ends in a line break."""
    rows = ([escape(metric), escape(model), *cells] for metric, model, *cells in _rows(results, task))
    return f"**{escape(short(task))} · metrics of lmms-eval**\n\n{markdown_table(HEADERS, rows, 'llrrrl')}"


def _rows(results: Sequence[Result], task: str) -> Iterator[list[str]]:
    names = dict.fromkeys(name for result in results for name in dig(result, "tasks", task, "metrics"))
    for name in names:
        for result in results:
            metric = dig(result, "tasks", task, "metrics", name)
            if metric:
                yield [
                    clean(name) + ("" if metric.get("higher_is_better", True) else " (lower is better)"),
                    model_name(result),
                    metric_value(metric.get("value")),
                    metric_interval(metric.get("ci95")),
                    str(metric.get("n", NO_DATA)),
                    CORPUS if metric.get("of") == "corpus" else SAMPLES,
                ]


def metric_value(value: object) -> str:
    """Formats a value as lmms-eval does."""
    known = number(value)
    return NO_DATA if known is None else f"{known:.4f}"


def metric_interval(ends: object, *, signed: bool = False) -> str:
    """Formats an interval as `metric_value` formats its ends."""
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return NO_DATA
    low, high = number(ends[0]), number(ends[1])
    if low is None or high is None:
        return NO_DATA
    return f"[{low:+.4f}, {high:+.4f}]" if signed else f"[{low:.4f}, {high:.4f}]"
