"""The content of the sample browser: the samples of each task, and the replies of every run.

The page's script inflates a part on demand. The parts are `task-T` (questions, options, categories),
`run-T-R` (the replies of run R, how each was read, and the scores of questions), and `images-T` (thumbnails in
base64, not deflated).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import EncodedImage, Task
from ssl4rl_bench.reports.board.columns import columns_of
from ssl4rl_bench.reports.html.sample_parts import (
    READ_AS,
    Records,
    group_order,
    pack,
    questions_part,
    replies_part,
)
from ssl4rl_bench.reports.html.sample_scores import best_candidate, counted_by, question_scores, units
from ssl4rl_bench.reports.html.thumbnails import Thumbnails
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.run.journal import answers
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.task.ssl.probe import ProbeTask

TEXT_BUDGET = 40_000_000
"""Maximum characters of all replies; each is cut to an equal share, but not to less than `SHORTEST`."""
SHORTEST = 300
PACKED_BUDGET = 9_000_000
"""Target size of all packed replies, in bytes; longer replies are cut, but not to less than `SHORTEST`."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The sample browser's content."""

    index: Mapping[str, Any]
    """The keys `runs`, `fullNames`, `tasks` and `readAs`, as the script expects them."""
    parts: tuple[tuple[str, str], ...]
    """Pairs of name and base64 text."""
    thumbnails: tuple[tuple[str, tuple[str, ...]], ...]
    """Pairs of name and images; an image is a WebP file in base64, or "" if it was left out."""
    notes: tuple[str, ...]
    """Statements of what was left out, one sentence per note."""


def thumbnails_of(loaded: Sequence[Mapping[str, Task]], tasks: Sequence[str]) -> Thumbnails:
    """Starts to make thumbnails of the images of tasks as the first run asked them (`collect`).

    The images of probes, of which there are several per question, are small if there are also benchmarks.
    """
    shown = [loaded[0][name] for name in tasks if name in loaded[0]]
    benchmarks = [task for task in shown if task.probe is None]
    probes = [task for task in shown if task.probe is not None]

    def images(tasks: Iterable[Task]) -> list[EncodedImage]:
        return [image for task in tasks for sample in task.samples for image in sample.images]

    return Thumbnails(images(benchmarks), images(probes)) if benchmarks else Thumbnails(images(probes))


