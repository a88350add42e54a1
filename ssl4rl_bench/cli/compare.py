"""`ssl4rl-bench compare`: compares several runs with a baseline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from ssl4rl_bench.cli.options import (
    Aggregation,
    Allow,
    BaselineOption,
    MovedData,
    PublishedOption,
    RunPaths,
    SharedTasks,
)

CompareFormat = Literal["table", "markdown", "latex", "csv", "json"]


def compare(
    runs: RunPaths,
    baseline: BaselineOption = None,
    task: SharedTasks = None,
    by: Annotated[str, Option(help="Categories to compare: overall, l1, l2 or l3.")] = "l2",
    aggregation: Aggregation = "circular_micro",
    correction: Annotated[
        str | None, Option(help="holm, max-t, bh or none (default: holm; bh for l3).")
    ] = None,
    group_by: Annotated[
        str | None,
        Option(
            help="Group runs into methods by model (same weights), by seed (names that differ in -seedN), "
            "or by a regular expression whose first group is the method's name."
        ),
    ] = None,
    allow: Allow = None,
    published: PublishedOption = None,
    data: MovedData = None,
    intervals: Annotated[bool, Option("--intervals", help="Show intervals in the table's cells.")] = False,
    form: Annotated[CompareFormat, Option("--format", help="table, markdown, latex, csv or json.")] = "table",
    out: Annotated[Path | None, Option("--out", "-o", help="Write to this file.")] = None,
) -> None:
    """Compare runs with a baseline: differences with intervals, corrected p, detectable effects, and flips.

    Only questions that both runs answered count. Each difference is split into what comes from replies that could
    be read in one run only, and what comes from answers.
    """
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.cli.compare_print import output, print_boards, print_methods
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.comparison.load import choose_baseline, load_evaluated, shared_tasks
    from ssl4rl_bench.comparison.published import check_benchmarks, load_published
    from ssl4rl_bench.comparison.seeds import methods_of
    from ssl4rl_bench.core.atomic import write_text
    from ssl4rl_bench.core.errors import UsageError
    from ssl4rl_bench.reports.board import board
    from ssl4rl_bench.reports.board.export import to_csv, to_json, to_latex, to_markdown
    from ssl4rl_bench.reports.board.probes import probe_rows

    tables = [load_published(name) for name in split_names(published or [])]
    evaluated = load_evaluated(runs, data or [], Terminal())
    if len(evaluated) < 2:
        raise UsageError("one run cannot be compared: name a second one")
    base, others = choose_baseline(evaluated, baseline)
    benchmarks, probes = shared_tasks(evaluated, split_names(task or []))
    check_benchmarks(tables, benchmarks)
    allowed = split_names(allow or [])
    boards = [
        board.build_board(
            base,
            others,
            name,
            by=by,
            aggregation=aggregation,
            correction=correction,
            published=tables,
            allow=allowed,
        )
        for name in benchmarks
    ]
    rows = probe_rows(base, others, probes, correction=correction, allow=allowed)
    if form == "table":
        with output(out) as screen:
            if group_by is None:
                print_boards(screen, boards, rows, intervals)
            else:
                print_methods(
                    screen,
                    base,
                    methods_of(others, group_by),
                    [*benchmarks, *probes],
                    by,
                    aggregation,
                    allowed,
                )
        return
    if group_by is not None:
        raise UsageError(f"--group-by supports only the table format: leave out --format {form}")
    text = {
        "markdown": lambda: to_markdown(boards, rows, intervals),
        "latex": lambda: to_latex(boards, rows, intervals),
        "csv": lambda: to_csv(boards, rows),
        "json": lambda: to_json(boards, rows),
    }[form]()
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
