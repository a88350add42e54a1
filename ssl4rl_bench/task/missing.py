"""What an error about missing data says: the published file of a benchmark, and how to get it."""

from __future__ import annotations

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.task.datasource import DataSource
from ssl4rl_bench.task.taskfile import TaskFile, load_taskfile, task_names


def where_to_get(task: TaskFile) -> str:
    """Names the published file of a task and the command that downloads it, as a clause; empty if it has none."""
    source = task.source
    if source is None or source.file is None:
        return ""
    if source.url is None:
        return f"{published(source)}: download it and give it with --data"
    name = short_name(task.name) if task.name in task_names() else "FILE.yaml"
    return f"{published(source)}: `ssl4rl-bench fetch {name}` downloads it, or give a copy with --data"


def published(source: DataSource) -> str:
    """Describes a published file: its name, size, MD5 and address, as far as the task file states them."""
    facts = (
        f"{source.size:,} bytes" if source.size is not None else "size not stated",
        f"MD5 {source.md5}" if source.md5 is not None else "MD5 not stated",
        source.url or "address not stated",
    )
    return f"{source.file} ({', '.join(facts)})"


def task_of_file(name: str) -> TaskFile | None:
    """Returns the first shipped task whose published file has a name, so that an error can say where to get it."""
    for task in map(load_taskfile, task_names()):
        if task.source is not None and task.source.file == name:
            return task
    return None
