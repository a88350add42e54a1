"""What an error about missing data says: the published file of a benchmark, and how to get it."""

from __future__ import annotations

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.task.datasource import DataSource
from ssl4rl_bench.task.taskfile import TaskFile, load_taskfile, task_names

_COPY = "give the path of a copy (`run --data PATH`, `build --images PATH`)"


def where_to_get(task: TaskFile) -> str:
    """Names the published file of a task and the command that downloads it, as a clause; empty if it has none."""
    source = task.source
    if source is None or source.file is None:
        return ""
    if source.url is None:
        return f"{published(source)}: download it and {_COPY}"
    name = short_name(task.name) if task.name in task_names() else "FILE.yaml"
    return f"{published(source)}: `ssl4rl-bench fetch {name}` downloads it, or {_COPY}"


def published(source: DataSource) -> str:
    """Describes a published file: its name, size, MD5 and address, as far as the task file states them."""
    facts = (
        f"{source.size:,} bytes" if source.size is not None else "size not stated",
        f"MD5 {source.md5}" if source.md5 is not None else "MD5 not stated",
        source.url or "address not stated",
    )
    return f"{source.file} ({', '.join(facts)})"


def task_of_data(name: str) -> TaskFile | None:
    """Returns the first shipped task whose published file or hub data set has a name, for errors that lack it."""
    for task in map(load_taskfile, task_names()):
        source = task.source
        if source is not None and name in (source.file, source.hub, task.dataset_path):
            return task
    return None
