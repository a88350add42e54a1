"""From a task's name to the loaded task."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from ssl4rl_bench import blinding, mmbench, probe
from ssl4rl_bench.errors import DataError, UsageError
from ssl4rl_bench.imagesets import Selection, open_source, select
from ssl4rl_bench.interop.hubdata import hub_rows
from ssl4rl_bench.mmbench import MMBenchTask
from ssl4rl_bench.mmbench_files import read_path
from ssl4rl_bench.mmbench_rows import Located
from ssl4rl_bench.probe import ProbeTask
from ssl4rl_bench.ssl import SSLTask
from ssl4rl_bench.taskfile import TaskFile, load_taskfile
from ssl4rl_bench.types import ImagePart

AnyTask: TypeAlias = MMBenchTask | ProbeTask

DRAWN = "scenes"
"""The name of the built-in images."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILE_SUFFIXES = (".tsv", ".csv", ".parquet", ".txt", ".json", ".jsonl", ".xlsx", ".zip")


def load_task(
    name: str,
    *,
    data: str | None = None,
    prompt: str | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    image: str = "real",
) -> AnyTask:
    """Loads a task, ready to be sent; images stay encoded.

    Args:
        name: A task's name with or without the `ssl4rl_` prefix, or the path of a task file.
        data: A TSV or parquet file, a folder of parquet files, or a hub id, instead of the task file's data. For an
            SSL task its images: one of these, a folder of images, "scenes", or the name of another task.
        prompt: A prompt style instead of the task file's.
        skip_bad: Leave out groups with a bad row instead of refusing the data.
        limit: Keep this many whole groups, spread over abilities and their leaves; of an SSL task, this many images.
        image: What to show instead of the images (`blinding.BLINDINGS`).

    Raises:
        UsageError: for an unknown name, style or blinding, or a limit below 1.
        DataError: for data that cannot be used.
        MissingDependency: for a hub data set without the `datasets` package.
    """
    task = load_taskfile(name)
    blinding.check_blinding(image)
    if task.ssl is not None:
        with select_images(data or task.images or DRAWN, split=task.split) as pictures:
            return blinding.apply(probe.load(task, pictures, prompt=prompt, limit=limit), image)
    source, where, rows = _rows(task, data)
    loaded = mmbench.load(
        task, rows, source=source, where=where, prompt=prompt, skip_bad=skip_bad, limit=limit
    )
    return blinding.apply(loaded, image)


def load_benchmark(name: str, **how: Any) -> MMBenchTask:
    """`load_task` for a task of MMBench's schema.

    Raises:
        UsageError: as `load_task`, and for an SSL task.
    """
    if load_taskfile(name).ssl is not None:
        raise UsageError(f"{name} is an SSL task, which has no rows of MMBench's schema.")
    loaded = load_task(name, **how)
    assert isinstance(loaded, MMBenchTask)
    return loaded


def load_ssl(name: str) -> tuple[TaskFile, SSLTask]:
    """An SSL task by name or by its file's path, without images.

    Raises:
        UsageError: for an unknown name, or a task that is no SSL task.
    """
    task = load_taskfile(name)
    return task, probe.ssl_task(task)


@contextmanager
def select_images(
    spec: str, *, split: str = "train", ratio: float | None = None, limit: int | None = None
) -> Iterator[Selection]:
    """The images that `--images` names, each content once (`imagesets.select`); they can be read inside the block.

    Args:
        split: of a hub data set or parquet folder.
        ratio, limit: as `imagesets.select`.

    Raises:
        UsageError, DataError, MissingDependency: as `imagesets.open_source` and `imagesets.select`.
    """
    if spec == DRAWN and ratio is None and limit is None:
        yield _drawn()[1]
        return
    with tempfile.TemporaryDirectory(prefix="ssl4rl-images-") as spool:
        source = open_source(spec, spool=Path(spool), task_images=task_images, split=split)
        yield select(source, ratio=ratio, limit=limit)


@cache
def _drawn() -> tuple[tempfile.TemporaryDirectory[str], Selection]:
    """The built-in images, drawn once a process (3 s), with the folder that holds them until it ends."""
    spool = tempfile.TemporaryDirectory(prefix="ssl4rl-images-")
    return spool, select(open_source(DRAWN, spool=Path(spool.name)))


def task_images(name: str, *, data: str | None = None) -> Iterator[tuple[str, bytes]]:
    """The distinct images of a task of MMBench's schema, encoded, each with the id of the first row that shows it.

    Args:
        data: instead of the task file's, as `load_task`.

    Raises:
        UsageError, DataError: as `load_task`.
    """
    seen = set()
    for sample in load_benchmark(name, data=data).samples:
        for message in sample.messages:
            for part in message.content:
                if isinstance(part, ImagePart) and part.image.sha256 not in seen:
                    seen.add(part.image.sha256)
                    yield sample.id, part.image.data


def _rows(task: TaskFile, data: str | None) -> tuple[str, str, Iterator[Located]]:
    """The source for the record, the source for messages, and the rows."""
    if data is not None:
        path = Path(data).expanduser()
        if path.exists():
            return path.name, data, read_path(path, folder=task.dataset_name, split=task.split)
        if not _HUB_ID.fullmatch(data) or data.lower().endswith(_FILE_SUFFIXES):
            raise UsageError(f"--data {data} is neither a file or folder nor a hub id (owner/name).")
        return _hub(task, data)
    if task.builtin is not None:
        return _built_in(task)
    if task.data_file is None:
        return _hub(task, task.dataset_path)
    if not task.data_file.exists():
        raise DataError(
            f"{task.name} reads {task.data_file.name}, which does not come with this package: "
            "download it and point --data at it."
        )
    return task.data_file.name, str(task.data_file), read_path(task.data_file)


def _hub(task: TaskFile, dataset: str) -> tuple[str, str, Iterator[Located]]:
    own = dataset == task.dataset_path
    revision = task.revision if own else None
    source = f"{dataset}@{revision}" if revision else dataset
    rows = hub_rows(dataset, name=task.dataset_name, split=task.split, revision=revision)
    return source, dataset, rows


def _built_in(task: TaskFile) -> tuple[str, str, Iterator[Located]]:
    if task.builtin != "scenes":
        raise UsageError(f"Task {task.name} names {task.builtin} as built in; there is only scenes.")
    from ssl4rl_bench import scenes  # here, because drawing needs Pillow and the rest does not

    rows = ((f"row {number}", row) for number, row in enumerate(scenes.rows(task.split), start=1))
    return "built in", task.name, rows
