"""`ssl4rl-bench report`: many runs against one baseline, as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssl4rl_bench.core.output import say

if TYPE_CHECKING:
    from ssl4rl_bench.comparison.pairing import Evaluated
    from ssl4rl_bench.reports.views import Runs
    from ssl4rl_bench.run.spec import LoadedTask

PAGE = Path("leaderboard.html")


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Run directories, or their names below runs/.", metavar="RUN...")
    ],
    baseline: Annotated[
        str | None, typer.Option("--baseline", "-b", help="A run's model or folder (default: the first run).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=f"The HTML file to write (default: {PAGE}).")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", help="Only these tasks (default: all that all runs have)."),
    ] = None,
    aggregation: Annotated[
        list[str] | None,
        typer.Option(
            "--aggregation", "-a", help="Only these; the first is shown at first (default: all four)."
        ),
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(
            "--published",
            help="Show printed numbers of the same benchmark too: a table's name or file. Never tested.",
        ),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(
            "--view",
            help="Only these views (transfer, goldilocks, additivity, bias); without --out they are printed.",
        ),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Write each view's figure here, as SVG and PNG.")
    ] = None,
    trained: Annotated[
        list[str] | None,
        typer.Option(
            "--trained", help="LABEL=TASK[+TASK]: what a checkpoint was trained on, if nothing says it."
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", help="Settings in which runs may differ: max_pixels,max_tokens (docs/compare.md)."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Where the data lies now, if it moved; TASK=PATH for several tasks."),
    ] = None,
    samples: Annotated[
        bool, typer.Option("--samples/--no-samples", help="Put questions, pictures and replies in the page.")
    ] = True,
    title: Annotated[str | None, typer.Option("--title", help="The page's heading.")] = None,
) -> None:
    """Write the leaderboard of runs: one HTML file that opens without a network.

    Verdict in words, table with intervals and ranks, differences, abilities, every sample with the replies, and the
    command that makes each run again.

    Example: ssl4rl-bench report tiny-base tiny-rotation -o leaderboard.html
    """
    from ssl4rl_bench.cli.common import open_run, per_task, split_names
    from ssl4rl_bench.cli.evaluated import load_evaluated
    from ssl4rl_bench.cli.report_views import choose_runs, make_views, print_views, write_views
    from ssl4rl_bench.comparison.settings import check_allowed
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.reports import published as printed
    from ssl4rl_bench.reports.html import assemble, write
    from ssl4rl_bench.reports.html.report import TITLE
    from ssl4rl_bench.score.aggregate import AGGREGATIONS
    from ssl4rl_bench.score.groupscores import check_aggregation

    place = out or PAGE
    only_views = bool(view or figures) and out is None
    if not only_views:
        _check_writable(place)
    allowed = check_allowed(split_names(allow or []))
    wanted = [check_aggregation(name) for name in split_names(aggregation or [])] or list(AGGREGATIONS)
    tables = [printed.load(name) for name in split_names(published or [])]
    moved = per_task(
        data or [], list(dict.fromkeys(name for path in runs for name in open_run(path).spec.tasks))
    )
    found = load_evaluated(runs, data or [])
    names = [full_name(name) for name in split_names(task or [])]
    chosen = choose_runs(found, baseline, names, wanted[0], trained or [], allowed)
    views = make_views(split_names(view or []), chosen)
    if only_views:
        print_views(views)
    if figures is not None:
        write_views(views, figures)
    if only_views:
        return
    base, others = chosen.baseline, chosen.on_page
    loaded, missing = loaded_tasks([base, *others], moved) if samples else (None, [])
    for line in [*_left_out(chosen), *missing]:
        say(f"note: {line}", stderr=True)
    page = assemble(
        base,
        others,
        loaded,
        tasks=names,
        aggregations=wanted,
        published=tables,
        views=views,
        allow=allowed,
        title=title or TITLE,
    )
    write(page, place)
    say(f"wrote {place} ({place.stat().st_size / 1e6:.1f} MB): {1 + len(others)} runs, baseline {base.label}")


def _check_writable(path: Path) -> None:
    """Before minutes of work; writing itself can fail all the same.

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


def _left_out(chosen: Runs) -> list[str]:
    """Runs that only views use, and tasks that stand in no table, as not every run has them."""
    runs = [chosen.baseline, *chosen.on_page]
    tasks = dict.fromkeys(name for run in runs for name in run.outcomes)
    lacking = {name: [run.label for run in runs if name not in run.outcomes] for name in tasks}
    return [
        *(f"{run.label} ({run.path}) stands in views only" for run in (*chosen.more, *chosen.blind)),
        *(f"{name} is left out: {', '.join(who)} did not answer it" for name, who in lacking.items() if who),
    ]


def loaded_tasks(
    runs: Sequence[Evaluated], data: Mapping[str, str]
) -> tuple[list[dict[str, LoadedTask]], list[str]]:
    """Each run's tasks that every run has, each loaded once however many runs asked it, and what could not be."""
    import json

    from ssl4rl_bench.cli.common import reload_tasks
    from ssl4rl_bench.core.errors import BenchError
    from ssl4rl_bench.run.rundir import RunDir
    from ssl4rl_bench.run.spec import TaskSpec

    shared = [name for name in runs[0].outcomes if all(name in run.outcomes for run in runs)]
    known: dict[str, LoadedTask | None] = {}
    out: list[dict[str, LoadedTask]] = []
    notes: dict[str, None] = {}
    for run in runs:
        rundir = RunDir.open(run.path)
        own: dict[str, LoadedTask] = {}
        for name in shared:
            asked = run.spec.tasks[name]
            key = json.dumps(
                [name, asked.version, asked.data_sha256, asked.prompt, asked.image, asked.n_samples]
            )
            if key not in known:
                try:
                    task: LoadedTask = reload_tasks(rundir, data, [name])[0]
                    same = TaskSpec.of(task, asked.sampling) == asked
                    if not same:
                        notes[
                            f"{name} has other data now than {run.label} asked; its samples are not shown"
                        ] = None
                    known[key] = task if same else None
                except BenchError as error:
                    notes[f"the samples of {name} are not shown: {error}"] = None
                    known[key] = None
            found = known[key]
            if found is not None:
                own[name] = found
        out.append(own)
    return out, list(notes)
