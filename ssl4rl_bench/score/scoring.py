"""Scores a run from its journal: a second pass that needs no model and can be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ssl4rl_bench.core.capabilities import HasMetrics
from ssl4rl_bench.core.errors import SpecMismatch, UsageError, did_you_mean
from ssl4rl_bench.core.types import UNSCORED, Sample, SampleRecord, Score, ScoredSample, Status, Task
from ssl4rl_bench.run.journal import Answers, answers
from ssl4rl_bench.run.rundir import RESULT_SCHEMA, RunDir
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score import outcomes, probes
from ssl4rl_bench.score.aggregate import DEFAULT_AGGREGATION, aggregate
from ssl4rl_bench.score.headline import group_kind
from ssl4rl_bench.score.margins import ProbeMargin, margin_of_run
from ssl4rl_bench.score.scores import ABSENT, STATUSES
from ssl4rl_bench.task.extract import check_extractor


def score_run(rundir: RunDir, tasks: Sequence[Task], extractor: str = "default") -> dict[str, Any]:
    """Computes the content of result.json, which depends only on the journal, the tasks and the extractor.

    Keys: `schema`, `model` {name, fingerprint, and if known commit, served, scheme, unused_defaults},
    `spec_sha256`, `shard` ("2/4", only for a shard of a run), `partial` (part of the benchmark was not asked
    or not answered), `partial_reasons`, `tasks`.

    Keys of each task: `version`, `prompt`, `source`, `data_sha256`; `hub` {asked, commit, config, split},
    only for hub data; `image`, only if not "real"; `extractor`, the full name; `reader`, the version of the
    extractor, only if not 1; `n_samples` and `n_groups` of the data; `n_missing` replies; `n_corrupt` lines
    of the journal; `n_groups_excluded` from the aggregates because of an error, reasoning without a reply, or
    a missing reply; `tokens` {prompt, completion}; `status` counts; `n_no_content_cut`, the number of replies
    with status "no_content" that hit the token limit, only if there are such replies; `columns`, the
    abilities in the order of the tables' columns with their headers, only if the task file declares them;
    `headline`, the aggregation that the benchmark publishes, only if it is not `circular_micro`;
    `groups`, only for a benchmark whose groups are "rows" that are no copies of each other;
    `n_groups_skipped`, the number of questions that were left out, only if there are any;
    `aggregates` (see `aggregate`); `probe`, only for a probe (see `probes.probe_summary`), with its `margin` (see
    `margins.margin_of_run`); `metrics`, only for a task of another program (see `capabilities.HasMetrics`).

    Raises:
        SpecMismatch: a task differs from the one that the run asked.
        UsageError: the run has no such task, or there is no such extractor.
        StoreError: the journal cannot be read.
    """
    return _result(rundir, tasks, _read(rundir, tasks, check_extractor(extractor)))


def score_and_write(rundir: RunDir, tasks: Sequence[Task], extractor: str = "default") -> dict[str, Any]:
    """Writes outcomes.json and then result.json, which declares the run complete. Returns the result.

    Raises:
        SpecMismatch, UsageError: as `score_run`.
        StoreError: the journal cannot be read, or the run cannot be written.
    """
    read = _read(rundir, tasks, check_extractor(extractor))
    result = _result(rundir, tasks, read)
    outcomes.write_outcomes(rundir, [read[task.name].outcomes for task in tasks])
    rundir.write_result(result)
    return result


def outcomes_of_run(
    rundir: RunDir, tasks: Sequence[Task], extractor: str = "default"
) -> dict[str, outcomes.Outcomes]:
    """Computes the outcomes of each task from the journal.

    Raises:
        SpecMismatch, UsageError, StoreError: as `score_run`.
    """
    by_task = _read(rundir, tasks, check_extractor(extractor))
    return {name: read.outcomes for name, read in by_task.items()}


def _result(rundir: RunDir, tasks: Sequence[Task], by_task: Mapping[str, _TaskReading]) -> dict[str, Any]:
    spec = rundir.spec
    scores = {task.name: _score_task(rundir, task, by_task[task.name]) for task in tasks}
    reasons = [f"{task.name}: {reason}" for task in tasks for reason in task.partial_reasons]
    reasons += [
        f"{name}: shard {spec.shard} of a run, {spec.tasks[name].n_samples if name in spec.tasks else 0} of "
        f"{task.n_samples} samples"
        for name, task in spec.all_tasks.items()
    ]
    reasons += [
        f"{name}: {score['n_missing']} replies are missing"
        for name, score in scores.items()
        if score["n_missing"]
    ]
    reasons += [f"{name}: not scored" for name in spec.tasks if name not in scores]
    return {
        "schema": RESULT_SCHEMA,
        "model": spec.to_json()["model"],
        "spec_sha256": spec.sha256,
        **({"shard": str(spec.shard)} if spec.shard is not None else {}),
        "partial": bool(reasons),
        "partial_reasons": reasons,
        "tasks": scores,
    }


def scored_samples(rundir: RunDir, task: Task, extractor: str = "default") -> list[ScoredSample]:
    """Scores each reply of a task, in the order of the task's samples and then of the repeats.

    A failed request is included without a value. A request that was never sent or answered is not included.

    Raises:
        SpecMismatch, UsageError, StoreError: as `score_run`.
    """
    return _score(task, _answers(rundir, task), rundir.spec, extractor)


def _answers(rundir: RunDir, task: Task) -> Answers:
    check_task(rundir, task)
    return answers(rundir.journal_path(task.name), rundir.spec.keys(task))


def check_task(rundir: RunDir, task: Task) -> None:
    """Checks that a task is the one that a run asked.

    Raises:
        SpecMismatch: it differs; names what.
        UsageError: the run has no such task.
    """
    spec = rundir.spec
    if task.name not in spec.tasks:
        raise UsageError(
            f"run {rundir.path} has no task {task.name} (it has {', '.join(spec.tasks)})"
            f"{did_you_mean(task.name, spec.tasks)}"
        )
    asked = spec.tasks[task.name]
    now = TaskSpec.of(task, asked.sampling)
    fields = ("version", "data_sha256", "prompt", "n_samples", "image")
    if changed := [name for name in fields if getattr(now, name) != getattr(asked, name)]:
        raise SpecMismatch(
            f"task {task.name} differs from what run {rundir.path} asked: {', '.join(changed)} changed; "
            "load it from the data and with the prompt, `--limit` and `--image` of the run"
        )


def replies(
    rundir: RunDir, task: Task, extractor: str = "default"
) -> Iterator[tuple[Sample, SampleRecord, Score]]:
    """Returns an iterator over the replies of a task with sample and score, in the order of `scored_samples`.

    Raises:
        SpecMismatch, UsageError, StoreError: as `score_run`.
    """
    return _scored(task, _answers(rundir, task), rundir.spec, check_extractor(extractor))


def _scored(
    task: Task, journal_answers: Answers, spec: RunSpec, extractor: str
) -> Iterator[tuple[Sample, SampleRecord, Score]]:
    for sample in task.samples:
        for repeat in range(spec.repeats):
            if (record := journal_answers.records.get((sample.id, repeat))) is not None:
                yield sample, record, task.score(sample, record.completion, extractor)


def _score(task: Task, journal_answers: Answers, spec: RunSpec, extractor: str) -> list[ScoredSample]:
    return [
        ScoredSample(sample.id, sample.group, sample.roll, record.repeat, sample.categories, score)
        for sample, record, score in _scored(task, journal_answers, spec, extractor)
    ]


@dataclass(frozen=True, slots=True)
class _TaskReading:
    """The replies of a task with their scores and outcomes."""

    answers: Answers
    scored: list[ScoredSample]
    outcomes: outcomes.Outcomes
    margin: ProbeMargin | None
    """None for a task that is not a probe."""


def _read(rundir: RunDir, tasks: Sequence[Task], extractor: str) -> dict[str, _TaskReading]:
    out = {}
    for task in tasks:
        journal_answers = _answers(rundir, task)
        scored = _score(task, journal_answers, rundir.spec, extractor)
        margin = None if task.probe is None else margin_of_run(rundir, task)
        task_outcomes = outcomes.outcomes_of(task, scored, extractor, rundir.spec.repeats, margin)
        out[task.name] = _TaskReading(journal_answers, scored, task_outcomes, margin)
    return out


def _score_task(rundir: RunDir, task: Task, read: _TaskReading) -> dict[str, Any]:
    journal_answers, task_outcomes = read.answers, read.outcomes
    records = journal_answers.records.values()
    summary = (
        {}
        if task.probe is None or read.margin is None
        else {
            "probe": {
                **probes.probe_summary(task, task.probe, task_outcomes, read.scored),
                "margin": dict(read.margin.summary),
            }
        }
    )
    status = task_outcomes.status_counts
    columns = [list(column) for column in getattr(task, "columns", ())]  # other packages' tasks may have none
    headline = getattr(task, "headline", DEFAULT_AGGREGATION)
    n_cut = sum(record.finish_reason == "length" and record.completion.has_no_content for record in records)
    aggregates = aggregate(task_outcomes)
    return {
        "version": task.version,
        "prompt": task.prompt,
        "source": task.source,
        "data_sha256": task.data_sha256,
        **({"hub": asdict(hub)} if (hub := rundir.spec.tasks[task.name].hub) is not None else {}),
        **({"image": task.image} if task.image != "real" else {}),
        "extractor": task_outcomes.extractor,
        **({"reader": task_outcomes.reader} if task_outcomes.reader != 1 else {}),
        "n_samples": len(task.samples),
        "n_groups": len(task_outcomes.groups),
        "n_missing": int((task_outcomes.status == ABSENT).sum()),
        "n_corrupt": len(journal_answers.corrupt),
        "n_groups_excluded": _n_excluded(task, task_outcomes),
        "tokens": {
            "prompt": sum(record.n_prompt_tokens for record in records),
            "completion": sum(record.n_completion_tokens for record in records),
        },
        "status": status,
        **({"columns": columns} if columns else {}),
        **({"headline": headline} if headline != DEFAULT_AGGREGATION else {}),
        **({"groups": "rows"} if task.probe is None and group_kind(task_outcomes) == "rows" else {}),
        **({"n_groups_skipped": task.n_groups_skipped} if task.n_groups_skipped else {}),
        **({"n_no_content_cut": n_cut} if Status.NO_CONTENT in status else {}),
        "aggregates": aggregates,
        **summary,
        **_metrics(task, read, rundir.spec.repeats, aggregates),
    }


def _n_excluded(task: Task, task_outcomes: outcomes.Outcomes) -> int:
    """Returns the number of groups without a reply that counts."""
    if not (isinstance(task, HasMetrics) and task.corpus_only):
        return len(task_outcomes.excluded)
    failed = np.isin(task_outcomes.status, [ABSENT, *(STATUSES.index(status) for status in UNSCORED)])
    return int(np.logical_or.reduceat(failed.any(axis=1), task_outcomes.starts).sum())


def _metrics(task: Task, read: _TaskReading, repeats: int, aggregates: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entry "metrics" of a task with metrics of another program."""
    if not isinstance(task, HasMetrics):
        return {}
    records = read.answers.records
    replies = [
        (sample, record.repeat, record.completion)
        for sample in task.samples
        for repeat in range(repeats)
        if (record := records.get((sample.id, repeat))) is not None
    ]
    return {"metrics": task.metrics(replies, aggregates)}
