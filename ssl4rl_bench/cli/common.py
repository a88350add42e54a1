"""What several commands share: consoles, name lists, and loading the tasks of a run again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssl4rl_bench.core.errors import StoreError, UsageError, did_you_mean
from ssl4rl_bench.core.names import full_name

if TYPE_CHECKING:
    from rich.console import Console

    from ssl4rl_bench.run.rundir import RunDir
    from ssl4rl_bench.task.registry import AnyTask

PLAIN_WIDTH = 110
"""Columns where the output is no terminal."""


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal; PLAIN_WIDTH where there is none. It reads no markup."""
    from ssl4rl_bench.cli.screen import Screen

    made = Screen(stderr=stderr)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Screen(stderr=stderr, width=PLAIN_WIDTH)
    return made


def split_names(values: Iterable[str]) -> list[str]:
    """Values of a repeatable option that also takes commas, each once, in order."""
    names = (name.strip() for value in values for name in value.split(","))
    return list(dict.fromkeys(name for name in names if name))


def per_task(values: Sequence[str], tasks: Sequence[str]) -> dict[str, str]:
    """`--data` values by full task name: "PATH" for all tasks, "TASK=PATH" or "GROUP=PATH" for some of them.

    Only one task, or several SSL tasks, which can all be made of the same images, can share a path.

    Raises:
        UsageError: for a task that is not asked, or a bare path with several tasks that cannot share it.
    """
    from ssl4rl_bench.task.taskfile import expand, load_taskfile

    names = [full_name(task) for task in tasks]
    out: dict[str, str] = {}
    for value in values:
        head, equals, tail = value.partition("=")
        if equals and (named := [name for name in expand([head]) if name in names]):
            out |= dict.fromkeys(named, tail)
        elif len(names) == 1 or all(load_taskfile(name).ssl is not None for name in names):
            out |= dict.fromkeys(names, value)
        else:
            raise UsageError(
                f"--data {value} does not say which task it is for: write TASK=PATH with one of "
                f"{', '.join(names)}{did_you_mean(full_name(head), names) if equals else ''}"
            )
    return out


def open_run(path: Path) -> RunDir:
    """A run by its directory, or by its name below runs/.

    Raises:
        StoreError: there is none.
    """
    from ssl4rl_bench.run.rundir import RunDir

    if not path.exists() and (Path("runs") / path).is_dir():
        path = Path("runs") / path
    if not path.exists():
        known = [p.name for p in Path("runs").iterdir()] if Path("runs").is_dir() else []
        raise StoreError(
            f"there is no run {path}; `ssl4rl-bench list runs` lists them{did_you_mean(path.name, known)}"
        )
    return RunDir.open(path)


def reload_tasks(run: RunDir, data: Mapping[str, str], only: Iterable[str] | None = None) -> list[AnyTask]:
    """The tasks of a run, or some of them, loaded as the run loaded them; `data` says where they lie now.

    Raises:
        DataError, UsageError: as `registry.load_task`.
    """
    from ssl4rl_bench.cli.progress import LoadProgress
    from ssl4rl_bench.task.registry import load_task

    loading = run.loading()
    tasks = []
    for name in run.spec.tasks if only is None else only:
        spec = run.spec.tasks[name]
        how = loading.get(name, {})
        with LoadProgress(console(stderr=True), name) as on_share:
            task = load_task(
                how.get("task", name),
                data=data.get(name, how.get("data")),
                prompt=spec.prompt,
                skip_bad=how.get("skip_bad", False),
                limit=how.get("limit"),
                image=spec.image,
                commit=spec.hub.commit if spec.hub is not None and name not in data else None,
                on_share=on_share,
            )
        tasks.append(task)
    return tasks
