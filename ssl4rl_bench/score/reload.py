"""Loads the tasks of a run again, in the way in which the run loaded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ssl4rl_bench.core.types import Task
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.shards import part_of
from ssl4rl_bench.task.registry import load_task


def reload_tasks(
    run: RunDir,
    data: Mapping[str, str],
    only: Iterable[str] | None = None,
    observer: Observer = SILENT,
) -> list[Task]:
    """Loads all tasks of a run, or some of them; of a shard, with its samples only.

    Args:
        data: new locations of data that have moved, by full task name (`registry.per_task`).
        only: the full names of the tasks to load; None for all.

    Raises:
        DataError, UsageError: as `registry.load_task`.
    """
    loading = run.loading()
    tasks: list[Task] = []
    for name in run.spec.tasks if only is None else only:
        spec = run.spec.tasks[name]
        how = loading.get(name, {})
        with observer.loading(name) as on_share:
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
        tasks.append(task if run.spec.shard is None else part_of(task, run.spec.shard))
    return tasks
