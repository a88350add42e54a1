"""`ssl4rl-bench list`: what there is to name on a command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.output import say

if TYPE_CHECKING:
    from ssl4rl_bench.run.spec import RunSpec


class What(StrEnum):
    """What `list` lists."""

    TASKS = "tasks"
    ENGINES = "engines"
    RUNS = "runs"
    RECIPES = "recipes"


def list_(
    what: Annotated[What, typer.Argument(help="tasks, engines, runs or recipes.")],
    root: Annotated[Path, typer.Option("--root", help="Where the runs are.")] = Path("runs"),
) -> None:
    """List tasks, engines, runs or training recipes."""
    from rich.table import Table

    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.core.neutral import clean, one_line

    table = Table(box=None, pad_edge=False)
    if what is What.TASKS:
        from ssl4rl_bench.task.taskfile import group_names, load_taskfile, task_names

        for header in ("task", "what it is", "data", "prompt"):
            table.add_column(header)
        for name in task_names():
            task = load_taskfile(name)
            source = "built in" if task.builtin else str(task.dataset_path or task.data_file)
            if task.ssl is not None:
                source = f"made of {task.images} (--images)"
            table.add_row(short_name(name), clean(task.title), clean(source), task.prompt)
        for name, members in group_names().items():
            table.add_row(short_name(name), f"group of {len(members)} tasks", "", "")
    elif what is What.ENGINES:
        from ssl4rl_bench.engines import ENGINES

        for header in ("engine", "what it is"):
            table.add_column(header)
        for name, line in ENGINES.items():
            table.add_row(name, line)
    elif what is What.RECIPES:
        from ssl4rl_bench.train.recipe import find, read, recipe_names

        for header in ("recipe", "base", "tasks", "steps", "processes"):
            table.add_column(header)
        for name in recipe_names():
            recipe = read(find(name))
            tasks = ", ".join(task.removeprefix("ssl_") for task in recipe.tasks)
            steps = str(recipe.grpo.steps or f"{recipe.grpo.epochs:g} epochs")
            table.add_row(name, clean(recipe.model.base), clean(tasks), steps, str(recipe.hardware.processes))
    else:
        from ssl4rl_bench.run.rundir import list_runs

        for header in ("run", "model", "tasks", "engine", "replies", "state"):
            table.add_column(header)
        for run in list_runs(root, on_problem=lambda problem: say(f"warning: {problem}", stderr=True)):
            spec = run.spec
            table.add_row(
                one_line(run.path),
                clean(spec.model),
                clean(", ".join(short_name(name) for name in spec.tasks) + _shown(spec), 400),
                clean(f"{spec.mark or spec.engine} {spec.engine_version}"),
                f"{run.n_answered}/{run.n_total}",
                "complete" if run.complete else "incomplete",
            )
        if not table.row_count:
            say(f"no runs in {root}; `ssl4rl-bench run` makes one")
            return
    console().print(table)


def _shown(spec: RunSpec) -> str:
    """What a run's tasks showed instead of their images, if they did, with a space before it."""
    shown = sorted({task.image for task in spec.tasks.values()} - {"real"})
    return f" (image {', '.join(shown)})" if shown else ""
