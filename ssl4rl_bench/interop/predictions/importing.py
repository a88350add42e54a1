"""Imports a file of predictions as a run, which is then scored, compared and shown like any other.

The replies are read by this project's extractor. What the file does not say about how they were made is recorded as
unknown, and counts as a difference when the run is compared (`comparison.settings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import contents, created_folder
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import SampleRecord, Sampling, Task
from ssl4rl_bench.interop.predictions.matching import Matched, match
from ssl4rl_bench.interop.predictions.reading import digest, read_predictions
from ssl4rl_bench.interop.predictions.rows import Predictions
from ssl4rl_bench.interop.predictions.stated import SETTINGS, Stated, beside, from_results, from_user
from ssl4rl_bench.interop.predictions.verdicts import agreement_line, completion_of
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.imported import IMPORTED, Imported
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RunDir, default_place
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
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
    spec = _spec(plan, file, task, matched, replace(by_results, values=values), stated)
    source = {"file": plan.file.name, "sha256": file.sha256, "format": file.format}
    if results_file is not None:
        source |= {"results": results_file.name, "results_sha256": digest(results_file)}
    run = _written(plan, spec, task, matched, source)
    for line in _report(file, task, matched, spec, results_file, plan.extractor):
        observer.say(line)
    return run


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


def _written(plan: ImportPlan, spec: RunSpec, task: Task, matched: Matched, source: Mapping[str, str]) -> Run:
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
    loading = {task.name: {"task": plan.task, "data": plan.data, "limit": None, "skip_bad": False}}
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


def _report(
    file: Predictions, task: Task, matched: Matched, spec: RunSpec, results_file: Path | None, extractor: str
) -> Iterator[str]:
    """Yields lines about what was read, what was checked, and what is unknown."""
    rows, name = matched.predictions.values(), short_name(task.name)
    yield f"{file.path.name}: {len(file.rows)} rows, format {file.format}, sha256 {file.sha256[:12]}"
    if matched.checked:
        what = ", ".join(f"{n} {kind}s" for kind, n in matched.checked.items())
        yield f"compared with {name}: {what}; all are the same (images are not compared)"
    else:
        yield f"the file has no questions and no answers: only its ids say that it is of {name}"
    yield from matched.notes
    if matched.n_missing:
        yield f"partial: {matched.n_missing} replies are missing"
    if failed := [row for row in rows if row.error is not None]:
        first = clean(failed[0].error, 60)
        yield f"{len(failed)} requests failed (first: {first}) and are left out, not scored as wrong"
    if n_empty := sum(not row.text.strip() and row.error is None and not row.reasoning for row in rows):
        yield f"{n_empty} replies are empty, and count as unread"
    if n_cut := sum(row.finish_reason == "length" for row in rows):
        yield f"{n_cut} replies are cut, at the token limit or at the end of an .xlsx cell"
    if any(row.finish_reason is None and row.error is None for row in rows):
        yield "the file does not say which replies were cut at the token limit: cut ones count as any other"
    if results_file is not None:
        yield f"settings taken from {results_file.name}: {', '.join(_by(spec, 'results file')) or 'none'}"
    if "prompt" in _by(spec, "user") and not matched.same_prompt and any(row.prompt for row in rows):
        yield f"the prompts in the file are not those of the style {task.prompt} that --set prompt states"
    if spec.unknown:
        yield f"{len(spec.unknown)} settings are unknown: state those that you know with --set KEY=VALUE"
    if (line := agreement_line(task, matched.predictions, file.tool, extractor)) is not None:
        yield line


def _by(spec: RunSpec, source: str) -> list[str]:
    imported = spec.imported
    return [] if imported is None else [name for name, by in imported.stated.items() if by == source]
