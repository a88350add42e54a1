"""Downloads the file of a benchmark, from the address that its task file states, and checks its MD5."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.atomic import reporting, sync_directory
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.engines.download import Download, download, source_file
from ssl4rl_bench.task.datasource import DataSource
from ssl4rl_bench.task.downloaded import data_folder, downloaded_file
from ssl4rl_bench.task.missing import published
from ssl4rl_bench.task.taskfile import TaskFile, load_taskfile, task_names


@dataclass(frozen=True, slots=True)
class Fetched:
    """The file of a benchmark on this machine."""

    task: str
    """The full name of the task."""
    path: Path
    size: int
    """Bytes."""
    md5: str
    n_received: int
    """The number of bytes that were downloaded: 0 if the file was there."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that can be downloaded."""

    task: str
    """The full name of the first task that reads the file."""
    source: DataSource
    path: Path | None
    """The downloaded file, or None."""


def fetch(
    task: str,
    *,
    out: Path | str | None = None,
    allow_md5: bool = False,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Fetched:
    """Downloads the file of a task, unless it is there, and checks its MD5. Tasks then load it without `data`.

    An interrupted download leaves a file `NAME.part`, which the next call continues.

    Args:
        task: A task's name with or without the `ssl4rl_` prefix, or the path of a task file.
        out: Another folder than `task.downloaded.data_folder`. Tasks do not search it.
        allow_md5: Accept a file with another MD5 than the task file's, with a warning.
        on_progress: Receives the number of bytes that are there and the number of all, or None if unknown.

    Raises:
        UsageError: for an unknown task, or one whose task file states no address.
        DataError: if the download fails, or the file has another MD5.
        StoreError: if the file cannot be written.

    Example:
        fetch("mmstar").path  # then: evaluate("tiny-base", "mmstar")
    """
    loaded = load_taskfile(task)
    source = _fetchable(loaded)
    assert source.file is not None
    assert source.url is not None
    folder = _folder(out)
    path = folder / source.file
    if path.is_file():
        with reporting(path, "read"):
            md5 = _md5(path)
        again = f"delete {path} to download it again"
        warnings = _checked(source, path, md5, allow_md5, again)
        return Fetched(loaded.name, path, path.stat().st_size, md5, 0, warnings)
    with reporting(folder, "create"):
        folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{source.file}.part"
    done = _downloaded(source, part, on_progress)
    joined = 0 < done.n_received < done.size
    try:
        again = f"delete {part} to download it again"
        warnings = _checked(source, path, done.md5, allow_md5, "run the command again" if joined else again)
    except DataError:
        if joined:  # one of the parts may be damaged
            part.unlink()
        raise
    with reporting(path):
        part.replace(path)
        source_file(part).unlink(missing_ok=True)
        sync_directory(folder)
    return Fetched(loaded.name, path, done.size, done.md5, done.n_received, warnings)


def fetchable() -> list[Listed]:
    """Returns the files that `fetch` downloads for the shipped tasks, each once, in the order of task names."""
    listed: dict[str, Listed] = {}
    for task in map(load_taskfile, task_names()):
        if task.source is not None and task.source.url is not None and task.source.file is not None:
            listed.setdefault(task.source.file, Listed(task.name, task.source, downloaded_file(task.source)))
    return list(listed.values())


def _fetchable(task: TaskFile) -> DataSource:
    source = task.source
    if source is not None and source.url is not None and source.file is not None:
        return source
    name = short_name(task.name)
    if task.builtin or task.kind == "ssl":
        raise UsageError(f"{name} needs no download: its data is built in or made from images.")
    hub = source.hub if source is not None and source.hub else task.dataset_path
    reads = f"the file {task.data_file.name}" if task.data_file else f"the hub data set {hub}"
    raise UsageError(
        f"{name} has no address to download from (`ssl4rl-bench fetch --list` shows those that have one): "
        f"`run` reads {reads}, or give a file with --data."
    )


def _folder(out: Path | str | None) -> Path:
    if out is not None:
        return Path(out).expanduser()
    try:
        return data_folder()
    except RuntimeError:
        raise UsageError("This user has no home folder: choose a folder with --out or SSL4RL_DATA.") from None


def _downloaded(
    source: DataSource, part: Path, on_progress: Callable[[int, int | None], None] | None
) -> Download:
    """Downloads into a partial file; an error says how many bytes are there, or how to do without a network."""
    assert source.url is not None
    try:
        return download(source.url, part, resume_unversioned=source.md5 is not None, on_progress=on_progress)
    except DataError as error:
        with suppress(OSError):
            if size := part.stat().st_size:
                raise DataError(
                    f"{error}; the same command continues after the {size} bytes in {part}"
                ) from None
            part.unlink()
            source_file(part).unlink(missing_ok=True)
        raise DataError(
            f"{error}; without a network, put {published(source)} into {part.parent}, or give a copy to `run --data`"
        ) from None


def _checked(source: DataSource, path: Path, md5: str, allow_md5: bool, again: str) -> tuple[str, ...]:
    """Returns warnings about a file's MD5.

    Raises:
        DataError: the MD5 differs from the source's, unless `allow_md5`.
    """
    if source.md5 is None:
        return (f"{path.name} has the MD5 {md5}, and none is known to compare it with",)
    if md5 == source.md5:
        return ()
    edition = source.editions.get(md5)
    problem = (
        f"{path.name} is another edition ({edition}) than the task file's"
        if edition
        else f"{path.name} has the MD5 {md5} instead of {source.md5}: it is damaged, or its publisher changed it"
    )
    if allow_md5:
        return (f"{problem}; results are comparable only with results on the same file",)
    raise DataError(f"{problem}; {again}, or accept this file with --allow-md5")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
