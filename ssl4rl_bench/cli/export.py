"""`ssl4rl-bench export`: a task's data, a run's replies, or a model card, in the formats of other projects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ssl4rl_bench.cli.options import ShownTasks
from ssl4rl_bench.core.output import say


def export(
    what: Annotated[
        list[str],
        Argument(
            metavar="TASK|RUN...",
            help="tsv: a task (`list tasks`). model-card: a run, or several of one checkpoint. Others: a run.",
        ),
    ],
    to: Annotated[
        Literal["tsv", "model-card", "vlmevalkit", "lm-eval", "lmms-eval", "parquet"],
        Option(
            help="tsv: a task's data for VLMEvalKit. model-card: README.md and .eval_results/. Replies of a run: "
            "vlmevalkit (prediction file), lm-eval or lmms-eval (results and samples), parquet."
        ),
    ],
    out: Annotated[
        Path | None,
        Option(
            "--out",
            "-o",
            help="tsv: file to write (default: TASK.tsv, or TASK_mmbench.tsv with circular copies). model-card: "
            "folder (default: the checkpoint's). Replies: folder (default: here), or for one task the file: .xlsx "
            "or .tsv for vlmevalkit, .parquet.",
        ),
    ] = None,
    tasks: ShownTasks = None,
    repeat: Annotated[
        int | None, Option(help="Replies: the repeat to write, from 0; only parquet holds several.")
    ] = None,
    data: Annotated[
        list[str] | None,
        Option(
            metavar="[TASK=]PATH",
            help="tsv: TSV, parquet file or folder, or hub id. Replies: where data is that has moved.",
        ),
    ] = None,
    model: Annotated[
        str | None, Option(help="model-card: the folder of the checkpoint, if it has moved since the run.")
    ] = None,
) -> None:
    """Write a task's data or a run's replies for other tools, or a checkpoint's model card.

    VLMEvalKit scores circular copies as one question only if the file's name contains mmbench; another name brings a
    note. Of a card that is there, only what stands between its marks is replaced. A file of replies is never
    replaced; replies that the other tool counts in another way are printed with their number.

    Examples:
      ssl4rl-bench export scenes --to tsv
      ssl4rl-bench export runs/mine --to model-card
      ssl4rl-bench export runs/mine --to vlmevalkit --tasks scenes
      ssl4rl-bench export runs/mine --to lm-eval --out exported

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.core.errors import UsageError

    replies = to not in ("tsv", "model-card")
    if not replies and (tasks or repeat is not None):
        raise UsageError(f"--tasks and --repeat are for the replies of a run, and --to {to} writes none")
    if replies:
        if len(what) > 1 or model is not None:
            raise UsageError(f"--to {to} takes one run, and no --model")
        _replies(what[0], to, out, tasks, data or [], repeat)
    elif to == "tsv":
        if len(what) > 1 or model is not None or len(data or []) > 1:
            raise UsageError("--to tsv takes one task, one --data, and no --model")
        _tsv(what[0], out, data[0] if data else None)
    else:
        if data:
            raise UsageError("--data is for tasks and replies; the results of a run are shown as they are")
        _card([Path(name) for name in what], out, model)


def _replies(
    run: str, to: str, out: Path | None, tasks: list[str] | None, data: list[str], repeat: int | None
) -> None:
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.interop.exports import export_run

    names = split_names(tasks) if tasks else None
    written = export_run(run, to, out, tasks=names, data=data, repeat=repeat)
    for path in written.paths:
        say(path)
    for note in written.notes:
        say(f"note: {note}", stderr=True)


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
