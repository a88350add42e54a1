"""`ssl4rl-bench report`: writes the comparison of many runs with one baseline as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ssl4rl_bench.cli.options import (
    Allow,
    AverageOption,
    BaselineOption,
    MovedData,
    OptionValues,
    PublishedOption,
    RunPaths,
    SharedTasks,
)
from ssl4rl_bench.core.output import say

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views import ViewRuns

PAGE = Path("leaderboard.html")


def report(
    runs: RunPaths,
    baseline: BaselineOption = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help=f"The HTML file to write (default: {PAGE}).")
    ] = None,
    tasks: SharedTasks = None,
    aggregation: Annotated[
        OptionValues,
        Option(
            "--aggregation",
            "-a",
            metavar="NAME,...",
            help="Only these; the page opens with the first (default: all; the benchmark's first).",
        ),
    ] = None,
    average: AverageOption = None,
    published: PublishedOption = None,
    view: Annotated[
        OptionValues,
        Option(
            metavar="VIEW,...",
            help="Only these views (transfer, goldilocks, additivity, bias, attend); without --out they are printed.",
        ),
    ] = None,
    figures: Annotated[Path | None, Option(help="Write each view's figure here, as SVG and PNG.")] = None,
    trained: Annotated[
        OptionValues,
        Option(
            metavar="LABEL=TASK[+TASK]",
            help="The training tasks of a checkpoint that does not record them.",
        ),
    ] = None,
    allow: Allow = None,
    data: MovedData = None,
    samples: Annotated[
        bool, Option("--samples/--no-samples", help="Put questions, pictures and replies in the page.")
    ] = True,
    title: Annotated[str | None, Option(help="The page's heading.")] = None,
) -> None:
    """Write the leaderboard of runs: one HTML file that opens without a network.

    The answer in one line, the table with intervals, ranks and verdicts, differences, abilities, every sample with
    the replies, a glossary, and the command that repeats each run; a table of all benchmarks first if there are
    several.

    Examples:
      ssl4rl-bench report runs/base runs/rotation --out leaderboard.html
      ssl4rl-bench report runs/base runs/rotation --view transfer

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.cli.report_views import choose_runs, make_views, print_views, write_views
    from ssl4rl_bench.comparison.load import load_evaluated, loaded_tasks
    from ssl4rl_bench.comparison.published import load_published
    from ssl4rl_bench.comparison.settings import check_allowed
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.reports.html import assemble, write
    from ssl4rl_bench.reports.html.report import TITLE
    from ssl4rl_bench.reports.views import with_short_names
    from ssl4rl_bench.run.rundir import open_run
    from ssl4rl_bench.score.aggregate import check_aggregation
    from ssl4rl_bench.task.registry import per_task

    place = out or PAGE
    only_views = bool(view or figures) and out is None
    if not only_views:
        _check_writable(place)
    allowed = check_allowed(split_names(allow or []))
    wanted = [check_aggregation(name) for name in split_names(aggregation or [])]
    tables = [load_published(name) for name in split_names(published or [])]
    moved = per_task(
        data or [], list(dict.fromkeys(name for path in runs for name in open_run(path).spec.tasks))
    )
    evaluated = load_evaluated(runs, data or [], Terminal())
    names = [full_name(name) for name in split_names(tasks or [])]
    chosen = choose_runs(evaluated, baseline, names, wanted[0] if wanted else None, trained or [], allowed)
    # A page shortens names; what stands alone does not.
    views = make_views(split_names(view or []), chosen if only_views else with_short_names(chosen))
    if only_views:
        print_views(views)
    if figures is not None:
        write_views(views, figures)
    if only_views:
        return
    base, others = chosen.baseline, chosen.on_page
    loaded, missing = loaded_tasks([base, *others], moved, Terminal()) if samples else (None, [])
    for line in [*_left_out(chosen), *missing]:
        say(f"note: {line}", stderr=True)
    page = assemble(
        base,
        others,
        loaded,
        tasks=names,
        aggregations=wanted,
        averages=average or [],
        published=tables,
        views=views,
        trained=chosen.trained,
        allow=allowed,
        title=title or TITLE,
    )
    write(page, place)
    size = f"{1 + len(others)} run{'s' if others else ''}"
    say(f"wrote {place} ({place.stat().st_size / 1e6:.1f} MB): {size}, baseline {base.label}")


def _check_writable(path: Path) -> None:
    """Checks before minutes of work whether a file can be written. The writing itself can still fail.

    Raises:
        StoreError: the file cannot be written.
    """
    import os

    from ssl4rl_bench.core.errors import StoreError

    if path.is_dir():
        raise StoreError(f"cannot write {path}: it is a directory; give --out a file")
    if not path.parent.is_dir():
        raise StoreError(f"cannot write {path}: there is no directory {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise StoreError(f"cannot write {path}: permission denied; choose a directory that you may write to")


def _left_out(chosen: ViewRuns) -> list[str]:
    """Lists the runs that appear only in views, and the tasks that are left out because runs lack them."""
    from ssl4rl_bench.reports.board.overview import answered_benchmarks, left_out_benchmarks

    base, others = chosen.baseline, chosen.on_page
    runs = (base, *others)
    probes = dict.fromkeys(name for run in runs for name, task in run.outcomes.items() if task.probe)
    benchmarks = answered_benchmarks(base, others)
    lacking = {
        name: [run.label for run in runs if name not in run.outcomes] for name in (*probes, *benchmarks)
    }
    return [
        *(f"{run.label} ({run.path}) appears in views only" for run in (*chosen.more, *chosen.blind)),
        *(
            (f"{name} is left out" if name in probes else f"the samples of {name} are not shown")
            + f": {', '.join(who)} did not answer it"
            for name, who in lacking.items()
            if who
        ),
        *(left_out_benchmarks(base, others) if others else []),
    ]
