"""Merges the shards of a run into the run that one machine would have made (`ssl4rl_bench.merge`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import contents, created_folder
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.likelihoods import likelihoods_path, merge_likelihoods
from ssl4rl_bench.run.merge import in_order, merge_journals
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RunDir, default_place
from ssl4rl_bench.run.rundir import open_run as open_rundir
from ssl4rl_bench.score.consistency import finished
from ssl4rl_bench.score.margins import first_keys
from ssl4rl_bench.score.reload import reload_tasks
from ssl4rl_bench.score.runs import Data, Run, data_values, open_run
from ssl4rl_bench.score.scoring import check_task, score_and_write
from ssl4rl_bench.task.registry import per_task


def merge(shards: Sequence[Run | str | Path], *, out: str | Path | None = None, data: Data = None) -> Run:
    """Merges all shards of a run into one run, as the command `merge` does.

    The result.json is that of a run without shards with the same replies. The shards remain as they are.

    Args:
        shards: the runs of `evaluate(..., shard="I/N")`, their folders, or their names below runs/.
        out: the directory of the merged run; by default runs/MODEL-HASH, as for a run without shards.
        data: the location of the data, if it has moved.

    Raises:
        UsageError: a run is not a shard, a shard is missing or given twice, or `out` exists.
        SpecMismatch: the shards belong to different runs, or their data has changed.
        StoreError: a shard is not complete, or a file cannot be read or written.
        DataError: the tasks cannot be loaded again.

    Example:
        >>> asked = {"tasks": "scenes", "limit": 12, "engine": "mock"}
        >>> shards = [evaluate("gold", **asked, shard=f"{index}/3") for index in (1, 2, 3)]
        >>> merge(shards, out="runs/gold")
        <Run runs/gold: gold (mock) on scenes>
    """
    paths = [shard.path if isinstance(shard, Run) else Path(shard) for shard in shards]
    place = None if out is None else Path(out)
    return open_run(merge_shards(paths, place, data_values(data), ("ssl4rl_bench.merge",)).path)


def merge_shards(
    paths: Sequence[Path],
    out: Path | None,
    data: Sequence[str],
    command: Sequence[str],
    observer: Observer = SILENT,
) -> RunDir:
    """Merges shards and returns the merged run, which appears under its name only when it is complete.

    Args:
        data: values of the option `--data` (`registry.per_task`).
        command: the command line, recorded in exec.json.

    Raises:
        BenchError: as `merge`.
    """
    runs = in_order([open_rundir(path) for path in paths])
    extractor = _extractor({run.path: finished(run) for run in runs})
    spec = replace(runs[0].spec.without_shard(), scheme=min(run.spec.scheme for run in runs))
    place = out or default_place(spec)
    if place.exists() and not (place.is_dir() and not contents(place)):
        raise UsageError(f"{place} exists: choose another directory with --out, or delete it")
    moved = per_task(data, list(spec.tasks))
    template = RunDir(runs[0].path, spec)
    tasks = reload_tasks(template, moved, observer=observer)
    for task in tasks:
        check_task(template, task)
    with created_folder(place) as folder, RunDir.create(folder, spec) as run:
        _fill(run, runs, tasks)
        run.write_sittings([sitting for shard in runs for sitting in shard.sittings()])
        loading = {
            name: {**how, "data": moved.get(name, how.get("data"))}
            for name, how in template.loading().items()
        }
        run.record(ExecInfo.capture(command, {}, loading).ended(f"merged {len(runs)} shards"))
        score_and_write(run, tasks, extractor)
    return RunDir.open(place)


def _fill(run: RunDir, shards: Sequence[RunDir], tasks: Sequence[Task]) -> None:
    """Writes the journals and images of a merged run."""
    for shard in shards:
        run.log(f"shard {shard.spec.shard}: {shard.path}")
    for task in tasks:
        run.save_images(task.samples)
        holders = [shard for shard in shards if task.name in shard.spec.tasks]
        merge_journals(holders, task.name, run.spec.keys(task), run.journal_path(task.name))
        likelihoods = [likelihoods_path(shard, task.name) for shard in holders]
        merge_likelihoods(likelihoods, first_keys(run, task), likelihoods_path(run, task.name))


def _extractor(results: Mapping[Path, Mapping[str, Any]]) -> str:
    """Returns the extractor that read all shards.

    Raises:
        UsageError: several extractors did.
    """
    used: dict[str, Path] = {}
    for path, result in results.items():
        for task in result["tasks"].values():
            used.setdefault(str(task["extractor"]), path)
    if len(used) > 1:
        (one, path), (other, second) = list(used.items())[:2]
        raise UsageError(
            f"{path} was read by extractor {one} and {second} by {other}: score one of them again with "
            f"`ssl4rl-bench score {second} --extractor {one}`"
        )
    return next(iter(used), "default")
