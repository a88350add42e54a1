"""Loads runs for comparisons, and reads their replies again if their outcomes are not stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.corpus import shared_corpus
from ssl4rl_bench.comparison.pairing import Evaluated, labelled, unmarked
from ssl4rl_bench.core.errors import BenchError, StoreError, UsageError, did_you_mean
from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.parallel import parallel_map
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RunDir, open_run
from ssl4rl_bench.run.spec import TaskSpec
from ssl4rl_bench.score import outcomes
from ssl4rl_bench.score.consistency import check_consistent, finished_outcomes
from ssl4rl_bench.score.headline import is_corpus_only
from ssl4rl_bench.score.reload import reload_tasks
from ssl4rl_bench.score.scoring import outcomes_of_run
from ssl4rl_bench.task.extract import reader_version
from ssl4rl_bench.task.registry import per_task


def load_evaluated(
    paths: Sequence[Path], data: Sequence[str] = (), observer: Observer = SILENT
) -> list[Evaluated]:
    """Loads complete runs, without duplicates and with distinct labels.

    Args:
        data: values of `--data`, for runs whose replies have to be read again.

    Raises:
        StoreError: there is no such run, it is not complete, or its parts contradict each other.
        UsageError: a value of `data` belongs to none of the tasks.
        DataError, UsageError: its tasks cannot be loaded again.
    """
    by_place: dict[Path, RunDir] = {}
    for path in paths:
        run = open_run(path)
        by_place.setdefault(run.path.resolve(), run)
    opened = list(by_place.values())
    read = [finished_outcomes(run) for run in opened]
    per_task(data, list(dict.fromkeys(name for run in opened for name in run.spec.tasks)))  # checks the names
    names = labelled([run.spec for run in opened], [run.path for run in opened])
    loaded: dict[str, list[Task]] = {}
    known: dict[int, Mapping[str, outcomes.Outcomes]] = {}
    missing: list[tuple[int, Callable[[], Mapping[str, outcomes.Outcomes]]]] = []
    for index, (run, (result, stored)) in enumerate(zip(opened, read, strict=True)):
        if stored is not None and _are_current(stored, result):
            known[index] = stored
        else:
            tasks, extractor = _tasks(run, result, data, loaded, observer)
            missing.append((index, partial(_derived, run, result, tasks, extractor)))
    derived = parallel_map(lambda item: item[1](), missing)
    known.update(zip((index for index, _ in missing), derived, strict=True))
    return [
        Evaluated(name, run.path, run.spec, result, *_split(result, known[index]))
        for index, (name, run, (result, _)) in enumerate(zip(names, opened, read, strict=True))
    ]


def choose_baseline(runs: Sequence[Evaluated], name: str | None) -> tuple[Evaluated, list[Evaluated]]:
    """Returns the baseline, by default the first run, and the other runs in their order.

    Args:
        name: a run's label, the name of its model, its folder, or the name of its folder.

    Raises:
        UsageError: no run has this name, or several have it.
    """
    if name is None:
        return runs[0], list(runs[1:])
    place = Path(name).resolve()
    matches = [run for run in runs if name in (run.label, unmarked(run)) or run.path.resolve() == place] or [
        run for run in runs if name in (run.spec.model, run.path.name)
    ]
    if len(matches) != 1:
        problem = "names several of the runs" if matches else "is not among the runs"
        known = [unmarked(run) for run in runs]
        raise UsageError(f"--baseline {name} {problem} ({', '.join(known)}){did_you_mean(name, known)}")
    return matches[0], [run for run in runs if run is not matches[0]]


def shared_tasks(runs: Sequence[Evaluated], wanted: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Returns the benchmarks and probes that all runs have, in the first run's order, or the `wanted` ones.

    Tasks with metrics of the whole corpus only are not among them (`corpus.shared_corpus`).

    Raises:
        UsageError: a wanted task is not in every run, or the runs share no task.
    """
    only_corpus = shared_corpus(runs, wanted)
    names = [name for name in map(full_name, wanted) if name not in only_corpus]
    for name in names:
        for run in runs:
            run.task(name)
    if not wanted:
        names = [name for name in runs[0].outcomes if all(name in run.outcomes for run in runs)]
    if not names and not only_corpus:
        asked = "; ".join(f"{run.label}: {', '.join(run.outcomes)}" for run in runs)
        raise UsageError(f"the runs share no task ({asked}): evaluate them on the same one")
    probes = [name for name in names if runs[0].outcomes[name].probe]
    return [name for name in names if name not in probes], probes


