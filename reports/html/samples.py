"""The data of the sample browser, packed: JSON, deflated without a header (`deflate-raw`), in base64.

The page's script inflates a part on demand. The parts are `task-T` (questions, options, categories),
`run-T-R` (the replies of run R and how each was read), and `images-T` (thumbnails in base64, not deflated).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import SampleRecord, Status, Task
from ssl4rl_bench.reports.html.text import shortened, visible
from ssl4rl_bench.reports.html.thumbnails import Thumbnails
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.run.journal import answers
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.outcomes import LETTERS, Outcomes
from ssl4rl_bench.score.scores import ABSENT

TEXT_BUDGET = 40_000_000
"""Maximum characters of all replies; each is cut to an equal share, but not to less than `SHORTEST`."""
SHORTEST = 300
PACKED_BUDGET = 9_000_000
"""Target size of all packed replies, in bytes; longer replies are cut, but not to less than `SHORTEST`."""

READ_AS: Mapping[str, str] = {
    "t": "in its answer tag",
    "l": "from a clear statement, without the tag",
    "j": "by a judge model",
    "n": "no answer found",
    "c": "reasoning without a reply: not scored",
    "x": "cut off before an answer",
    "r": "refused to answer",
    "e": "the request failed",
    "-": "no reply",
}
"""Descriptions by status letter."""


_Records = Mapping[str, SampleRecord]
"""The first repeat's record, by sample id."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The sample browser's content."""

    index: Mapping[str, Any]
    """The keys `runs`, `tasks` and `readAs`, as the script expects them."""
    parts: tuple[tuple[str, str], ...]
    """Pairs of name and base64 text."""
    thumbnails: tuple[tuple[str, tuple[str, ...]], ...]
    """Pairs of name and images; an image is a WebP file in base64, or "" if it was left out."""
    notes: tuple[str, ...]
    """Statements of what was left out, one sentence per note."""


def thumbnails_of(loaded: Sequence[Mapping[str, Task]], tasks: Sequence[str]) -> Thumbnails:
    """Starts to make thumbnails of the images of tasks as the first run asked them (`collect`)."""
    shown = [sample for name in tasks if name in loaded[0] for sample in loaded[0][name].samples]
    return Thumbnails([image for sample in shown for image in sample.images])


def collect(
    runs: Sequence[Evaluated],
    loaded: Sequence[Mapping[str, Task]],
    tasks: Sequence[str],
    thumbnails: Thumbnails,
) -> Samples:
    """Collects the samples of tasks as the first run asked them, with the replies of every run.

    Args:
        runs: the runs, the baseline first.
        loaded: for each run its tasks as it asked them; runs that asked the same may share them. Missing
            tasks are left out.
        thumbnails: `thumbnails_of` the same tasks.

    Raises:
        StoreError: a journal cannot be read.
    """
    names = [name for name in tasks if name in loaded[0]]
    n_replies = sum(len(run.outcomes[name].ids) for name in names for run in runs if name in run.outcomes)
    replies = [
        [_records(run, run_tasks, name) for run, run_tasks in zip(runs, loaded, strict=True)]
        for name in names
    ]
    most = max(SHORTEST, TEXT_BUDGET // max(1, n_replies))
    while True:
        packed = [
            (f"run-{t}-{r}", _pack(_replies(records, run.outcomes[name], runs[0].outcomes[name], most)))
            for t, name in enumerate(names)
            for r, (run, records) in enumerate(zip(runs, replies[t], strict=True))
            if records is not None
        ]
        if most <= SHORTEST or sum(len(text) for _, text in packed) <= PACKED_BUDGET:
            break
        most = max(SHORTEST, most // 2)
    questions = [
        (f"task-{t}", _pack(_questions(loaded[0][name], runs[0].outcomes[name], thumbnails)))
        for t, name in enumerate(names)
    ]
    shown = [(f"images-{t}", thumbnails.of(loaded[0][name].samples)) for t, name in enumerate(names)]
    return Samples(
        index={
            "runs": [clean(run.label) for run in runs],
            "tasks": [
                {
                    "name": short(name),
                    "runs": [run_replies is not None for run_replies in replies[t]],
                }
                for t, name in enumerate(names)
            ],
            "readAs": dict(READ_AS),
        },
        parts=(*questions, *packed),
        thumbnails=tuple(shown),
        notes=(*_notes(runs, tasks, names, replies, most), *thumbnails.notes),
    )


def _records(run: Evaluated, loaded: Mapping[str, Task], name: str) -> _Records | None:
    """Returns a run's records of a task; None if it did not answer the task, or the task was not loaded."""
    if name not in loaded or name not in run.outcomes:
        return None
    journal_answers = answers(RunDir(run.path, run.spec).journal_path(name), run.spec.keys(loaded[name]))
    return {id: record for (id, repeat), record in journal_answers.records.items() if repeat == 0}


