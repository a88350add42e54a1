"""Opens image sources: a folder, a TSV or parquet file, the hub, the drawn scenes, or another task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.images import MAX_BYTES
from ssl4rl_bench.core.names import HubName, full_name, short_name
from ssl4rl_bench.task.missing import task_of_data, where_to_get
from ssl4rl_bench.task.pictures.drawn import DrawnSet
from ssl4rl_bench.task.pictures.located import Dropped, ImageLocation, ImageSource
from ssl4rl_bench.task.pictures.rows import row_images
from ssl4rl_bench.task.tables.hub import HubTable, open_table
from ssl4rl_bench.task.taskfile import group_names, task_names

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""The suffixes of image files that are taken from a folder, in upper or lower case."""

TaskImages = Callable[[str], Iterable[tuple[str, bytes]]]
"""A function that returns the named images of a task, and raises UsageError for an unknown task."""

_WAYS = "a folder of PNG, JPEG or WebP files, a TSV or parquet file, a hub id, scenes, or a task's name"


def open_source(
    spec: str,
    *,
    spool: Path,
    task_images: TaskImages | None = None,
    split: str = "train",
    commit: str | None = None,
) -> ImageSource:
    """Lists the images of a source without decoding them.

    "scenes" is always the built-in source. "scenes:STREAM" is another stream of drawings with as many
    images per leaf as the benchmark has, or N with "scenes:STREAM:N"; "scenes:STREAM:N:LEAF" is one leaf. Use
    "./scenes" for a folder of that name. An existing path takes precedence over a task of the same name.

    Args:
        spec: The value of `--images`.
        spool: An existing folder for this call only. Images that are not separate files are written there,
            and must stay there as long as the source is used.
        task_images: Returns the images of the task that `spec` names; without it, `spec` cannot be a task.
        split: The split of a hub data set, or of the parquet shards in a folder.
        commit: The commit of a hub data set, instead of the one that its revision points to now.

    Raises:
        UsageError: if `spec` is none of these, or an unknown leaf.
        DataError: if the source has no images or cannot be read.
        MissingDependency: for a hub data set without the `datasets` package.
    """
    path = Path(spec).expanduser()
    if (drawn := DrawnSet.parse(spec)) is not None:
        source = _spooled(spec, drawn.pictures(), spool)
    elif path.is_dir() and (located := _folder(path)):
        source = ImageSource(path.resolve().name, located)
    elif path.exists():
        source = _table(path, split, spool)
    elif (name := HubName.parse(spec)) is not None and not name.repo.lower().endswith(SUFFIXES):
        table = _opened(name, split, commit)
        source = replace(_spooled(spec, row_images(spec, table.rows()), spool), hub=table.source)
    elif task_images is not None and full_name(spec) in (*task_names(), *group_names()):
        source = _spooled(spec, iter(task_images(spec)), spool)
    else:
        meant = did_you_mean(spec, map(short_name, task_names())) if task_images is not None else ""
        raise UsageError(f"There are no images {spec}: give {_WAYS}{_advice(path.name)}{meant or '.'}")
    if not source.images and not source.bad:
        raise DataError(f"{spec} has no images: give {_WAYS}.")
    return source


def _opened(name: HubName, split: str, commit: str | None) -> HubTable:
    try:
        return open_table(name, split=split, commit=commit)
    except DataError as error:
        raise DataError(f"{error}{_advice(name.repo)}") from None


def _advice(name: str) -> str:
    """Returns a clause on the published file of a benchmark whose file or hub data set has this name."""
    task = task_of_data(name)
    return f"; its images are those of {short_name(task.name)}, {where_to_get(task)}" if task else ""


def _folder(path: Path) -> tuple[ImageLocation, ...]:
    """Returns the image files below a folder, sorted by name."""
    located_images = []
    for file in path.rglob("*"):
        if file.suffix.lower() in SUFFIXES and file.is_file():
            name = file.relative_to(path).as_posix()
            # One byte above the limit is enough for the image to be refused as too large.
            located_images.append(ImageLocation(name, str(file), 0, min(file.stat().st_size, MAX_BYTES + 1)))
    return tuple(sorted(located_images, key=lambda located: located.name))


def _table(path: Path, split: str, spool: Path) -> ImageSource:
    if path.is_dir() and not any(path.rglob("*.parquet")):
        raise DataError(f"{path} has no images: give {_WAYS}.")
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(f"{path} is a single image: give the folder that contains it.")
    from ssl4rl_bench.task.tables.files import read_path

    return _spooled(path.resolve().name, row_images(str(path), read_path(path, split=split)), spool)


def _spooled(name: str, images: Iterator[tuple[str, bytes | str]], spool: Path) -> ImageSource:
    """Writes images one after another into one file; equal images are written once."""
    path = spool / "images.spool"
    located: list[ImageLocation] = []
    bad: list[Dropped] = []
    seen: dict[str, int] = {}
    with path.open("xb") as file:
        for label, data in images:
            if isinstance(data, str):
                bad.append(Dropped(label, "unreadable", data))
                continue
            digest = sha256_hex(data)
            if digest not in seen:
                seen[digest] = file.tell()
                file.write(data)
            located.append(ImageLocation(label, str(path), seen[digest], len(data)))
    return ImageSource(name, tuple(located), tuple(bad))
