"""Builds a data set on disk from a task and images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ssl4rl_bench.core.atomic import reporting
from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.datasets import place
from ssl4rl_bench.datasets.files import DataFile
from ssl4rl_bench.datasets.formats import FORMATS, extra_files
from ssl4rl_bench.datasets.manifest import Manifest, Tally, write_manifest
from ssl4rl_bench.datasets.pool import WorkerPool
from ssl4rl_bench.datasets.work import SampleSettings, do, jobs
from ssl4rl_bench.task.pictures import Dropped, Selection, open_source, select
from ssl4rl_bench.task.pictures.selection import UNSPLIT
from ssl4rl_bench.task.pictures.sources import TaskImages
from ssl4rl_bench.task.ssl.base import SSLTask

Progress = Callable[[str, int, int], None]
"""A callback with a stage ("reading", "looking", "making"), the number of images done, and their total."""


def build_dataset(
    task: SSLTask,
    name: str,
    images: str,
    out: Path,
    *,
    format: str = "parquet",
    version: str = "1",
    style: str = "ssl4rl",
    split: float | None = None,
    limit: int | None = None,
    per_image: int = 1,
    workers: int | None = None,
    force: bool = False,
    images_split: str = "train",
    task_images: TaskImages | None = None,
    on_progress: Progress | None = None,
) -> Manifest:
    """Writes a data set of a task's samples, and its manifest.

    The files are byte-identical for any number of workers and any order or location of the images, given the
    versions of Pillow, zlib, numpy and pyarrow that the manifest records. A changed image changes only the
    samples that show it. The folder appears only at the end and complete; an error or Ctrl-C leaves nothing
    behind.

    Args:
        name: The task's name, with the prefix.
        images: A source of images (`pictures.open_source`).
        out: The folder to create. Missing parents are created, too.
        format: One of `FORMATS`.
        version: The version of the task file, for the manifest.
        style: The prompt style.
        split: The share of images in "train", with the others in "test"; None for a single file, "data".
        limit: The maximum number of images; the first ones by hash are used.
        per_image: The number of samples (of pairs, for a task of pairs) per image, each with its own seed.
        workers: The number of processes; None for one per core.
        force: Replace an earlier data set in `out`.
        images_split: The split of a hub data set, or of the parquet shards in a folder.
        task_images: Returns the images of another task (`registry.task_images`).
        on_progress: See `Progress`.

    Raises:
        UsageError: for a value out of range, an unknown format, prompt style or source, or images that the task
            cannot be about.
        DataError: if no image is left, or no sample of a split.
        StoreError: if `out` is not empty or cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(
            f"There is no format {format}{did_you_mean(format, FORMATS)} ({', '.join(FORMATS)})."
        )
    if per_image < 1:
        raise UsageError(f"--per-image {per_image} makes no samples: give 1 or more.")
    recipe = SampleSettings(task, name, style, per_image)
    recipe.prompt()  # fail early for an unknown style
    place.check_destination(out, force)
    with (
        place.replaced_folder(out) as folder,
        reporting(out),
        TemporaryDirectory(prefix="spool-", dir=folder) as spool,
        WorkerPool(workers) as pool,
    ):
        source = open_source(images, spool=Path(spool), task_images=task_images, split=images_split)
        selection = select(source, ratio=split, limit=limit, mapper=pool.map, on_progress=on_progress)
        tally = Tally()
        files = list(_splits(recipe, selection, folder, format, tally, pool, on_progress))
        for file_name, text in extra_files(format).items():
            (folder / file_name).write_text(text, "utf-8")
        settings = {"version": version, "format": format, "split": split, "limit": limit}
        manifest = write_manifest(folder, recipe, selection, tally, files, settings)
    return manifest


def _splits(
    recipe: SampleSettings,
    selection: Selection,
    folder: Path,
    format: str,
    tally: Tally,
    pool: WorkerPool,
    on_progress: Progress | None,
) -> Iterator[DataFile]:
    n_done = 0
    present = {picture.split for picture in selection.pictures}
    for split in (UNSPLIT,) if present == {UNSPLIT} else ("train", "test"):
        if split not in present:
            raise DataError(
                f"None of the {len(selection.pictures)} images of {selection.source} falls into {split}: "
                "give more images, or another --split."
            )
        writer = FORMATS[format](folder, split)
        try:
            for n_images, made in pool.map(do, jobs(recipe, selection, split)):
                for item in made:
                    if isinstance(item, Dropped):
                        tally.dropped.append(item)
                    else:
                        writer.add(item)
                        tally.add(item)
                n_done += n_images
                if on_progress is not None:
                    on_progress("making", n_done, len(selection.pictures))
        except BaseException:
            with suppress(Exception):
                writer.close()
            raise
        file = writer.close()
        if not file.n_samples:
            reason = next(iter(tally.unusable()), tally.dropped[0].reason)
            raise DataError(
                f"{recipe.name} can make no sample of the images of {selection.source} ({reason})."
            )
        yield file
