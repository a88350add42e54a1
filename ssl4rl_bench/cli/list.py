"""`ssl4rl-bench list`: lists tasks, engines, runs, recipes, presets and example files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.output import say

_COLUMNS = {
    "tasks": ("task", "description", "data", "prompt"),
    "engines": ("engine", "description"),
    "runs": ("run", "model", "tasks", "engine", "replies", "state"),
    "recipes": ("recipe", "base", "tasks", "steps", "processes"),
    "presets": ("preset", "description", "settings"),
    "examples": ("example", "description"),
}
_DROPPED = {
    "tasks": ("prompt", "data"),
    "engines": (),
    "runs": ("engine", "tasks"),
    "recipes": ("processes", "base"),
    "presets": (),
    "examples": (),
}
"""The columns that narrow terminals do not show, the first ones first."""


def list_(
    what: Annotated[
        Literal["tasks", "engines", "runs", "recipes", "presets", "examples"],
        Argument(help="tasks, engines, runs, recipes, presets or examples."),
    ],
    root: Annotated[Path, Option(help="The folder of the runs.")] = Path("runs"),
) -> None:
    """List tasks, engines, runs, training recipes, presets or example files.

    Examples:
      ssl4rl-bench list tasks
      ssl4rl-bench list runs --root runs

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.core.neutral import clean, one_line
    from ssl4rl_bench.reports.text.fitting import FittingTable, Narrowing

    table = FittingTable(
        *_COLUMNS[what], n_keys=1, narrowing=Narrowing(drop=_DROPPED[what]), box=None, pad_edge=False
    )
    if what == "tasks":
        from ssl4rl_bench.task.taskfile import group_names, load_taskfile, task_names

        files = [load_taskfile(name) for name in task_names()]
        for kind in sorted({task.kind for task in files}):
            for task in files:
                if task.kind == kind:
                    cells = (short_name(task.name), clean(task.title), clean(task.data_name), task.prompt)
                    table.add_row(*cells)
        for name, members in group_names().items():
            table.add_row(short_name(name), f"group of {len(members)} tasks", "", "")
    elif what == "engines":
        from ssl4rl_bench.engines import ENGINES

        for name, line in ENGINES.items():
            table.add_row(name, line)
    elif what == "presets":
        from ssl4rl_bench.evaluation.presets import load_preset, preset_names

        for name in preset_names():
            preset = load_preset(name)
            settings = (f"{key} {setting.value}" for key, setting in preset.settings.items())
            table.add_row(name, preset.title, ", ".join(settings))
    elif what == "examples":
        from ssl4rl_bench.examples import list_examples

        for example in list_examples():
            table.add_row(example.name, clean(example.title, 200))
    elif what == "recipes":
        from ssl4rl_bench.train.recipe import find_recipe, read_recipe, recipe_names

        for name in recipe_names():
            recipe = read_recipe(find_recipe(name))
            tasks = ", ".join(task.removeprefix("ssl_") for task in recipe.tasks)
            steps = str(recipe.grpo.steps or f"{recipe.grpo.epochs:g} epochs")
            table.add_row(name, clean(recipe.model.base), clean(tasks), steps, str(recipe.hardware.processes))
    else:
        from ssl4rl_bench.run.rundir import list_runs

        for run in list_runs(root, on_problem=lambda problem: say(f"warning: {problem}", stderr=True)):
            spec = run.spec
            shown = sorted({task.image for task in spec.tasks.values()} - {"real"})
            instead = f" (image {', '.join(shown)})" if shown else ""
            table.add_row(
                one_line(run.path),
                clean(spec.model),
                clean(", ".join(short_name(name) for name in spec.tasks) + instead, 400),
                clean(f"{spec.mark or spec.engine} {spec.engine_version}"),
                f"{run.n_answered}/{run.n_total}",
                (f"shard {spec.shard}, " if spec.shard else "")
                + ("complete" if run.complete else "incomplete"),
            )
        if not table.row_count:
            say(f"no runs in {root}; `ssl4rl-bench run` creates one")
            return
    console().print(table)
    if what == "examples":
        from ssl4rl_bench.examples import HERE, RECIPES

        say(f"gate.toml and tasks/ are installed in {HERE}, recipes/ and the launch files in {RECIPES}")
        say("`ssl4rl-bench examples [NAME...]` copies them into a folder")
