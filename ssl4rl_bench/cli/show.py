"""`ssl4rl-bench show`: the tables of finished runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


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
    from ssl4rl_bench.cli.common import full_name, open_run, split_names
    from ssl4rl_bench.errors import StoreError

    results = []
    for path in runs:
        run = open_run(path)
        result = run.result
        if result is None:
            raise StoreError(f"run {run.path} is not complete: repeat its `run` command to resume it")
        results.append(result)
    wanted = [full_name(name) for name in split_names(task or [])]
    names = wanted or list(dict.fromkeys(name for result in results for name in result["tasks"]))
    if form is Format.JSON:
        sys.stdout.write(json.dumps(results if len(results) > 1 else results[0], indent=1) + "\n")
    elif form is Format.MARKDOWN:
        from ssl4rl_bench.reports.tables import to_markdown

        for name in names:
            sys.stdout.write(to_markdown(results, name, aggregation) + "\n")
    else:
        print_tables(results, names, aggregation, leaves)


def print_tables(
    results: Sequence[Mapping[str, Any]],
    tasks: Sequence[str],
    aggregation: str = "circular_micro",
    leaves: bool = False,
) -> None:
    """The card's table of each task, or each result's table of all categories; then how replies were read."""
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.reports.tables import card_table, clean, leaf_table, status_line

    screen = console()
    for name in tasks:
        screen.print()
        if leaves:
            for result in results:
                if name in result["tasks"]:
                    screen.print(leaf_table(result, name, aggregation))
        else:
            screen.print(card_table(results, name, aggregation))
        for result in results:
            found = result["tasks"].get(name)
            if found is None:
                continue
            excluded = found["n_groups_excluded"]
            note = f"; {excluded} questions left out for failed or missing replies" if excluded else ""
            label = f"{clean(result['model']['name'])}: " if len(results) > 1 else ""
            screen.print(
                f"{label}{status_line(found['status'])} (prompt {found['prompt']}, "
                f"extractor {found['extractor']}){note}",
                markup=False,
            )
    for result in results:
        for reason in result["partial_reasons"]:
            screen.print(f"partial: {clean(result['model']['name'])}: {clean(reason, 200)}", markup=False)
