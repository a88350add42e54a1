"""Imports a file of predictions as a run, which is then scored, compared and shown like any other.

The replies are read by this project's extractor. What the file does not say about how they were made is recorded as
unknown, and counts as a difference when the run is compared (`comparison.settings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ssl4rl_bench.core.atomic import contents, created_folder
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.types import SampleRecord, Sampling, Task
from ssl4rl_bench.interop.predictions.matching import Matched, match
from ssl4rl_bench.interop.predictions.reading import VLMEVALKIT, digest, read_predictions
from ssl4rl_bench.interop.predictions.report import report_lines
from ssl4rl_bench.interop.predictions.rows import Predictions
from ssl4rl_bench.interop.predictions.stated import SETTINGS, Stated, beside, from_results, from_user
from ssl4rl_bench.interop.predictions.verdicts import completion_of
from ssl4rl_bench.interop.stored import StoredRun, stored_in
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.imported import IMPORTED, Imported
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RunDir, default_place
from ssl4rl_bench.run.spec import MOCK, RunSpec, TaskSpec
from ssl4rl_bench.score.runs import Run, open_run
from ssl4rl_bench.score.scoring import score_and_write
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import expand

_OPTIONS = ("dtype", "attn", "max_model_len")
"""Settings that are engine options."""


def import_predictions(
    file: str | Path,
    task: str,
    *,
    model: str | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    format: str | None = None,
    results: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_partial: bool = False,
    extractor: str = "default",
    progress: Observer = SILENT,
) -> Run:
    """Imports a file of predictions that another tool wrote as a run, as the command `import` does.

    Args:
        file: a prediction file of VLMEvalKit, samples of lmms-eval or lm-evaluation-harness, or a table with ids and
            texts (docs/other-tools.md).
        task: the name of a task, or the path of a task file.
        model: the name of the model in tables; by default what a results file states, or the file's name.
        data: the location of the task's data.
        out: the run directory; by default runs/MODEL-HASH.
        format: "vlmevalkit", "lmms-eval", "lm-eval" or "plain"; None recognizes it.
        results: the results file of lmms-eval or lm-evaluation-harness, from which settings are taken; by default
            the one beside the samples.
        settings: settings that you know, by name (`stated.SETTINGS`); the others are recorded as unknown.
        allow_partial: import a file that lacks replies, as a partial run.
        extractor: the name of the extractor that reads the replies.
        progress: receives lines about what was checked and what is unknown.

    Returns:
        The run. If it exists already, nothing is written.

    Raises:
        UsageError: an unknown task, format or setting, or `out` holds something else.
        DataError: the file cannot be read, is of another task, has two replies to a request or lacks replies.
        MissingDependency: an .xlsx file without openpyxl.
        StoreError: the run cannot be written.

    Example:
        >>> run = import_predictions("base.csv", "scenes", model="base", out="runs/imported-base")
        >>> run.model
        'base (imported)'
    """
    pairs = [f"{name}={'none' if value is None else value}" for name, value in (settings or {}).items()]
    asked = ImportPlan(
        Path(file),
        task,
        model,
        None if data is None else str(data),
        None if out is None else Path(out),
        format,
        None if results is None else Path(results),
        tuple(pairs),
        allow_partial,
        extractor,
        ("ssl4rl_bench.import_predictions",),
    )
    return import_plan(asked, progress)


@dataclass(frozen=True)
class ImportPlan:
    """The arguments of an import (`import_predictions`)."""

    file: Path
    task: str
    model: str | None = None
    data: str | None = None
    out: Path | None = None
    format: str | None = None
    results: Path | None = None
    settings: tuple[str, ...] = ()
    """Settings as KEY=VALUE."""
    allow_partial: bool = False
    extractor: str = "default"
    command: tuple[str, ...] = ()
    """The command line, recorded in exec.json."""


def import_plan(plan: ImportPlan, observer: Observer = SILENT) -> Run:
    """Imports a file of predictions. Raises as `import_predictions`."""
    check_extractor(plan.extractor)
    by_user = from_user(plan.settings)
    names = expand([plan.task])
    if len(names) != 1:
        raise UsageError(f"--tasks {plan.task} names {len(names)} tasks, and a file is of one: name it")
    file = read_predictions(plan.file, plan.format, names[0])
    results_file = plan.results or beside(plan.file)
    stored = stored_in(plan.file, results_file, full_name(names[0]))
    if stored is not None:
        run = _restored(plan, file, stored, results_file, observer)
        if run is not None:
            return run
    by_results = Stated() if results_file is None else from_results(results_file, plan.file)
    values = {**by_results.values, **by_user.values}
    stated = dict.fromkeys(by_results.values, "results file") | dict.fromkeys(by_user.values, "user")
    with observer.loading(names[0]) as on_share:
        task = load_task(
            names[0],
            data=plan.data,
            prompt=values.get("prompt"),
            image=values.get("image", "real"),
            on_share=on_share,
        )
    for warning in task.warnings:
        observer.warn(f"{task.name}: {warning}")
    matched = match(task, file, allow_partial=plan.allow_partial)
    if all(row.error is not None for row in matched.predictions.values()):
        raise DataError(f"{plan.file} has failed requests only, and no reply: repeat them with the tool")
    if matched.same_prompt and "prompt" not in stated:
        stated["prompt"] = "file"
    task = task.drawing(_sampling(task.sampling, values))
    made_up = _named_mock(file) if stored is None else stored.spec.mocked
    spec = _spec(
        plan, file, task, matched, replace(by_results, values=values), stated, MOCK if made_up else ""
    )
    run = _written(plan, spec, task, matched, _source(file, results_file))
    for line in report_lines(file, task, matched, spec, results_file, plan.extractor):
        observer.say(line)
    return run


def _restored(
    plan: ImportPlan, file: Predictions, stored: StoredRun, results_file: Path | None, observer: Observer
) -> Run | None:
    """Makes the run again that a file of `export` has the specification of; None, with a warning, if it is changed.

    Raises:
        UsageError: settings are stated, which the specification has already.
    """
    wanted = stored.of_task(full_name(plan.task))
    task = load_task(
        plan.task,
        data=plan.data,
        prompt=None if wanted is None else wanted.prompt,
        skip_bad=stored.skip_bad,
        limit=stored.limit,
        image="real" if wanted is None else wanted.image,
        commit=None if wanted is None or wanted.hub is None or plan.data else wanted.hub.commit,
    )
    try:
        matched = match(task, file, allow_partial=True)
        spec = stored.restored(task, _replies(matched), matched.repeats)
    except DataError:  # raised again, if it is of the whole task too, by the usual import
        spec = "it has other questions than the run"
    if isinstance(spec, str):
        observer.warn(
            f"{plan.file.name} has the specification of a run, which does not apply ({spec}): "
            "it is imported as a file of another tool is"
        )
        return None
    if plan.settings:
        raise UsageError(f"{plan.file} has the specification of its run: leave --set out")
    spec = replace(spec, model=plan.model or spec.model)
    task = task.drawing(spec.tasks[task.name].sampling)
    run = _written(plan, spec, task, matched, _source(file, results_file), stored)
    observer.say(f"{file.path.name}: {len(file.rows)} rows, format {file.format}, sha256 {file.sha256[:12]}")
    observer.say("exported by this project, and no reply was changed: the settings are those of the run")
    return run


class _Reply(NamedTuple):
    id: str
    repeat: int
    text: str
    finish_reason: str


def _replies(matched: Matched) -> Iterator[_Reply]:
    for (sample, repeat), row in matched.predictions.items():
        completion = completion_of(row)
        yield _Reply(sample, repeat, completion.text, completion.finish_reason)


def _named_mock(file: Predictions) -> bool:
    """Whether a file for VLMEvalKit, which has no place for more, is named as an export of a mock run."""
    return file.format == VLMEVALKIT and re.search(r"-mock(?=[-_.])", file.path.name) is not None


def _source(file: Predictions, results_file: Path | None) -> dict[str, str]:
    source = {"file": file.path.name, "sha256": file.sha256, "format": file.format}
    if results_file is not None:
        source |= {"results": results_file.name, "results_sha256": digest(results_file)}
    return source


def _sampling(sampling: Sampling, values: Mapping[str, Any]) -> Sampling:
    known = {name: values[name] for name in ("temperature", "top_p", "top_k", "max_tokens") if name in values}
    return replace(sampling, **known)


def _spec(
    plan: ImportPlan,
    file: Predictions,
    task: Task,
    matched: Matched,
    known: Stated,
    stated: Mapping[str, str],
    recorded_by: str,
) -> RunSpec:
    """Returns the spec of the run. The values of settings that are not stated stand for unknown ones."""
    values = known.values
    model = plan.model or known.model
    imported = Imported(
        file.format,
        file.sha256,
        file.tool,
        known.tool_version,
        tuple(name for name in SETTINGS if name not in stated),
        dict(sorted(stated.items())),
        recorded_by,
    )
    options = {name: values[name] for name in _OPTIONS if name in values}
    template = values.get("chat_template")
    return RunSpec(
        model=model or plan.file.stem,
        fingerprint=f"imported as {model}" if model else f"imported {file.sha256}",
        tasks={task.name: TaskSpec.of(task)},
        engine=IMPORTED,
        engine_version=f"{file.format} {file.sha256[:12]}",
        min_pixels=values.get("min_pixels"),
        max_pixels=values.get("max_pixels"),
        repeats=matched.repeats,
        engine_options={IMPORTED: imported.to_json(), **options},
        served={} if template is None else {"chat_template": template},
    )


def _written(
    plan: ImportPlan,
    spec: RunSpec,
    task: Task,
    matched: Matched,
    source: Mapping[str, str],
    stored: StoredRun | None = None,
) -> Run:
    """Writes the run, which appears under its name only when it is complete.

    Raises:
        UsageError: there is something else in its place.
    """
    place = plan.out or default_place(spec)
    if place.exists() and not (place.is_dir() and not contents(place)):
        known = RunDir.open(place) if (place / "spec.json").is_file() else None
        if known is not None and known.result_path.exists() and known.spec.sha256 == spec.sha256:
            return open_run(place)
        raise UsageError(f"{place} exists and holds something else: choose another directory with --out")
    how = {"limit": stored and stored.limit, "skip_bad": stored is not None and stored.skip_bad}
    loading = {task.name: {"task": plan.task, "data": plan.data, **how}}
    with created_folder(place) as folder, RunDir.create(folder, spec) as run:
        run.save_images(task.samples)
        with Journal(run.journal_path(task.name)) as journal:
            for record in _records(task, spec, matched):
                journal.append(record)
        run.log(f"imported {', '.join(f'{name} {value}' for name, value in source.items())}")
        run.record(ExecInfo.capture(plan.command, source, loading).ended("imported"))
        score_and_write(run, [task], plan.extractor)
    return open_run(place)


def _records(task: Task, spec: RunSpec, matched: Matched) -> Iterator[SampleRecord]:
    keys = spec.keys(task)
    for sample in task.samples:
        for repeat in range(matched.repeats):
            row = matched.predictions.get((sample.id, repeat))
            if row is None:
                continue
            completion = completion_of(row)
            yield SampleRecord(
                id=sample.id,
                repeat=repeat,
                group=sample.group,
                key=keys[sample.id, repeat],
                text=completion.text,
                finish_reason=completion.finish_reason,
                n_prompt_tokens=0,
                n_completion_tokens=0,
                latency_s=0.0,
                error=completion.error,
                reasoning=completion.reasoning,
            )
