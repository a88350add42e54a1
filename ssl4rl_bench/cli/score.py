"""`ssl4rl-bench score`: derives result.json again from the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.cli.options import Extractor, MovedData
from ssl4rl_bench.core.output import say


def score(
    run: Annotated[Path, Argument(help="Run directory, or its name below runs/.")],
    extractor: Extractor = "default",
    data: MovedData = None,
    dry: Annotated[bool, Option("--dry-run", help="Print the tables without writing result.json.")] = False,
) -> None:
    """Read a run's replies again and derive result.json anew, without a model.

    A run that is not complete is scored too, printed as partial, and gets no result.json; an imported run gets one.

    Examples:
      ssl4rl-bench score runs/base
      ssl4rl-bench score runs/base --extractor strict --dry-run

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.cli.tables import print_tables
    from ssl4rl_bench.run.rundir import RunDir, open_run
    from ssl4rl_bench.score.reload import reload_tasks
    from ssl4rl_bench.score.scoring import score_and_write, score_run
    from ssl4rl_bench.task.registry import per_task

    opened = open_run(run)
    names = list(opened.spec.tasks)
    tasks = reload_tasks(opened, per_task(data or [], names), observer=Terminal())
    result = score_run(opened, tasks, extractor)
    missing = sum(task["n_missing"] for task in result["tasks"].values())
    if missing and opened.spec.imported is None:
        say(f"{opened.path}: {missing} replies are missing; result.json is not written", stderr=True)
    elif not dry:
        with RunDir.create(opened.path, opened.spec) as writable:
            score_and_write(writable, tasks, extractor)
    for name, task in result["tasks"].items():
        if task["n_corrupt"]:
            say(f"{name}: {task['n_corrupt']} damaged journal lines were not scored", stderr=True)
    print_tables([opened.shown(result)], names)
