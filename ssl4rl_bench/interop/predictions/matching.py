"""Finds the sample of each prediction, and checks by questions and answers that the file is of the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import Sample, Task
from ssl4rl_bench.interop.predictions.contents import differing_content, same_prompt
from ssl4rl_bench.interop.predictions.rows import Prediction, Predictions
from ssl4rl_bench.run.journal import Place

_SHOWN = 3
"""The number of rows that a message names."""
Find = Callable[[Prediction], "Sample | None"]
"""Returns the sample of a prediction by one reading of its ids; None if there is none."""


@dataclass(frozen=True, slots=True)
class Matched:
    """The predictions of a task's samples."""

    predictions: Mapping[Place, Prediction]
    repeats: int
    n_missing: int
    """The number of requests without a prediction."""
    checked: Mapping[str, int] = field(default_factory=dict)
    """The number of rows whose question, options or answer was compared with the task's."""
    same_prompt: bool = False
    """Whether each row has the prompt that the task renders."""
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one reading of the ids gives."""

    samples: Sequence[Sample | None]
    differing: Mapping[str, Mapping[int, str]]
    """Maps what differs ("question", ...) to the numbers of the rows, each with a description."""
    checked: Mapping[str, int]

    @property
    def n_bad(self) -> int:
        """The number of rows without a sample or with another question."""
        rows = {row for rows in self.differing.values() for row in rows}
        return len(rows) + sum(sample is None for sample in self.samples)


def match(task: Task, file: Predictions, *, allow_partial: bool = False) -> Matched:
    """Finds the sample of each prediction.

    Ids are read as ids of samples, and numbers of rows as ids, as positions among the samples, or as positions by
    index; the reading under which most rows have the questions of the task counts.

    Raises:
        DataError: rows have unknown ids or other questions or answers, a request has two replies, or replies are
            missing and `allow_partial` is False.
    """
    readings = [_read(task, file.rows, find) for find in _readings(task, file.rows)]
    best = min(readings, key=lambda reading: reading.n_bad)
    unasked = _unasked(task, file.rows, best)
    _check(task, file, best, unasked)
    if any(not reading.n_bad and reading.samples != best.samples for reading in readings):
        raise DataError(
            f"{file.path} does not say whether its row numbers are ids of {short_name(task.name)} or count its rows, "
            "and has no questions that show it: add a column id"
        )
    placed, notes = _placed(file, best.samples)
    if unasked:
        notes.append(f"{len(unasked)} rows are of questions that {short_name(task.name)} leaves out")
    if not placed:
        raise DataError(f"{file.path} has only rows of questions that {short_name(task.name)} leaves out")
    repeats = max(repeat for _, repeat in placed) + 1
    missing = [
        (sample.id, repeat)
        for sample in task.samples
        for repeat in range(repeats)
        if (sample.id, repeat) not in placed
    ]
    if missing and not allow_partial:
        raise DataError(
            f"{file.path} has no reply to {len(missing)} of {len(task.samples) * repeats} requests of "
            f"{short_name(task.name)} (first: {clean(missing[0][0], 40)}): give the complete file, or import it as a "
            "partial run with --allow-partial"
        )
    prompts = [
        same_prompt(sample, row.prompt)
        for row, sample in zip(file.rows, best.samples, strict=True)
        if sample is not None
    ]
    return Matched(placed, repeats, len(missing), best.checked, all(prompts), notes)


def _readings(task: Task, rows: Sequence[Prediction]) -> Iterator[Find]:
    """Yields the ways in which the rows may name samples, the most literal first."""
    by_id = {sample.id: sample for sample in task.samples}
    if any(row.id is not None for row in rows):
        yield lambda row: None if row.id is None else by_id.get(row.id)
    if all(row.number is not None for row in rows):
        yield lambda row: by_id.get(str(row.number))
        by_index = sorted(task.samples, key=lambda sample: (len(sample.id), sample.id))
        for order in (task.samples, by_index):
            yield lambda row, order=order: (  # type: ignore[misc]
                order[row.number] if row.number is not None and row.number < len(order) else None
            )


def _read(task: Task, rows: Sequence[Prediction], find: Find) -> _Reading:
    samples = [find(row) for row in rows]
    differing: dict[str, dict[int, str]] = {}
    checked: dict[str, int] = {}
    for number, (row, sample) in enumerate(zip(rows, samples, strict=True)):
        if sample is None:
            continue
        for what, difference in differing_content(task, sample, row):
            checked[what] = checked.get(what, 0) + 1
            if difference:
                differing.setdefault(what, {})[number] = difference
    # Answers of all rows that differ, with the right questions, are written in another form than the task's.
    if (
        len(differing.get("answer", ())) == checked.get("answer")
        and "question" in checked.keys() - differing.keys()
    ):
        del differing["answer"], checked["answer"]
    return _Reading(samples, differing, checked)


def _unasked(task: Task, rows: Sequence[Prediction], reading: _Reading) -> frozenset[str]:
    """Returns the places of rows whose questions are in the task's data and are not asked."""
    ids: frozenset[str] = getattr(task, "unasked", frozenset())
    return frozenset(
        row.where
        for row, sample in zip(rows, reading.samples, strict=True)
        if sample is None and row.id in ids
    )


def _check(task: Task, file: Predictions, reading: _Reading, unasked: frozenset[str]) -> None:
    """Raises DataError for rows with unknown ids, or other questions or answers than the task's."""
    name, n_rows = short_name(task.name), len(file.rows)
    rows_and_samples = zip(file.rows, reading.samples, strict=True)
    if unknown := [row for row, sample in rows_and_samples if sample is None and row.where not in unasked]:
        first = ", ".join(f"{row.name} in {row.where}" for row in unknown[:_SHOWN])
        raise DataError(
            f"{file.path} is not of {name}: {len(unknown)} of {n_rows} rows have ids that {name} does not have "
            f"(first: {first}); name the task of the file, or its data with --data"
        )
    for what, rows in reading.differing.items():
        number, difference = next(iter(rows.items()))
        row = file.rows[number]
        raise DataError(
            f"{file.path} is not of {name}: {len(rows)} of {n_rows} rows have another {what}; first: {row.where} (id "
            f"{row.name}) {difference}; name the task of the file, or its data with --data"
        )


def _placed(file: Predictions, samples: Sequence[Sample | None]) -> tuple[dict[Place, Prediction], list[str]]:
    """Returns the prediction of each request; equal ones count once.

    Raises:
        DataError: two predictions of a request differ.
    """
    placed: dict[Place, Prediction] = {}
    n_equal = 0
    for row, sample in zip(file.rows, samples, strict=True):
        if sample is None:
            continue
        before = placed.setdefault((sample.id, row.repeat), row)
        if before is row:
            continue
        if (before.text, before.error, before.reasoning) != (row.text, row.error, row.reasoning):
            raise DataError(
                f"{file.path}, {row.where}: id {row.name} has another reply in {before.where}; remove one of the rows"
            )
        n_equal += 1
    return placed, [f"{n_equal} rows repeat the reply of another row and count once"] if n_equal else []
