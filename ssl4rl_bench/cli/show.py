"""`ssl4rl-bench show`: the tables of finished runs."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.cli.tables import print_tables
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.run.rundir import open_run
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
