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
    task: Annotated[str, Argument(help="Task name or file (`list tasks`).", autocompletion=complete_tasks)],
    out: Annotated[Path, Option("--out", "-o", help="Folder to create.")],
    images: Annotated[
        str | None,
        Option(
            "--images",
            "--data",
            help="SSL task: folder, TSV, parquet file or folder, hub id, scenes (default), or another task's name. "
            "Benchmark: its data, as in `run`.",
        ),
    ] = None,
    format: Annotated[
        Literal["parquet", "jsonl", "verl", "trl", "tsv"],
        Option(help="parquet; jsonl with image files; verl or trl parquet; tsv for VLMEvalKit."),
    ] = "parquet",
    split: Annotated[float | None, Option(help="Share of the images in train; the rest are test.")] = None,
    limit: Annotated[int | None, Option(help="Use at most this many images, or questions.")] = None,
    per_image: Annotated[int, Option(help="Samples per image.")] = 1,
    prompt: Prompt = None,
    extractor: Annotated[
        str | None, Option(help="Benchmark: how the reward reads answers, as in `run` (default: default).")
    ] = None,
    workers: Annotated[int | None, Option(help="Processes (default: one per core).")] = None,
    images_split: Annotated[
        str | None, Option(help="Split of a hub data set or parquet folder (default: train).")
    ] = None,
    force: Annotated[bool, Option("--force", help="Replace an earlier data set in --out.")] = False,
) -> None:
    """Write a data set of an SSL task's samples, or a benchmark as a validation file, with a manifest.

    The files do not depend on the number of workers or the order of the images. Ctrl-C leaves no files behind.

    Examples:
      ssl4rl-bench build ssl_rotation_90 --images photos --split 0.9 --format verl --out data/rotation
      ssl4rl-bench build scenes --format verl --out data/scenes

    Exit codes: 0 done; 2 bad input; 4 internal failure; 130 interrupted, nothing written.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.core.errors import Interrupted, UsageError
    from ssl4rl_bench.task.taskfile import load_taskfile

    is_ssl = load_taskfile(task).kind == "ssl"
    of_images = {"--split": split, "--workers": workers, "--images-split": images_split}
    of_images |= {"--per-image": None if per_image == 1 else per_image}
    other = [name for name, value in ({"--extractor": extractor} if is_ssl else of_images).items() if value]
    if other:
        kind = "an SSL task" if is_ssl else "a benchmark"
        raise UsageError(f"{other[0]} does not apply to {kind}: leave it out")
    try:
        if not is_ssl:
            manifest = _build_benchmark(
                task,
                out,
                data=images,
                format=format,
                limit=limit,
                prompt=prompt,
                extractor=extractor or "default",
                force=force,
            )
            _show_benchmark(console(), manifest, out)
            return
        manifest = _build_ssl(
            task,
            out,
            prompt,
            images=images or "scenes",
            format=format,
            split=split,
            limit=limit,
            per_image=per_image,
            workers=workers,
            force=force,
            images_split=images_split or "train",
        )
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: nothing was written to {out}") from None
    _show(console(), manifest, out)


def _build_ssl(task: str, out: Path, prompt: str | None, images: str, **settings: Any) -> Manifest:
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.cli.progress import Bars
    from ssl4rl_bench.datasets import build_dataset
    from ssl4rl_bench.task.registry import load_ssl, task_images

    taskfile, ssl = load_ssl(task)
    columns = MofNCompleteColumn(), TimeRemainingColumn()
    with Bars(console(stderr=True), *columns) as bars:

        def report(stage: str, n_done: int, n_total: int) -> None:
            label = f"{stage} images"
            bars.show(label, n_done, n_total, f"{label}: {n_done}/{n_total}")

        return build_dataset(
            ssl,
            taskfile.name,
            images,
            out,
            version=taskfile.version,
            style=prompt or taskfile.prompt,
            task_images=task_images,
            on_progress=report,
            **settings,
        )


def _build_benchmark(
    task: str,
    out: Path,
    *,
    data: str | None,
    format: str,
    limit: int | None,
    prompt: str | None,
    extractor: str,
    force: bool,
) -> Manifest:
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.datasets.validation import build_validation
    from ssl4rl_bench.task.registry import load_task

    observer = Terminal()
    with observer.loading(task) as on_share:
        loaded = load_task(task, data=data, limit=limit, prompt=prompt, on_share=on_share)
    for warning in loaded.warnings:
        observer.warn(f"{loaded.name}: {warning}")
    return build_validation(loaded, out, format=format, extractor=extractor, force=force)


def _show_benchmark(screen: Any, manifest: Manifest, out: Path) -> None:
    data = manifest.data
    counts = data["counts"]
    for split, n in counts["samples"].items():
        screen.print(f"{split}: {n} rows of {counts['groups'][split]} questions, for validation only")
    for reason in data["partial_reasons"]:
        screen.print(f"partial: {reason}")
    screen.print(f"the mean reward over the rows is the benchmark's {data['mean_of_rows']}")
    screen.print(f"{out / 'manifest.json'}")


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
