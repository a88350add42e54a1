"""The scored replies of a run, as every export needs them: one repeat or all of them, with their aggregates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import full_name, short_name
from ssl4rl_bench.core.types import Sample, SampleRecord, Score, ScoredSample, Task
from ssl4rl_bench.interop.stored import replies_digest
from ssl4rl_bench.run.rundir import RunDir, slug_of
from ssl4rl_bench.score.aggregate import overall
from ssl4rl_bench.score.consistency import finished
from ssl4rl_bench.score.reload import reload_tasks
from ssl4rl_bench.score.scores import arrange
from ssl4rl_bench.score.scoring import replies
from ssl4rl_bench.task.registry import per_task
from ssl4rl_bench.task.taskfile import TaskFile, load_taskfile

ScoredReply = tuple[Sample, SampleRecord, Score]


@dataclass(frozen=True, slots=True, eq=False)
class TaskReplies:
    """A task of a complete run: its scored replies, in the order of its samples."""

    run: RunDir
    task: Task
    declared: TaskFile
    result: Mapping[str, Any]
    """The task's entry in result.json."""
    replies: tuple[ScoredReply, ...]
    partial_reasons: tuple[str, ...]
    """The reasons why part of the benchmark is missing from the run (result.json)."""

    @property
    def label(self) -> str:
        """The model's name as part of a file name, with the marks of a run that did not ask the model as usual.

        The marks are those of an engine without a model ("gold-mock"), of a shard, and of a blinding.
        """
        spec = self.run.spec
        shown = "" if self.task.image == "real" else self.task.image
        return slug_of(" ".join(filter(None, (spec.model, spec.qualifier, shown))))

    @property
    def finished(self) -> datetime:
        """The time at which the last execution of the run ended or began, which names the files of lm-eval.

        The same run is therefore always exported under the same names.
        """
        sittings = self.run.sittings()
        times = [sittings[-1].get("finished"), sittings[-1].get("started")] if sittings else []
        written = next((time for time in times if isinstance(time, str)), "1970-01-01T00:00:00+00:00")
        try:
            return datetime.fromisoformat(written)
        except ValueError:
            return datetime.fromisoformat("1970-01-01T00:00:00+00:00")

    @property
    def digest(self) -> str:
        """The digest of the replies (`stored.replies_digest`), by which an import finds that none was changed."""
        return replies_digest(record for _, record, _ in self.replies)

    @property
    def loading(self) -> dict[str, Any]:
        """How the run loaded the task's data, except from where."""
        how = self.run.loading().get(self.task.name, {})
        return {"limit": how.get("limit"), "skip_bad": how.get("skip_bad", False)}

    def aggregate(self, aggregation: str) -> dict[str, Any]:
        """Computes the overall cell of an aggregation over these replies (`score.aggregate`)."""
        scored = [
            ScoredSample(sample.id, sample.group, sample.roll, 0, sample.categories, score)
            for sample, _, score in self.replies
        ]
        return overall(arrange(scored, Counter(sample.group for sample in self.task.samples)), aggregation)


def read_replies(
    run: RunDir, tasks: Sequence[str] | None, data: Sequence[str], repeat: int | None, *, all_repeats: bool
) -> list[TaskReplies]:
    """Reads the replies of a complete run and scores them with the extractor of its result.

    Args:
        tasks: names of tasks; None for all of the run.
        data: new locations of data that has moved, as values of `--data`.
        repeat: the number of the repeat to read, from 0; None for the only one.
        all_repeats: read every repeat. `repeat` is then None.

    Raises:
        UsageError: the run has no such task or repeat, or several repeats and none was chosen.
        StoreError: the run is not complete, or its files contradict each other.
        DataError, SpecMismatch: a task cannot be loaded again, or differs from what the run asked.
    """
    result = finished(run)
    n_repeats = run.spec.repeats
    if not all_repeats and repeat is None and n_repeats > 1:
        raise UsageError(
            f"run {run.path} has {n_repeats} replies to each question, and a file of this format holds one: choose "
            f"one with --repeat 0 to {n_repeats - 1}, or write all with --to parquet"
        )
    if repeat is not None and not 0 <= repeat < n_repeats:
        raise UsageError(f"run {run.path} has no repeat {repeat}: its repeats are 0 to {n_repeats - 1}")
    names = [full_name(name) for name in tasks] if tasks else list(run.spec.tasks)
    if unknown := [name for name in names if name not in run.spec.tasks]:
        known = ", ".join(map(short_name, run.spec.tasks))
        raise UsageError(f"run {run.path} has no task {short_name(unknown[0])}: choose from {known}")
    moved, loading = per_task(list(data), list(run.spec.tasks)), run.loading()
    return [
        TaskReplies(
            run=run,
            task=task,
            declared=load_taskfile(loading.get(task.name, {}).get("task", task.name)),
            result=result["tasks"][task.name],
            replies=tuple(
                reply
                for reply in replies(run, task, result["tasks"][task.name]["extractor"])
                if all_repeats or reply[1].repeat == (repeat or 0)
            ),
            partial_reasons=tuple(
                reason for reason in result["partial_reasons"] if reason.startswith(f"{task.name}: ")
            ),
        )
        for task in reload_tasks(run, moved, names)
    ]
