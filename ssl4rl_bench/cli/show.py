"""`ssl4rl-bench show`: the tables of finished runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.output import say


class Format(StrEnum):
    """How `show` prints."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def show(
    runs: Annotated[
        list[Path], typer.Argument(help="Run directories, or their names below runs/.", metavar="RUN...")
    ],
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Only these tasks (default: all).")
    ] = None,
    aggregation: Annotated[
        str,
        typer.Option(
            "--aggregation", "-a", help="circular_micro, row_micro, vanilla0_micro or row_l3_macro."
        ),
    ] = "circular_micro",
    leaves: Annotated[
        bool, typer.Option("--leaves", help="Every category of every level, with its interval.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="table, markdown or json.")] = Format.TABLE,
) -> None:
    """Print the card's table of runs: accuracy by ability with n, interval and unread share."""
    from ssl4rl_bench.cli.common import open_run, split_names
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.score.consistency import finished

    opened = [open_run(path) for path in runs]
    results = [finished(run) for run in opened]
    for run in opened:
        if (why := run.spec.not_comparable(str(run.path))) is not None:
            say(f"note: run {run.path} is not comparable: {why}", stderr=True)
    wanted = [full_name(name) for name in split_names(task or [])]
    names = wanted or list(dict.fromkeys(name for result in results for name in result["tasks"]))
    if form is Format.JSON:
        sys.stdout.write(json.dumps(results if len(results) > 1 else results[0], indent=1) + "\n")
    elif form is Format.MARKDOWN:
        from ssl4rl_bench.reports.result.probes import is_probe, probes_to_markdown
        from ssl4rl_bench.reports.result.tables import to_markdown

        probes = [name for name in names if is_probe(results, name)]
        for name in names:
            if name not in probes:
                sys.stdout.write(to_markdown(results, name, aggregation) + "\n")
        if probes:
            sys.stdout.write(probes_to_markdown(results, probes) + "\n")
    else:
        print_tables(results, names, aggregation, leaves)


def print_tables(
    results: Sequence[Mapping[str, Any]],
    tasks: Sequence[str],
    aggregation: str = "circular_micro",
    leaves: bool = False,
) -> None:
    """The card's table of each benchmark, or each result's table of all categories, and one table of all probes.

    Below stands how the replies were read.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.reports.result.probes import is_probe, other_convention, probe_table
    from ssl4rl_bench.reports.result.tables import card_table, clean, leaf_table
    from ssl4rl_bench.reports.text.cells import model_name

    screen = console()
    probes = [name for name in tasks if is_probe(results, name)]
    for name in tasks:
        if name in probes:
            continue
        screen.print()
        if leaves:
            for result in results:
                if name in result["tasks"]:
                    screen.print(leaf_table(result, name, aggregation))
        else:
            screen.print(card_table(results, name, aggregation))
        for line in _reading(results, name, label=len(results) > 1):
            screen.print(line)
    if probes:
        screen.print()
        screen.print(probe_table(results, probes))
        for name in probes:
            for line in _reading(results, name, label=len(results) > 1):
                screen.print(f"{short_name(name)}: {line}")
    for result in results:
        for line in other_convention(result, probes):
            screen.print(f"note: {line}", style="yellow")
        for reason in result["partial_reasons"]:
            screen.print(f"partial: {model_name(result)}: {clean(reason, 200)}")


def _reading(results: Sequence[Mapping[str, Any]], task: str, label: bool) -> list[str]:
    """How the replies of each result were read, a line each."""
    from ssl4rl_bench.reports.result.tables import reading_line
    from ssl4rl_bench.reports.text.cells import model_name

    lines = []
    for result in results:
        found = result["tasks"].get(task)
        if found is None:
            continue
        model = f"{model_name(result)}: " if label else ""
        lines.append(
            f"{model}{reading_line(found)} (prompt {found['prompt']}, extractor {found['extractor']})"
        )
    return lines
