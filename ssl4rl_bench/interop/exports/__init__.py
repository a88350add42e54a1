"""Writes the replies of a run in the formats of other tools (`ssl4rl-bench export RUN --to ...`, `export_run`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.atomic import reporting, write_bytes
from ssl4rl_bench.core.errors import StoreError, UsageError, did_you_mean
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.interop.exports import harness, predictions, sheets, tables
from ssl4rl_bench.interop.exports.replies import TaskReplies, read_replies
from ssl4rl_bench.run import rundir
from ssl4rl_bench.score.runs import Data, Run, data_values

FORMATS = ("vlmevalkit", "lm-eval", "lmms-eval", "parquet")
"""The formats of `export_run`."""
SUFFIXES = {"vlmevalkit": (".xlsx", ".tsv"), "parquet": (".parquet",)}
"""The suffixes of formats with one file per task; the first one is the default."""

_Files = Iterator[tuple[Path, bytes]]


@dataclass(frozen=True, slots=True)
class ExportedFiles:
    """The files that an export wrote."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    """What the files say in another way than the run, or not at all, one sentence per note."""


def export_run(
    run: str | Path | Run,
    to: str,
    out: str | Path | None = None,
    *,
    tasks: Sequence[str] | None = None,
    data: Data | list[str] = None,
    repeat: int | None = None,
) -> ExportedFiles:
    """Writes the replies of a complete run as files of another tool. Existing files are never replaced.

    Args:
        run: a run, its directory, or its name below runs/.
        to: "vlmevalkit" (a prediction file, `MODEL_DATASET.xlsx` or `.tsv`), "lm-eval" or "lmms-eval" (results as
            JSON and samples as JSONL, in a folder named after the model), or "parquet" (`MODEL_TASK.parquet`).
        out: the folder to write to, by default the current one. For one task, "vlmevalkit" and "parquet" also take
            the name of the file, whose suffix selects the format.
        tasks: names of tasks, by default all of the run.
        data: the new location of data that has moved; a list has values of the option `--data`.
        repeat: the repeat to write, from 0. Only parquet files hold several.

    Raises:
        UsageError: an unknown format, task or repeat; a task that the format cannot express.
        DataError: a text that the format cannot hold, or data that cannot be loaded again.
        StoreError: the run is not complete, a file exists, or cannot be written.
        MissingDependency: for xlsx files without openpyxl.

    Example:
        >>> export_run("runs/base", "lm-eval", "exported").paths[0].suffix
        '.json'
    """
    if to not in FORMATS:
        raise UsageError(f"no format {to}: choose from {', '.join(FORMATS)}{did_you_mean(to, FORMATS)}")
    path = run.path if isinstance(run, Run) else Path(run)
    if to == "parquet" and repeat is not None:
        raise UsageError("--repeat is for files with one reply per question: a parquet file has all repeats")
    moved = data if isinstance(data, list) else data_values(data)
    read = read_replies(rundir.open_run(path), tasks, moved, repeat, all_repeats=to == "parquet")
    files = list(_files(to, read, Path() if out is None else Path(out)))
    for place, _ in files:
        if place.exists():
            raise StoreError(f"{place} exists: delete it, or choose another place with --out")
    for place, content in files:
        with reporting(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, content)
    return ExportedFiles(tuple(place for place, _ in files), tuple(_notes(to, read)))


def _files(to: str, read: Sequence[TaskReplies], out: Path) -> _Files:
    if to in SUFFIXES:
        return _one_per_task(to, read, out)
    if out.suffix in (".json", ".jsonl") and not out.is_dir():
        raise UsageError(f"--to {to} writes several files into a folder, and {out} is the name of a file")
    write = harness.lm_eval_files if to == "lm-eval" else harness.lmms_eval_files
    return ((path, text.encode("ascii")) for path, text in write(out, read))


def _one_per_task(to: str, read: Sequence[TaskReplies], out: Path) -> _Files:
    suffixes = SUFFIXES[to]
    is_file = out.suffix in suffixes and not out.is_dir()
    if is_file and len(read) > 1:
        names = ", ".join(short_name(replies.task.name) for replies in read)
        raise UsageError(
            f"{out} is one file, and the run has several tasks: choose one of {names} with --tasks"
        )
    if not is_file and out.suffix and not out.is_dir():
        raise UsageError(
            f"--to {to} writes {' or '.join(suffixes)} files, or into a folder: {out} is neither"
        )
    for replies in read:
        if to == "parquet":
            named = out / f"{replies.label}_{harness.file_name(short_name(replies.task.name))}.parquet"
            path = out if is_file else named
            yield path, tables.parquet_bytes(path.name, replies)
        else:
            path = out if is_file else predictions.result_path(out, replies, suffixes[0])
            yield path, sheets.file_bytes(path, *predictions.prediction_table(replies))


def _notes(to: str, read: Sequence[TaskReplies]) -> Iterator[str]:
    spec = read[0].run.spec
    if spec.mocked:
        yield "the replies are those of the engine mock and of no model, as the names of the files say"
    for replies in read:
        name = short_name(replies.task.name)
        yield from (f"partial: {reason.removeprefix('ssl4rl_')}" for reason in replies.partial_reasons)
        if to == "vlmevalkit":
            yield from (f"{name}: {note}" for note in predictions.notes(replies))
        elif to == "lm-eval":
            yield from (f"{name}: {note}" for note in harness.left_out(replies))
