"""Loads the two sides of an explanation: a run, and another run, a published row, or a single number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.explaining.reply_facts import ReplyFacts, reply_facts
from ssl4rl_bench.comparison.explaining.visual_tokens import image_sizes
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated, labelled, marked, shared_groups
from ssl4rl_bench.comparison.published import (
    AVERAGE,
    PublishedRow,
    PublishedTable,
    load_published,
    names,
)
from ssl4rl_bench.comparison.settings import Setting, settings
from ssl4rl_bench.core.errors import BenchError, UsageError, did_you_mean
from ssl4rl_bench.core.names import full_name, short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RUNS, RunDir, open_run
from ssl4rl_bench.score.outcomes import Outcomes, outcomes_of
from ssl4rl_bench.score.reload import reload_tasks
from ssl4rl_bench.score.scores import ABSENT
from ssl4rl_bench.score.scoring import outcomes_of_run, scored_samples
from ssl4rl_bench.task.registry import per_task

_FAMILY = re.compile(r"ssl4rl_mmbench_")
"""Tasks whose names begin in this way are editions of one benchmark."""


@dataclass(frozen=True, eq=False)
class RunSide:
    """A task of a run, complete or not."""

    evaluated: Evaluated
    task: str
    data: Mapping[str, str]
    """The new locations of data that have moved, by task."""
    observer: Observer = SILENT

    @property
    def label(self) -> str:
        """The label of the run, which differs from that of the other side."""
        return self.evaluated.label

    @property
    def rundir(self) -> RunDir:
        """The directory of the run."""
        return RunDir(self.evaluated.path, self.evaluated.spec)

    @property
    def outcomes(self) -> Outcomes:
        """The outcomes of the task, as the run's result has them."""
        return self.evaluated.task(self.task)

    @cached_property
    def settings(self) -> dict[str, Setting]:
        """The settings of the task (`comparison.settings.settings`)."""
        return settings(self.evaluated.spec, self.evaluated.result, self.outcomes)

    @cached_property
    def facts(self) -> ReplyFacts:
        """Facts about the replies."""
        return reply_facts(self.rundir, self.task)

    @cached_property
    def image_sizes(self) -> list[tuple[int, int]] | None:
        """The sizes of the run's images (`visual_tokens.image_sizes`)."""
        return image_sizes(self.rundir)

    @property
    def partial_reasons(self) -> list[str]:
        """Why the run does not cover its benchmark, one phrase per reason."""
        reasons = map(str, self.evaluated.result.get("partial_reasons", ()))
        return [text.partition(": ")[2] for text in reasons if text.startswith(f"{self.task}:")]

    @cached_property
    def loaded(self) -> Task:
        """The task with its samples, which re-reading needs.

        Raises:
            UsageError, DataError: it cannot be loaded again; `unreadable` catches these.
        """
        return reload_tasks(self.rundir, self.data, [self.task], self.observer)[0]

    @cached_property
    def unreadable(self) -> str | None:
        """Why the replies cannot be read again; None if they can."""
        if not self.facts.n:
            return "its journal is missing"
        try:
            self.reread("default")
        except BenchError as error:
            return str(error)
        return None

    def reread(self, extractor: str) -> Outcomes:
        """Returns the outcomes of the same replies, read by another extractor (full name).

        Raises:
            UsageError, DataError, StoreError: the task cannot be loaded again, or differs from the one asked.
        """
        if extractor not in self._reread:
            scored = scored_samples(self.rundir, self.loaded, extractor)
            outcomes = outcomes_of(self.loaded, scored, extractor, self.evaluated.spec.repeats)
            self._reread[extractor] = outcomes
        return self._reread[extractor]

    @cached_property
    def _reread(self) -> dict[str, Outcomes]:
        return {}


@dataclass(frozen=True, eq=False)
class PublishedSide:
    """A row of a published table, or a single published number."""

    label: str
    row: PublishedRow
    benchmark: tuple[str, ...]
    """Full names of the tasks that the numbers belong to; empty for a single number, which names none."""
    settings: Mapping[str, Any]
    """The settings that the source states, by name."""
    settings_source: str
    """Where they are stated."""
    columns: tuple[str, ...]
    """The names of the columns that have a number, `AVERAGE` among them or not."""
    precision: float
    """The unit of the last printed digit, as a fraction."""

    def stating(self, name: str, value: Any) -> PublishedSide:
        """Returns a copy whose source also states a setting."""
        return replace(self, settings={**self.settings, name: value})


