"""Loads tasks and SSL images by name; commands and the Python API call `load_task`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.scratch import ScratchFolder
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.task import blinding
from ssl4rl_bench.task.base import Load, LoadOptions
from ssl4rl_bench.task.mmbench.circular import Checked, check_rows
from ssl4rl_bench.task.mmbench.task import MMBenchTask, limited_groups, load_mmbench
from ssl4rl_bench.task.mmbench.taxonomy import categories
from ssl4rl_bench.task.pictures import Selection, open_source, select
from ssl4rl_bench.task.pictures.recalled import recall, remember
from ssl4rl_bench.task.sources import open_rows
from ssl4rl_bench.task.ssl import SSLTask, probe
from ssl4rl_bench.task.ssl.probe import ProbeTask
from ssl4rl_bench.task.tables.columns import OnShare
from ssl4rl_bench.task.taskfile import TaskFile, expand, load_taskfile

DRAWN = "scenes"
"""The name of the built-in image source."""


def load_task(
    name: str,
    *,
    data: str | None = None,
    prompt: str | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    image: str = "real",
    commit: str | None = None,
    on_share: OnShare | None = None,
) -> Task:
    """Loads a task. Its samples are ready to be sent; images stay encoded.

    Args:
        name: A task's name with or without the `ssl4rl_` prefix, or the path of a task file.
        data: A TSV or parquet file, a folder of parquet files, or a hub data set (`names.HubName`), instead
            of the task file's data. For an SSL task, the source of its images: one of these, a folder of
            images, "scenes", or the name of another task.
        prompt: A prompt style instead of the task file's.
        skip_bad: Leave out groups with a bad row instead of refusing the data.
        limit: Keep this many complete groups, spread over abilities and their leaves (images for an SSL
            task).
        image: What to show instead of the images (`blinding.BLINDINGS`).
        commit: The commit of a hub data set that an earlier load recorded (`types.HubSource`), instead of the
            commit that its revision points to now.
        on_share: Callback that receives the completed share of the work, from 0 to 1. It starts again at 0
            for a second pass over the file.

    Raises:
        UsageError: for an unknown name, style or blinding, or a limit below 1.
        DataError: for data that cannot be used.
        MissingDependency: for a hub data set without the packages that read it.
    """
    task = load_taskfile(name)
    blinding.check_blinding(image)
    load = _loader(task)
    asked = LoadOptions(data, prompt, skip_bad, limit, commit, on_share)
    return blinding.blind_task(load(task, asked), image)


def _loader(task: TaskFile) -> Load:
    """Returns the loader of the task's kind.

    It is a built-in one, a module of this package with a `load`, or an entry point of another package.

    Raises:
        UsageError: there is no such kind, several packages provide it, or it cannot be imported.
    """
    if (ours := _OWN.get(task.kind)) is not None:
        return ours
    if find_spec(f"{__package__}.{task.kind}") is not None:
        module = import_module(f"{__package__}.{task.kind}")
        if callable(load := getattr(module, "load", None)):
            return cast(Load, load)
    points = entry_points(group="ssl4rl_bench.tasks")
    named = [point for point in points if point.name == task.kind]
    kind = f"{task.name} is a task of the kind {task.kind}"
    if len(named) != 1:
        known = sorted({*_OWN, "questions", *(point.name for point in points)})
        problem = "is installed more than once" if named else "is not installed"
        raise UsageError(
            f"{kind}, which {problem} (known: {', '.join(known)}){did_you_mean(task.kind, known)}"
        )
    point = f"{kind}, and its entry point {named[0].value}"
    try:
        load = named[0].load()
    except Exception as error:  # another package's code may raise anything on import
        raise UsageError(
            f"{point} cannot be imported ({type(error).__name__}: {error}): "
            "install or correct the package that defines it"
        ) from error
    if not callable(load):
        raise UsageError(f"{point} is not a function: correct the package that defines it")
    return cast(Load, load)


def _load_probe(task: TaskFile, asked: LoadOptions) -> ProbeTask:
    images = asked.data or task.images or DRAWN
    load = partial(probe.load, task, prompt=asked.prompt, limit=asked.limit)
    few = images == DRAWN and asked.limit is not None
    if few and (known := recall()) is not None:
        with suppress(DataError):  # the images are drawn in another way now, so they are selected again
            return load(known)
    with select_images(images, split=task.split, commit=asked.commit) as pictures:
        if few:
            remember(pictures)
        return load(pictures)


def _load_benchmark(task: TaskFile, asked: LoadOptions) -> MMBenchTask:
    # Half of the time goes into reading and checking the rows, half into rendering the samples.
    report = asked.on_share or (lambda share: None)
    source = None if task.builtin and asked.data is None else open_rows(task, asked, lambda s: report(s / 2))
    rows = _built_in(task, asked) if source is None else source.rows
    loaded = load_mmbench(
        task,
        rows,
        source="built in" if source is None else source.name,
        where=task.name if source is None else source.where,
        file=None if source is None else source.path,
        prompt=asked.prompt,
        skip_bad=asked.skip_bad,
        limit=asked.limit,
        on_share=lambda share: report((1 + share) / 2),
    )
    return loaded if source is None else replace(loaded, hub=source.hub)


def _built_in(task: TaskFile, asked: LoadOptions) -> Checked:
    """Returns the rows that this package draws."""
    if task.builtin != "scenes":
        raise UsageError(f"Task {task.name} names the built-in data {task.builtin}; only scenes is built in.")
    limit = asked.limit
    # The sizes of an edition's leaves are checked against all rows, and a limit below 1 is refused later.
    at_once = task.edition is None and limit is not None and limit > 0
    return _drawn_rows(task.name, task.split, limit if at_once else None)


_OWN: Mapping[str, Load] = {"mmbench": _load_benchmark, "ssl": _load_probe}


def per_task(values: Sequence[str], tasks: Sequence[str]) -> dict[str, str]:
    """Maps full task names to `--data` values: "PATH" for all tasks, "TASK=PATH" or "GROUP=PATH" for some.

    Only one task, or several SSL tasks, which can all be made from the same images, can share a path.

    Raises:
        UsageError: for a task that is not in `tasks`, or a bare path with several tasks that cannot share it.
    """
    names = [full_name(task) for task in tasks]
    out: dict[str, str] = {}
    for value in values:
        head, equals, tail = value.partition("=")
        if equals and (named := [name for name in expand([head]) if name in names]):
            out |= dict.fromkeys(named, tail)
        elif len(names) == 1 or all(load_taskfile(name).kind == "ssl" for name in names):
            out |= dict.fromkeys(names, value)
        else:
            raise UsageError(
                f"--data {value} does not say which task it is for: write TASK=PATH with one of "
                f"{', '.join(names)}{did_you_mean(full_name(head), names) if equals else ''}"
            )
    return out


def load_benchmark(name: str, **how: Any) -> MMBenchTask:
    """Loads a task of MMBench's schema, with its rows.

    Args:
        how: the fields of `LoadOptions`.

    Raises:
        UsageError: as `load_task`, and for a task of another kind.
    """
    task = load_taskfile(name)
    if task.kind != "mmbench":
        raise UsageError(f"{name} is a task of the kind {task.kind}, which has no rows of MMBench's schema.")
    return _load_benchmark(task, LoadOptions(**how))


def load_probe(name: str, **how: Any) -> ProbeTask:
    """Loads an SSL task with its samples.

    Args:
        how: the fields of `LoadOptions`.

    Raises:
        UsageError: as `load_task`, and for a task that is not an SSL task.
    """
    return _load_probe(load_ssl(name)[0], LoadOptions(**how))


def load_ssl(name: str) -> tuple[TaskFile, SSLTask]:
    """Loads an SSL task by name or by the path of its file, without images.

    Raises:
        UsageError: for an unknown name, or a task that is not an SSL task.
    """
    task = load_taskfile(name)
    return task, probe.ssl_task(task)


@contextmanager
def select_images(
    spec: str,
    *,
    split: str = "train",
    ratio: float | None = None,
    limit: int | None = None,
    commit: str | None = None,
) -> Iterator[Selection]:
    """Context manager: selects the images that `--images` names, without duplicates (`pictures.select`).

    The images can be read only inside the block.

    Args:
        split: the split of a hub data set or parquet folder.
        ratio, limit: as `pictures.select`.
        commit: as `load_task`.

    Raises:
        UsageError, DataError, MissingDependency: as `pictures.open_source` and `pictures.select`.
    """
    if spec == DRAWN and ratio is None and limit is None:
        yield _drawn()[1]
        return
    with ScratchFolder("images") as spool:
        source = open_source(spec, spool=Path(spool), task_images=task_images, split=split, commit=commit)
        yield select(source, ratio=ratio, limit=limit)


@cache
def _drawn() -> tuple[ScratchFolder, Selection]:
    """Returns the built-in images, drawn once per process (3 s), and the folder that holds them."""
    spool = ScratchFolder("images")
    return spool, select(open_source(DRAWN, spool=Path(spool.name)))


def task_images(name: str, *, data: str | None = None) -> Iterator[tuple[str, bytes]]:
    """Yields the distinct images of a benchmark, encoded, after the id of their first row.

    Args:
        data: the data to use instead of the task file's, as `load_task`.

    Raises:
        UsageError, DataError: as `load_task`.
    """
    seen = set()
    of_kind = load_taskfile(name).kind == "questions"
    task: Task = load_task(name, data=data) if of_kind else load_benchmark(name, data=data)
    for sample in task.samples:
        for image in sample.images:
            if image.sha256 not in seen:
                seen.add(image.sha256)
                yield sample.id, image.data


@cache
def _drawn_rows(name: str, split: str, limit: int | None) -> Checked:
    """Returns the rows of the built-in benchmark, drawn and checked once per process (all of them: 3 s).

    With a limit, only the questions that it keeps are drawn.
    """
    from ssl4rl_bench.task import scenes  # here, because drawing needs Pillow and the rest does not

    places = [(index, categories(leaf.name, leaf.ability)) for index, leaf, _ in scenes.outline()]
    only = None if limit is None else limited_groups(places, limit)
    rows = scenes.rows(split, only)
    checked = check_rows(name, ((f"row {number}", row) for number, row in enumerate(rows, start=1)))
    n_abilities = len({place.l2 for _, place in places})
    return replace(checked, n_groups=len(places), n_abilities=n_abilities)