def collect(
    runs: Sequence[Evaluated],
    loaded: Sequence[Mapping[str, Task]],
    tasks: Sequence[str],
    thumbnails: Thumbnails,
    full_names: Sequence[str] = (),
) -> Samples:
    """Collects the samples of tasks as the first run asked them, with the replies of every run.

    Args:
        runs: the runs, the baseline first.
        loaded: for each run its tasks as it asked them; runs that asked the same may share them. Missing
            tasks are left out.
        thumbnails: `thumbnails_of` the same tasks.
        full_names: the names of the runs if their labels are shortened; links may use either.

    Raises:
        StoreError: a journal cannot be read.
    """
    names = [name for name in tasks if name in loaded[0]]
    n_replies = sum(len(run.outcomes[name].ids) for name in names for run in runs if name in run.outcomes)
    shown = [_shown(runs, loaded, name) for name in names]
    most = max(SHORTEST, TEXT_BUDGET // max(1, n_replies))
    while True:
        packed = [
            (f"run-{t}-{r}", pack(part))
            for t, task in enumerate(shown)
            for r, part in enumerate(task.replies(runs, most))
            if part is not None
        ]
        if most <= SHORTEST or sum(len(text) for _, text in packed) <= PACKED_BUDGET:
            break
        most = max(SHORTEST, most // 2)
    questions = []
    for t, (name, task) in enumerate(zip(names, shown, strict=True)):
        columns = columns_of((run.result for run in runs), name)
        images = thumbnails.names(task.task.samples)
        questions.append(
            (f"task-{t}", pack(questions_part(task.task, runs[0].outcomes[name], images, columns)))
        )
    return Samples(
        index={
            "runs": [clean(run.label) for run in runs],
            "fullNames": [clean(name) for name in full_names or [run.label for run in runs]],
            "tasks": [task.index for task in shown],
            "readAs": dict(READ_AS),
        },
        parts=(*questions, *packed),
        thumbnails=tuple((f"images-{t}", thumbnails.of(task.task.samples)) for t, task in enumerate(shown)),
        notes=(*_notes(runs, tasks, names, [task.records for task in shown], most), *thumbnails.notes),
    )


@dataclass(frozen=True, slots=True)
class _ShownTask:
    """A task as the first run asked it, with what is needed to pack the replies of every run."""

    name: str
    task: Task
    records: Sequence[Records | None]
    """The records of each run; None for a run without replies to the task."""
    scores: Sequence[Mapping[str, Any] | None]
    """The scores of each run by aggregation (`question_scores`); None where `records` is."""
    index: Mapping[str, Any]
    """The task's entry in `Samples.index`."""

    def replies(self, runs: Sequence[Evaluated], most: int) -> Iterable[dict[str, Any] | None]:
        """Yields the part of each run (`replies_part`), or None."""
        asked = runs[0].outcomes[self.name]
        order = group_order(self.task, asked)
        for run, records, scores in zip(runs, self.records, self.scores, strict=True):
            yield (
                None
                if records is None or scores is None
                else replies_part(records, run.outcomes[self.name], asked, order, scores, most)
            )


def _shown(runs: Sequence[Evaluated], loaded: Sequence[Mapping[str, Task]], name: str) -> _ShownTask:
    task, asked = loaded[0][name], runs[0].outcomes[name]
    records = [_records(run, run_tasks, name) for run, run_tasks in zip(runs, loaded, strict=True)]
    counts = counted_by(runs, name)
    scores = [
        None
        if of_run is None
        else {how: question_scores(run.outcomes[name], asked, how) for how, *_ in counts}
        for run, of_run in zip(runs, records, strict=True)
    ]
    published = counts[0][0]
    probe = task.probe
    index = {
        "name": short(name),
        "runs": [of_run is not None for of_run in records],
        "best": best_candidate([None if of_run is None else of_run[published] for of_run in scores]),
        "units": units(asked),
        "counts": counts,
        "probe": probe.kind if probe else "",
        "columns": task.ssl.columns(0) if isinstance(task, ProbeTask) else 0,
    }
    return _ShownTask(name, task, records, scores, index)


def _records(run: Evaluated, loaded: Mapping[str, Task], name: str) -> Records | None:
    """Returns a run's records of a task; None if it did not answer the task, or the task was not loaded."""
    if name not in loaded or name not in run.outcomes:
        return None
    journal_answers = answers(RunDir(run.path, run.spec).journal_path(name), run.spec.keys(loaded[name]))
    return {id: record for (id, repeat), record in journal_answers.records.items() if repeat == 0}


def _notes(
    runs: Sequence[Evaluated],
    tasks: Sequence[str],
    names: Sequence[str],
    replies: Sequence[Sequence[Records | None]],
    most: int,
) -> Iterable[str]:
    missing = [short_name(name) for name in tasks if name not in names]
    if missing:
        yield f"The data of {clean(', '.join(missing), 200)} could not be loaded again: no samples are shown."
    for name, task_replies in zip(names, replies, strict=True):
        absent = [run.label for run, records in zip(runs, task_replies, strict=True) if records is None]
        if absent:
            yield f"{clean(', '.join(absent), 200)}: no replies to {short(name)} here."
    known = [
        record for task_replies in replies for records in task_replies for record in (records or {}).values()
    ]
    if any(max(len(record.text), len(record.reasoning)) > most for record in known):
        yield f"The middle of replies longer than {most:,} characters is left out."
    if any(run.spec.repeats > 1 for run in runs):
        yield "Only the first of several repeats is shown; what is right and what flipped counts all of them."
