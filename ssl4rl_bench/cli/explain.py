"""`ssl4rl-bench explain`: says why the number of a run may differ from another one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ssl4rl_bench.cli.completion import complete_runs, complete_tasks
from ssl4rl_bench.cli.options import MovedData

ExplainFormat = Literal["table", "markdown", "json"]


def explain(
    run: Annotated[
        Path,
        Argument(
            help="Run directory, or its name below runs/; it may be incomplete.",
            autocompletion=complete_runs,
        ),
    ],
    against: Annotated[
        str,
        Option(
            "--against",
            metavar="RUN|PUBLISHED|NUMBER",
            help="Another run, a published table's name or file (NAME:ROW for one of its rows), or a number in "
            "percent.",
        ),
    ],
    tasks: Annotated[
        str | None,
        Option(
            "--tasks",
            "-t",
            metavar="TASK",
            help="The task, if the run and the other side share several.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    aggregation: Annotated[
        str | None,
        Option(
            "--aggregation",
            "-a",
            help="Of the run's number, as in `compare` (default: the benchmark's).",
        ),
    ] = None,
    against_aggregation: Annotated[
        str | None,
        Option(help="Of the other number (default: the same for a run; unknown for a published number)."),
    ] = None,
    data: MovedData = None,
    form: Annotated[ExplainFormat, Option("--format", help="table, markdown or json.")] = "table",
    as_json: Annotated[bool, Option("--json", help="The same as --format json.")] = False,
    out: Annotated[Path | None, Option("--out", "-o", help="Write to this file.")] = None,
) -> None:
    """Explain why a run's number differs from that of another run or from a published one.

    Puts every setting side by side, computes the effect of what can be re-scored without a model, and ranks what may
    be the cause, with the command that tries it.

    Examples:
      ssl4rl-bench explain runs/base --against runs/theirs
      ssl4rl-bench explain runs/base --against ssl4rl_mmbench:base
      ssl4rl-bench explain runs/base --against 72.99

    Exit codes: 0 done, whether or not a cause is named; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.cli.explain_print import print_explanation
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.comparison.explaining.explain import explain_sides
    from ssl4rl_bench.core.atomic import write_text
    from ssl4rl_bench.reports.result.explanation_tables import explanation_json, explanation_markdown

    explanation = explain_sides(
        run, against, tasks, (aggregation, against_aggregation), data or [], Terminal()
    )
    if as_json or form == "json":
        text = json.dumps(explanation_json(explanation), indent=1) + "\n"
    elif form == "markdown":
        text = explanation_markdown(explanation)
    else:
        print_explanation(explanation, out)
        return
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