def open_sides(
    run: Path,
    against: str | Path,
    task: str | None,
    data: Sequence[str] = (),
    observer: Observer = SILENT,
) -> tuple[RunSide, RunSide | PublishedSide]:
    """Loads both sides and chooses the task.

    Args:
        against: a run directory or its name below runs/; a published table's name or file, with ":ROW" if it
            has several rows; or a number in percent.
        data: values of `--data`.

    Raises:
        UsageError: an unknown name, no common task, or a choice of tasks; a run without replies.
        StoreError, DataError: a run or a table cannot be read.
    """
    opened = open_run(run)
    text = str(against)
    if isinstance(against, Path) or Path(text).is_dir() or (RUNS / text).is_dir():
        second = open_run(Path(against))
        moved = _moved(data, opened, second)
        mine, other = (_evaluated(one, moved, observer) for one in (opened, second))
        paths = [mine.path, other.path]
        labels = labelled([mine.spec, other.spec], paths)
        if labels[0] == labels[1]:  # a run against itself
            labels[1] += " (the same run)"
        mine, other = replace(mine, label=labels[0]), replace(other, label=labels[1])
        one, two = _common_tasks(mine, other, task)
        sides = RunSide(mine, one, moved, observer), RunSide(other, two, moved, observer)
        for side in sides:
            _check_answered(side)
        return sides
    moved = _moved(data, opened)
    published = _published(text, opened.spec.model)
    mine = _evaluated(opened, moved, observer)
    side = RunSide(mine, _published_task(mine, published, task), moved, observer)
    _check_answered(side)
    return side, published


def _moved(data: Sequence[str], *runs: RunDir) -> dict[str, str]:
    """Returns the new location of each task's data. Raises UsageError if a value belongs to none of them."""
    return dict(per_task(data, list(dict.fromkeys(name for run in runs for name in run.spec.tasks))))


def _evaluated(run: RunDir, moved: Mapping[str, str], observer: Observer) -> Evaluated:
    """Loads a run as `load_evaluated` does, or scores the replies of one that is not complete."""
    of_run = {name: place for name, place in moved.items() if name in run.spec.tasks}
    if run.result_path.exists():
        return load_evaluated([run.path], [f"{name}={place}" for name, place in of_run.items()], observer)[0]
    tasks = reload_tasks(run, of_run, observer=observer)
    outcomes = outcomes_of_run(run, tasks)
    reasons = [f"{task.name}: {reason}" for task in tasks for reason in task.partial_reasons]
    for name, task_outcomes in outcomes.items():
        if missing := int((task_outcomes.status == ABSENT).sum()):
            reasons.append(f"{name}: {missing} of {task_outcomes.status.size} replies are missing")
    result = {"model": run.spec.to_json()["model"], "partial_reasons": reasons}
    return Evaluated(marked(run.spec.model, run.spec), run.path, run.spec, result, outcomes)


def _check_answered(side: RunSide) -> None:
    outcomes = side.outcomes
    if (outcomes.status == ABSENT).all():
        raise UsageError(
            f"run {side.evaluated.path} has no replies to {short_name(side.task)}: repeat its `run` command first"
        )
    if not outcomes.counted.any():
        raise UsageError(
            f"run {side.evaluated.path} has no question of {short_name(side.task)} that is answered in all copies: "
            "repeat its `run` command first"
        )


def _common_tasks(one: Evaluated, two: Evaluated, task: str | None) -> tuple[str, str]:
    """Returns the task of each run: the same, or two that have questions in common."""
    if task is not None:
        name = full_name(task)
        one.task(name)
        return name, name if name in two.outcomes else _overlapping(one, two, [name])[1]
    shared = [name for name in one.outcomes if name in two.outcomes]
    if not shared:
        return _overlapping(one, two, list(one.outcomes))
    benchmarks = [name for name in shared if one.outcomes[name].probe is None] or shared
    if len(benchmarks) > 1:
        raise UsageError(
            f"{one.label} and {two.label} share several tasks: name one with --task "
            f"({', '.join(map(short_name, shared))})"
        )
    return benchmarks[0], benchmarks[0]


