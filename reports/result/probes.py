"""The table of SSL probes: accuracy, chance, and the accuracy above chance."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.text.cells import (
    Result,
    blinding,
    ci95,
    count,
    dig,
    escape,
    markdown_table,
    model_name,
    plain_table,
    value_and_interval,
)
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.margins import margin_headers, margin_of
from ssl4rl_bench.reports.text.numbers import NO_DATA, percent

HEADERS = ("Accuracy", "95% interval", "Chance", "Above chance")
REST = ("By parts", "n samples", "Unread %")
"""Headers of a row's numbers, with those of the margin between them.

"Above chance" is (accuracy - chance) / (1 - chance) in percent: 0 is a blind guess, 100 all right.
"""
PARTS = {
    "per_position": "per place",
    "valid": "valid",
    "closeness": "closeness",
    "row": "row",
    "column": "column",
}
"""The sub-metrics that the table shows, and their names there."""


NARROWING = Narrowing(
    drop=("By parts", "p of margin", "n samples", "Unread %", "95% of margin", "Above chance", "Margin"),
    stack=("95% interval", "Accuracy"),
    names=("Model",),
)


def is_probe(results: Sequence[Result], task: str) -> bool:
    """Whether a task is an SSL probe in any of these results."""
    return any(dig(result, "tasks", task, "probe") for result in results)


def probe_table(results: Sequence[Result], tasks: Sequence[str]) -> Table:
    """Makes a table with one row per task and result, in the order of `tasks`; percent with two decimals.

    Args:
        tasks: names with the `ssl4rl_` prefix; tasks that are not probes are skipped.
    """
    partial = " · partial" if any(result.get("partial") for result in results) else ""
    names = ["Probe", "Model"] if len(results) > 1 else ["Probe"]
    headers = [*names, *(header.replace(" ", "\n") for header in _headers(results, tasks))]
    table = plain_table(f"SSL probes{partial}", headers, "l" * len(names) + "r", narrowing=NARROWING)
    for row in _rows(results, tasks):
        table.add_row(*map(Text, row[: len(names)]), *row[2:])
    return table


def probes_to_markdown(results: Sequence[Result], tasks: Sequence[str]) -> str:
    """Formats `probe_table` as a Markdown table that ends in a line break."""
    rows = ([escape(name), escape(model), *numbers] for name, model, *numbers in _rows(results, tasks))
    return markdown_table(("Probe", "Model", *_headers(results, tasks)), rows, "llr")


def other_convention(result: Result, tasks: Sequence[str]) -> list[str]:
    """Returns a sentence per jigsaw whose replies fit the other convention better than the one asked for.

    "Better" means that the whole interval of the accuracy by the other convention is above the accuracy by
    the one asked for, and above chance.
    """
    out = []
    for task in tasks:
        probe = dig(result, "tasks", task, "probe")
        parts = dig(probe, "parts")
        exact = number(dig(parts, "exact").get("value"))
        other = number(dig(parts, "other_exact").get("value"))
        low, _ = ci95(dig(parts, "other_exact")) or (0.0, 0.0)
        if exact is not None and other is not None and low > max(exact, number(probe.get("chance")) or 0.0):
            out.append(
                f"{model_name(result)}: {short_name(task)}: the replies fit the other convention better: "
                f"{100 * other:.2f}% are right if they name for each piece its place, {100 * exact:.2f}% if "
                "for each place its piece, as asked"
            )
    return out


def _headers(results: Sequence[Result], tasks: Sequence[str]) -> tuple[str, ...]:
    return (*HEADERS, *_margin_headers(results, tasks), *REST)


def _margin_headers(results: Sequence[Result], tasks: Sequence[str]) -> tuple[str, ...]:
    return margin_headers(margin_of(result, task) for task in tasks for result in results)


def _rows(results: Sequence[Result], tasks: Sequence[str]) -> list[list[str]]:
    rows = []
    n_margin = len(_margin_headers(results, tasks))
    for task in tasks:
        for result in results:
            probe = dig(result, "tasks", task, "probe")
            if not probe:
                continue
            accuracy, interval = value_and_interval(dig(probe, "accuracy"))
            overall = dig(result, "tasks", task, "aggregates", "row_micro", "overall")
            parts = dig(probe, "parts")
            shares = [
                f"{percent(dig(parts, key).get('value'))} {name}"
                for key, name in PARTS.items()
                if key in parts
            ]
            rows.append(
                [
                    short_name(task) + (f" ({shown})" if (shown := blinding(result, task)) else ""),
                    model_name(result),
                    accuracy,
                    interval,
                    percent(probe.get("chance")),
                    percent(dig(probe, "chance_corrected").get("value")),
                    *margin_of(result, task).cells()[:n_margin],
                    ", ".join(shares) or NO_DATA,
                    count(dig(probe, "accuracy")),
                    percent(overall.get("unread")),
                ]
            )
    return rows
