"""`ssl4rl-bench build`: writes the samples of an SSL task to disk as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from ssl4rl_bench.cli.completion import complete_tasks
from ssl4rl_bench.cli.options import Prompt

if TYPE_CHECKING:
    from ssl4rl_bench.datasets import Manifest


def build(
    task: Annotated[
        str, Argument(help="SSL task name or file (`list tasks`).", autocompletion=complete_tasks)
    ],
    out: Annotated[Path, Option("--out", "-o", help="Folder to create.")],
    images: Annotated[
        str, Option(help="Folder, TSV, parquet file or folder, hub id, scenes, or another task's name.")
    ] = "scenes",
    format: Annotated[
        Literal["parquet", "jsonl", "verl", "trl", "tsv"],
        Option(help="parquet; jsonl with image files; verl or trl parquet; tsv for VLMEvalKit."),
    ] = "parquet",
    split: Annotated[float | None, Option(help="Share of the images in train; the rest are test.")] = None,
    limit: Annotated[int | None, Option(help="Use at most this many images.")] = None,
    per_image: Annotated[int, Option(help="Samples per image.")] = 1,
    prompt: Prompt = None,
    workers: Annotated[int | None, Option(help="Processes (default: one per core).")] = None,
    images_split: Annotated[str, Option(help="Split of a hub data set or parquet folder.")] = "train",
    force: Annotated[bool, Option("--force", help="Replace an earlier data set in --out.")] = False,
) -> None:
    """Write a data set of an SSL task's samples, with a manifest.

    The files do not depend on the number of workers or the order of the images. Ctrl-C leaves no files behind.

    Example:
      ssl4rl-bench build ssl_rotation_90 --images photos --split 0.9 --format verl --out data/rotation

    Exit codes: 0 done; 2 bad input; 4 internal failure; 130 interrupted, nothing written.
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.cli.progress import Bars
    from ssl4rl_bench.core.errors import Interrupted
    from ssl4rl_bench.datasets import build_dataset
    from ssl4rl_bench.task.registry import load_ssl, task_images

    taskfile, ssl = load_ssl(task)
    try:
        columns = MofNCompleteColumn(), TimeRemainingColumn()
        with Bars(console(stderr=True), *columns) as bars:

            def report(stage: str, n_done: int, n_total: int) -> None:
                label = f"{stage} images"
                bars.show(label, n_done, n_total, f"{label}: {n_done}/{n_total}")

            manifest = build_dataset(
                ssl,
                taskfile.name,
                images,
                out,
                format=format,
                version=taskfile.version,
                style=prompt or taskfile.prompt,
                split=split,
                limit=limit,
                per_image=per_image,
                workers=workers,
                force=force,
                images_split=images_split,
                task_images=task_images,
                on_progress=report,
            )
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: nothing was written to {out}") from None
    _show(console(), manifest, out)


def _show(screen: Any, manifest: Manifest, out: Path) -> None:
    counts = manifest.counts
    seen = counts["images"]
    left_out = ", ".join(
        f"{n} {kind.replace('_', ' ')}" for kind, n in seen.items() if n and kind not in ("seen", "kept")
    )
    screen.print(f"{seen['seen']} images, {seen['kept']} used" + (f" ({left_out})" if left_out else ""))
    for reason, n in counts["unusable"].items():
        screen.print(f"no sample from {n}: {reason}")
    for split, n in counts["samples"].items():
        targets = counts["targets"][split]
        shown = ", ".join(f"{target} {n}" for target, n in targets.items()) if len(targets) <= 16 else ""
        screen.print(f"{split}: {n} samples" + (f" ({shown})" if shown else ""))
    screen.print(f"{out / 'manifest.json'}")
