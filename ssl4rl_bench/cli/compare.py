"""`ssl4rl-bench compare`: compares several runs with a baseline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from ssl4rl_bench.cli.options import (
    Aggregation,
    Allow,
    AverageOption,
    BaselineOption,
    MovedData,
    PublishedOption,
    RunPaths,
    SharedTasks,
)

CompareFormat = Literal["table", "markdown", "latex", "latex-narrow", "csv", "json"]


def compare(
    runs: RunPaths,
    baseline: BaselineOption = None,
    tasks: SharedTasks = None,
    by: Annotated[str, Option(help="Categories to compare: overall, l1, l2 or l3.")] = "l2",
    aggregation: Aggregation = None,
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
    average: AverageOption = None,
    published: PublishedOption = None,
    data: MovedData = None,
    intervals: Annotated[bool, Option("--intervals", help="Show intervals in the table's cells.")] = False,
    form: Annotated[
        CompareFormat,
        Option("--format", help="table, markdown, latex, latex-narrow (a column of two), csv or json."),
    ] = "table",
    out: Annotated[Path | None, Option("--out", "-o", help="Write to this file.")] = None,
) -> None:
    """Compare runs with a baseline: differences with intervals, corrected p, detectable effects, and flips.

    Only questions that both runs answered count. Each difference is split into what comes from replies that could
    be read in one run only, and what comes from answers. With several benchmarks, a table of all comes first.

    Examples:
      ssl4rl-bench compare runs/base runs/rotation runs/jigsaw
      ssl4rl-bench compare runs/base runs/rotation --published ssl4rl_mmbench --format latex

    Exit codes: 0 done, whatever differs; 2 bad input, or runs that cannot be compared; 4 internal failure.
    """
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.cli.compare_print import output, print_boards, print_methods, print_overview
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.cli.report_views import print_views
    from ssl4rl_bench.comparison.across import parse_averages
    from ssl4rl_bench.comparison.load import choose_baseline, load_evaluated, shared_tasks
    from ssl4rl_bench.comparison.published import check_benchmarks, load_published
    from ssl4rl_bench.comparison.seeds import methods_of
    from ssl4rl_bench.core.atomic import write_text
    from ssl4rl_bench.core.errors import UsageError
    from ssl4rl_bench.core.output import say
    from ssl4rl_bench.reports.board.export import to_csv, to_json, to_markdown
    from ssl4rl_bench.reports.board.latex import to_latex
    from ssl4rl_bench.reports.board.overview import (
        answered_benchmarks,
        build_boards,
        build_overview,
        left_out_benchmarks,
    )
    from ssl4rl_bench.reports.board.probes import probe_rows
    from ssl4rl_bench.reports.views.corpus import corpus_differences, corpus_view, view_markdown

    tables = [load_published(name) for name in split_names(published or [])]
    evaluated = load_evaluated(runs, data or [], Terminal())
    if len(evaluated) < 2:
        raise UsageError("one run cannot be compared: name a second one")
    base, others = choose_baseline(evaluated, baseline)
    benchmarks, probes = shared_tasks(evaluated, split_names(tasks or []))
    dropped = [] if tasks else left_out_benchmarks(base, others)
    benchmarks = benchmarks if tasks else answered_benchmarks(base, others)
    check_benchmarks(tables, benchmarks)
    corpus = corpus_differences(base, others, split_names(tasks or []), split_names(allow or []))
    corpus_views = [corpus_view(*differences) for differences in corpus]
    averages = parse_averages(average or [], benchmarks)
    allowed = split_names(allow or [])
    if group_by is not None:
        if form != "table" or averages:
            option = "--average" if averages else f"--format {form}"
            raise UsageError(f"--group-by supports only the table of each task: leave out {option}")
        with output(out) as screen:
            methods = methods_of(others, group_by)
            shared = [name for name in benchmarks if all(name in run.outcomes for run in others)]
            print_methods(screen, base, methods, [*shared, *probes], by, aggregation, allowed)
        return
    how = {"by": by, "aggregation": aggregation, "correction": correction}
    boards = build_boards(base, others, benchmarks, published=tables, allow=allowed, **how)
    overview = build_overview(boards, averages, correction)
    rows = probe_rows(base, others, probes, correction=correction, allow=allowed)
    for line in dropped:
        say(f"note: {line}", stderr=True)
    if form == "table":
        with output(out) as screen:
            if overview:
                print_overview(screen, overview, intervals)
            print_boards(screen, boards, rows, intervals)
            print_views(corpus_views, screen)
        return
    if corpus_views and form not in ("markdown", "json"):
        say(
            f"note: --format {form} has no metrics of the corpus, which table, markdown and json have",
            stderr=True,
        )
    text = {
        "markdown": lambda: "\n".join(
            [to_markdown(boards, rows, intervals, overview), *map(view_markdown, corpus_views)]
        ),
        "latex": lambda: to_latex(boards, rows, intervals, overview),
        "latex-narrow": lambda: to_latex(boards, rows, intervals, overview, narrow=True),
        "csv": lambda: to_csv(boards, rows, overview),
        "json": lambda: to_json(boards, rows, overview, [one for many, _ in corpus for one in many]),
    }[form]()
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
