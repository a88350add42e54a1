"""Words that shells complete: names of tasks, runs, recipes, presets, models, engines and views.

A function returns no words where a path may follow, so that the shell completes files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def complete_tasks(incomplete: str) -> list[str]:
    """Completes the last name of a list of tasks and groups, separated by commas."""
    from ssl4rl_bench.core.names import short_name
    from ssl4rl_bench.task.taskfile import group_names, task_names

    before, comma, name = incomplete.rpartition(",")
    names = [short_name(known) for known in (*task_names(), *group_names())]
    return [f"{before}{comma}{known}" for known in _starting(name, names)]


def complete_runs(incomplete: str) -> list[str]:
    """Completes the names of runs below runs/."""
    names = [path.parent.as_posix() for path in sorted(Path("runs").glob("*/spec.json"))]
    short = [name.removeprefix("runs/") for name in names]
    return _starting(incomplete, names if incomplete.startswith("runs/") else short)


def complete_recipes(incomplete: str) -> list[str]:
    """Completes the names of bundled recipes."""
    from ssl4rl_bench.train.recipe import recipe_names

    return _starting(incomplete, recipe_names())


def complete_presets(incomplete: str) -> list[str]:
    """Completes the names of presets."""
    from ssl4rl_bench.evaluation.presets import preset_names

    return _starting(incomplete, preset_names())


def complete_models(incomplete: str) -> list[str]:
    """Completes the names of bundled checkpoints."""
    from ssl4rl_bench.engines.checkpoints.weights import bundled_names

    return _starting(incomplete, bundled_names())


def complete_engines(incomplete: str) -> list[str]:
    """Completes the names of engines."""
    from ssl4rl_bench.engines import ENGINES

    return _starting(incomplete, ENGINES)


def complete_aggregations(incomplete: str) -> list[str]:
    """Completes the names of aggregations."""
    from ssl4rl_bench.score.aggregate import AGGREGATIONS

    return _starting(incomplete, AGGREGATIONS)


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