def origin_of(run: Evaluated) -> dict[str, Any] | None:
    """Reads the ssl4rl.json of a run's checkpoint; None if the folder is gone or has other weights.

    Raises:
        ModelError: the file is damaged or has a newer version.
    """
    from ssl4rl_bench.engines.checkpoints.origin import read_origin
    from ssl4rl_bench.engines.checkpoints.weights import fingerprint, resolve_model

    try:
        folder = resolve_model(run.spec.model).path
        if run.spec.fingerprint not in (fingerprint(folder), fingerprint(folder, full_digest=True)):
            return None
    except (BenchError, OSError):
        return None
    return read_origin(folder) or None


def loaded_tasks(
    runs: Sequence[Evaluated], data: Mapping[str, str], observer: Observer = SILENT
) -> tuple[list[dict[str, Task]], list[str]]:
    """Loads the shared tasks of each run, and returns notes on those that could not be loaded.

    A task that several runs asked is loaded only once.
    """
    shared = [name for name in runs[0].outcomes if all(name in run.outcomes for run in runs)]
    known: dict[str, Task | None] = {}
    out: list[dict[str, Task]] = []
    notes: list[str] = []
    for run in runs:
        rundir = RunDir.open(run.path)
        run_tasks: dict[str, Task] = {}
        for name in shared:
            asked = run.spec.tasks[name]
            key = json.dumps(
                [
                    *(name, asked.version, asked.data_sha256, asked.prompt, asked.image, asked.n_samples),
                    str(run.spec.shard),
                ]
            )
            if key not in known:
                known[key] = None
                try:
                    reloaded = reload_tasks(rundir, data, [name], observer)[0]
                    if TaskSpec.of(reloaded, asked.sampling) == asked:
                        known[key] = reloaded
                    else:
                        notes.append(
                            f"{name} has other data than when {run.label} was run; its samples are not shown"
                        )
                except BenchError as error:
                    notes.append(f"the samples of {name} are not shown: {error}")
            if (task := known[key]) is not None:
                run_tasks[name] = task
        out.append(run_tasks)
    return out, list(dict.fromkeys(notes))


def _are_current(stored: Mapping[str, outcomes.Outcomes], result: Mapping[str, Any]) -> bool:
    """Checks whether stored outcomes were read by the extractor and the version of it that the result names."""
    return all(
        (stored[name].extractor, stored[name].reader)
        == (task_result["extractor"], task_result.get("reader", 1))
        for name, task_result in result["tasks"].items()
    )


def _tasks(
    run: RunDir,
    result: Mapping[str, Any],
    data: Sequence[str],
    loaded: dict[str, list[Task]],
    observer: Observer,
) -> tuple[list[Task], str]:
    """Returns the tasks of a run whose replies must be read again, and the extractor.

    Args:
        loaded: a cache of tasks that runs share.
    """
    extractors = {task_result["extractor"] for task_result in result["tasks"].values()}
    if len(extractors) != 1:
        raise StoreError(
            f"run {run.path} was read by several extractors: score it again with `ssl4rl-bench score`"
        )
    (extractor,) = extractors
    if any(
        task_result.get("reader", 1) != reader_version(extractor) for task_result in result["tasks"].values()
    ):
        raise StoreError(
            f"run {run.path} was read by another version of the extractor {extractor}: read it again with "
            f"`ssl4rl-bench score {run.path}`"
        )
    how = run.loading()
    shown = {name: [task.prompt, task.image] for name, task in run.spec.tasks.items()}
    asked = json.dumps([how, shown, str(run.spec.shard)])
    if asked not in loaded:
        loaded[asked] = reload_tasks(run, per_task(data, list(run.spec.tasks)), observer=observer)
    return loaded[asked], extractor


def _derived(
    run: RunDir, result: Mapping[str, Any], tasks: Sequence[Task], extractor: str
) -> Mapping[str, outcomes.Outcomes]:
    """Reads the outcomes from the journals, and stores them."""
    derived = outcomes_of_run(run, tasks, extractor)
    check_consistent(run.path, run.spec, result, derived)
    with suppress(StoreError):  # a cache for the next time: another user's run may not be writable
        outcomes.write_outcomes(run, list(derived.values()))
    return derived


def _split(
    result: Mapping[str, Any], known: Mapping[str, outcomes.Outcomes]
) -> tuple[dict[str, outcomes.Outcomes], dict[str, outcomes.Outcomes]]:
    """Returns the outcomes of tasks with scores, and of those with metrics of the whole corpus only."""
    only_corpus = [name for name, task_result in result["tasks"].items() if is_corpus_only(task_result)]
    scored = {name: of_task for name, of_task in known.items() if name not in only_corpus}
    return scored, {name: known[name] for name in only_corpus}
