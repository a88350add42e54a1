"""`ssl4rl-bench show`: prints the tables of finished runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from typer import Option

from ssl4rl_bench.cli.options import Aggregation, RunPaths, ShownTasks
from ssl4rl_bench.core.output import say

ShowFormat = Literal["table", "markdown", "json"]


def show(
    runs: RunPaths,
    tasks: ShownTasks = None,
    aggregation: Aggregation = None,
    leaves: Annotated[
        bool, Option("--leaves", help="Every category of every level, with its interval.")
    ] = False,
    form: Annotated[ShowFormat, Option("--format", help="table, markdown or json.")] = "table",
) -> None:
    """Print the card's table of runs: accuracy by ability with n, interval and unread share.

    Examples:
      ssl4rl-bench show runs/base runs/rotation
      ssl4rl-bench show runs/base --tasks scenes --leaves

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.cli.tables import print_tables
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.reports.result.tables import check_names
    from ssl4rl_bench.run.rundir import open_run
    from ssl4rl_bench.score.consistency import finished
    from ssl4rl_bench.score.headline import headline_of, is_corpus_only

    opened = [open_run(path) for path in runs]
    results = [finished(run) for run in opened]
    for run in opened:
        if (why := run.spec.not_comparable(str(run.path))) is not None:
            say(f"note: run {run.path} is not comparable: {why}", stderr=True)
    wanted = [full_name(name) for name in split_names(tasks or [])]
    names = wanted or list(dict.fromkeys(name for result in results for name in result["tasks"]))
    for name in names:
        check_names(results, name, aggregation or headline_of(results, name))
    if form == "json":
        chosen = [result | {"tasks": _only(names, result["tasks"])} for result in results]
        sys.stdout.write(json.dumps(chosen if len(chosen) > 1 else chosen[0], indent=1) + "\n")
    elif form == "markdown":
        from ssl4rl_bench.reports.result.metrics import has_metrics, metrics_markdown
        from ssl4rl_bench.reports.result.probes import is_probe, probes_to_markdown
        from ssl4rl_bench.reports.result.tables import to_markdown

        probes = [name for name in names if is_probe(results, name)]
        for name in names:
            held = [result["tasks"][name] for result in results if name in result["tasks"]]
            if name not in probes and not all(map(is_corpus_only, held)):
                sys.stdout.write(to_markdown(results, name, aggregation or headline_of(results, name)) + "\n")
            if has_metrics(results, name):
                sys.stdout.write(metrics_markdown(results, name) + "\n")
        if probes:
            sys.stdout.write(probes_to_markdown(results, probes) + "\n")
    else:
        print_tables(results, names, aggregation, leaves)


def _only(names: Collection[str], tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the named tasks of a result, in the result's order."""
    return {name: task for name, task in tasks.items() if name in names}