def _replies(records: _Records, outcomes: Outcomes, asked: Outcomes, most: int) -> dict[str, Any]:
    """Returns a run's replies to one task, in the order of the first run's samples (`asked`).

    A sample is left empty if this run asked something else under its id.
    """
    rows = {id: row for row, id in enumerate(outcomes.ids)}
    mine, theirs = _contents(outcomes), _contents(asked)
    shown: list[tuple[str | None, str, str | None, float | None]] = []
    reasoning: dict[int, str] = {}
    for index, id in enumerate(asked.ids):
        row = rows.get(id)
        if row is None or id not in records or mine[id] != theirs[id]:
            shown.append((None, "-", None, None))
            continue
        record = records[id]
        number, value = int(outcomes.status[row, 0]), float(outcomes.values[row, 0])
        text = visible(shortened(record.text if record.error is None else record.error, most))
        if record.reasoning:
            reasoning[index] = visible(shortened(record.reasoning, most))
        status = "-" if number == ABSENT else LETTERS[tuple(Status)[number]]
        answer = outcomes.answers[row][0]
        read = None if answer is None else visible(answer[:200])
        shown.append((text, status, read, None if value != value else value))
    return {
        "text": [text for text, *_ in shown],
        "reasoning": reasoning,
        "status": "".join(status for _, status, *_ in shown),
        "answer": [read for _, _, read, _ in shown],
        "value": [value for *_, value in shown],
    }


def _contents(outcomes: Outcomes) -> dict[str, str]:
    """Returns the digest of the group's content, by sample id."""
    owner = [group for group, size in enumerate(outcomes.sizes) for _ in range(int(size))]
    return {id: outcomes.content[group] for id, group in zip(outcomes.ids, owner, strict=True)}


def _questions(task: Task, outcomes: Outcomes, thumbnails: Thumbnails) -> dict[str, Any]:
    samples = {sample.id: sample for sample in task.samples}
    ordered = [samples[id] for id in outcomes.ids]
    asked = [task.question(sample) for sample in ordered]
    places = list(dict.fromkeys(sample.categories for sample in ordered))
    numbers = {place: index for index, place in enumerate(places)}
    index_of_image = {sha: index for index, sha in enumerate(thumbnails.names(task.samples))}
    return {
        "id": [visible(sample.id) for sample in ordered],
        "group": [visible(sample.group) for sample in ordered],
        "roll": [sample.roll for sample in ordered],
        "places": [[visible(place.l1), visible(place.l2), visible(place.l3)] for place in places],
        "place": [numbers[sample.categories] for sample in ordered],
        "question": [visible(question) for question, _ in asked],
        "hint": [visible(hint) for _, hint in asked],
        "options": [[[visible(k), visible(v)] for k, v in sample.choices.items()] for sample in ordered],
        "target": [visible(sample.target) for sample in ordered],
        "images": [[index_of_image[image.sha256] for image in sample.images] for sample in ordered],
    }


def _notes(
    runs: Sequence[Evaluated],
    tasks: Sequence[str],
    names: Sequence[str],
    replies: Sequence[Sequence[_Records | None]],
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
        yield "Only the first of several repeats is shown."


def _pack(value: Any) -> str:
    data = json.dumps(value, separators=(",", ":")).encode("ascii")
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(data) + packer.flush()).decode("ascii")
