"""`ssl4rl-bench export`: writes a task's data in another project's format, or a model card with results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ssl4rl_bench.core.output import say


def export(
    what: Annotated[
        list[str],
        Argument(
            metavar="TASK|RUN...",
            help="tsv: a task (`list tasks`). model-card: a run, or several of one checkpoint.",
        ),
    ],
    to: Annotated[
        Literal["tsv", "model-card"],
        Option(help="tsv: the file that VLMEvalKit reads. model-card: README.md and .eval_results/."),
    ],
    out: Annotated[
        Path | None,
        Option(
            "--out",
            "-o",
            help="tsv: file to write (default: TASK.tsv, or TASK_mmbench.tsv with circular copies). model-card: "
            "folder (default: the checkpoint's).",
        ),
    ] = None,
    data: Annotated[str | None, Option(help="tsv: TSV, parquet file or folder, or hub id.")] = None,
    model: Annotated[
        str | None, Option(help="model-card: the folder of the checkpoint, if it has moved since the run.")
    ] = None,
) -> None:
    """Write a task's data in another project's format, or a checkpoint's model card.

    VLMEvalKit scores circular copies as one question only if the file's name contains mmbench; another name brings a
    note. Of a card that is there, only what stands between its marks is replaced.

    Examples:
      ssl4rl-bench export scenes --to tsv
      ssl4rl-bench export runs/mine --to model-card

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.core.errors import UsageError

    if to == "tsv":
        if len(what) > 1 or model is not None:
            raise UsageError("--to tsv takes one task, and no --model")
        _tsv(what[0], out, data)
    else:
        if data is not None:
            raise UsageError("--data is for --to tsv; the results of a run are shown as they are")
        _card([Path(name) for name in what], out, model)


def _tsv(task: str, out: Path | None, data: str | None) -> None:
    from ssl4rl_bench.core.names import short_name
    from ssl4rl_bench.interop import vlmevalkit
    from ssl4rl_bench.reports.result.tables import clean
    from ssl4rl_bench.task.registry import load_benchmark

    loaded = load_benchmark(task, data=data)
    circular = vlmevalkit.is_circular(loaded.rows)
    path = out or Path(vlmevalkit.file_name(short_name(loaded.name), circular=circular))
    say(f"{path}: {vlmevalkit.export_tsv(loaded.rows, path)} rows")
    if problem := vlmevalkit.name_problem(path, circular=circular):
        say(f"note: {clean(problem, 400)}", stderr=True)


def _card(paths: list[Path], out: Path | None, model: str | None) -> None:
    from ssl4rl_bench.core.errors import ModelError, UsageError
    from ssl4rl_bench.engines.checkpoints.weights import resolve_model
    from ssl4rl_bench.reports.model_card.write import RESULTS, write_card
    from ssl4rl_bench.run.rundir import open_run

    runs = [open_run(path) for path in paths]
    name = model or runs[0].spec.model
    is_folder = Path(name).expanduser().is_dir()
    if out is None and not is_folder:
        raise UsageError(
            f"{name} is not a folder here: name the folder for its card with --out, or the checkpoint with --model"
        )
    try:
        checkpoint = resolve_model(name).path
    except ModelError as error:
        raise ModelError(f"{error}; name the checkpoint's folder with --model") from None
    written = write_card(checkpoint, runs, out)
    for path in written:
        say(path)
    if not any(path.parent.name == RESULTS for path in written):
        say(f"no {RESULTS}: it takes a complete run on a data set of the Hub, such as mmbench_dev_en")