def _overlapping(one: Evaluated, two: Evaluated, names_of_one: Sequence[str]) -> tuple[str, str]:
    pairs = {
        (mine, theirs): len(shared_groups(one.outcomes[mine], two.outcomes[theirs]))
        for mine in names_of_one
        for theirs in two.outcomes
    }
    best = max(pairs, key=lambda pair: pairs[pair])
    if not pairs[best] and not all(map(_FAMILY.match, best)):
        asked = "; ".join(f"{run.label}: {', '.join(map(short_name, run.outcomes))}" for run in (one, two))
        raise UsageError(f"the runs share no task and no question ({asked}): evaluate them on the same task")
    return best


def _published(text: str, model: str) -> PublishedSide:
    number = re.fullmatch(r"(\d{1,3}(?:\.(\d{1,6}))?)\s*%?", text.strip())
    if number:
        value = float(number[1]) / 100.0
        if value > 1.0:
            raise UsageError(f"--against {text} is not a percentage from 0 to 100")
        row = PublishedRow(text, model, {AVERAGE: value})
        return PublishedSide(
            f"the number {number[1]}", row, (), {}, "", (AVERAGE,), 0.01 * 10.0 ** -len(number[2] or "")
        )
    name, _, row_name = text.rpartition(":") if ":" in text else (text, "", "")
    if not name.endswith(".json") and name not in names():
        runs = [path.name for path in RUNS.iterdir()] if RUNS.is_dir() else []
        raise UsageError(
            f"--against {clean(text)} is neither a run nor a published table (there are {', '.join(names())}), nor a "
            f"number in percent{did_you_mean(name, [*names(), *runs])}"
        )
    table = load_published(name)
    row = table.row(row_name) if row_name else _row_of(table, model, name)
    columns = tuple(column for column in table.columns if column in row.values)
    if not columns:
        raise UsageError(
            f"the row {clean(row.name)} of {clean(table.title)} has no numbers: name another row"
        )
    label = f"{clean(row.name)} ({clean(table.title)})"
    return PublishedSide(
        label, row, table.benchmark, table.settings, table.settings_source, columns, _precision(row)
    )


def _row_of(table: PublishedTable, model: str, name: str) -> PublishedRow:
    """Returns the row of the model, or the only row."""
    rows = [row for row in table.rows if model in (row.model, row.name)]
    rows = rows or [row for row in table.rows if Path(row.model).name == Path(model).name]
    if len(rows) == 1 or len(table.rows) == 1:
        return (rows or table.rows)[0]
    known = ", ".join(clean(row.name) for row in table.rows)
    raise UsageError(
        f"{clean(table.title)} has several rows, and not exactly one of the model {clean(model)}: name one, as in "
        f"--against {clean(name)}:{clean(table.rows[0].name)} ({known})"
    )


def _precision(row: PublishedRow) -> float:
    """Returns the unit of the last printed digit of a row, at most two digits after the point of a percentage."""
    percents = [round(100.0 * value, 6) for value in row.values.values()]
    digits = next((digits for digits in (0, 1) if all(round(p, digits) == p for p in percents)), 2)
    return 0.01 * 10.0**-digits


def _published_task(run: Evaluated, published: PublishedSide, task: str | None) -> str:
    if task is not None:
        run.task(full_name(task))
    wanted = [full_name(task)] if task is not None else list(run.outcomes)
    benchmarks = [name for name in wanted if run.outcomes[name].probe is None]
    same = [name for name in benchmarks if name in published.benchmark] if published.benchmark else benchmarks
    editions = [
        name for name in benchmarks if _FAMILY.match(name) and any(map(_FAMILY.match, published.benchmark))
    ]
    choice = same or editions
    if not choice:
        listed = ", ".join(map(short_name, published.benchmark)) or "a benchmark"
        raise UsageError(
            f"{published.label} belongs to {listed}, and run {run.path} has "
            f"{', '.join(map(short_name, wanted))}: evaluate the model on the same benchmark"
        )
    if len(choice) > 1:
        raise UsageError(
            f"run {run.path} has several benchmarks: name one with --task ({', '.join(map(short_name, choice))})"
        )
    return choice[0]
