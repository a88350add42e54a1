"""Loads the two sides of an explanation: a run, and another run, a published row, or a single number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ssl4rl_bench.comparison.explaining.published_side import PublishedSide, published_side
from ssl4rl_bench.comparison.explaining.reply_facts import ReplyFacts, reply_facts
from ssl4rl_bench.comparison.explaining.visual_tokens import image_sizes
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated, labelled, marked, shared_groups
from ssl4rl_bench.comparison.settings import Setting, settings
from ssl4rl_bench.core.errors import BenchError, UsageError
from ssl4rl_bench.core.names import full_name, short_name
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
    published = published_side(text, opened.spec.model)
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
            f"{one.label} and {two.label} share several tasks: name one with --tasks "
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
            f"run {run.path} has several benchmarks: name one with --tasks ({', '.join(map(short_name, choice))})"
        )
    return choice[0]
