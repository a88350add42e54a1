"""Pairs two runs of a task group by group, and refuses runs that must not be compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.settings import (
    check_allowed,
    setting_differences,
    settings,
    software,
    unrecorded,
)
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.run.spec import REPLAY, RunSpec
from ssl4rl_bench.score.headline import is_corpus_only
from ssl4rl_bench.score.outcomes import Outcomes

_CHECKPOINT = re.compile(r"(step|checkpoint)-\d+|global_step_\d+")
_UNKNOWN = "unknown settings of "
"""The beginning of the description of a setting that an imported run does not know."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A complete run, with what comparisons need."""

    label: str
    """The name of the run in tables."""
    path: Path
    spec: RunSpec
    result: Mapping[str, Any]
    outcomes: Mapping[str, Outcomes]
    """The outcomes by task name, without those of `corpus`."""
    without_scores: Mapping[str, Outcomes] = field(default_factory=dict)
    """The outcomes of the tasks of `corpus`."""

    @property
    def corpus(self) -> dict[str, Mapping[str, Any]]:
        """The metrics of tasks that have only metrics of the whole corpus, by task (`comparison.corpus`)."""
        tasks = self.result.get("tasks", {})
        return {name: task["metrics"] for name, task in tasks.items() if is_corpus_only(task)}

    def task(self, name: str) -> Outcomes:
        """Returns the outcomes of a task.

        Raises:
            UsageError: the run does not have it, or its replies have no scores.
        """
        if name in self.without_scores:
            metrics = ", ".join(self.corpus.get(name, ()))
            raise UsageError(
                f"{short_name(name)} has no score per question, which this needs, only metrics of the whole corpus "
                f"({metrics}): `compare` and `report` show them with bootstrap intervals"
            )
        if name not in self.outcomes:
            raise UsageError(
                f"run {self.path} has no task {name} (it has {', '.join(self.outcomes)})"
                f"{did_you_mean(name, self.outcomes)}"
            )
        return self.outcomes[name]

    def asked(self, name: str) -> Outcomes:
        """Returns the outcomes of a task, also if its replies have no scores. Raises as `task`."""
        return self.without_scores[name] if name in self.without_scores else self.task(name)


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """The groups that both runs answered, in the baseline's order."""

    baseline: Outcomes
    candidate: Outcomes
    left: NDArray[np.intp]
    """Indices into the groups of `baseline`, shape (groups,)."""
    right: NDArray[np.intp]
    """Indices into the groups of `candidate`, shape (groups,)."""
    left_out: NDArray[np.intp]
    """Indices into both, shape (groups left out, 2): asked in both runs, without a value in at least one."""
    notes: tuple[str, ...]
    """Notes for readers of the difference, one sentence per note."""


class SettingsDiffer(UsageError):
    """Runs differ in settings that are not allowed. The message names the option `--allow`."""

    def __init__(self, problem: str, names: tuple[str, ...]) -> None:
        super().__init__(f"{problem}: --allow {','.join(names)}")
        self.problem = problem
        """The message without the option."""
        self.names = names
        """The settings, as `settings.NAMES` calls them."""


def pair(baseline: Evaluated, candidate: Evaluated, task: str, allow: Collection[str] = ()) -> Pairing:
    """Matches the groups of two runs by content. Groups with the same content are matched in order.

    Args:
        allow: names from `settings.NAMES` in which the runs may differ; a note then reports the differences.

    Raises:
        UsageError: the runs must not be compared, or share no question; says why and what to do.
    """
    allowed = check_allowed(allow)
    one, two = baseline.task(task), candidate.task(task)
    notes = [*check_settings(baseline, candidate, task, allowed), *_other_notes(baseline, candidate, task)]
    answered, also = one.counted, two.counted
    shared = shared_groups(one, two)
    both = answered[shared[:, 0]] & also[shared[:, 1]]
    n = int(both.sum())
    if not n:
        raise UsageError(
            f"{candidate.label} and {baseline.label} share no answered question of {short_name(task)}: "
            "evaluate both on the same data"
        )
    if n < max(answered.size, also.size):
        notes.append(
            f"{n} questions were answered by both {baseline.label} ({answered.sum()} of {answered.size}) and "
            f"{candidate.label} ({also.sum()} of {also.size}); the difference is over these."
        )
    left, right = shared[both].T
    return Pairing(one, two, left, right, shared[~both], tuple(notes))


def check_settings(
    baseline: Evaluated, candidate: Evaluated, task: str, allowed: Collection[str]
) -> list[str]:
    """Returns a note on the differences of two runs' settings that are allowed.

    Raises:
        UsageError: runs of the mock and of another engine.
        SettingsDiffer: a difference that is not allowed.
    """
    names = f"{candidate.label} and {baseline.label}"
    refusal = f"{names} cannot be compared on {short_name(task)}"
    if baseline.spec.mocked is not candidate.spec.mocked:
        made_up = baseline if baseline.spec.mocked else candidate
        raise UsageError(
            f"{refusal}: the replies of {made_up.label} are generated by the mock engine; a mock run is compared "
            "only with mock runs"
        )
    mismatches = list(_mismatches(baseline, candidate, task))
    refused = [(name, reason) for name, reason in mismatches if name not in allowed]
    if refused:
        reasons = _joined(refused)
        raise SettingsDiffer(
            f"{refusal}: {reasons}; repeat one of the runs, or allow it by name",
            tuple(dict.fromkeys(name for name, _ in refused)),
        )
    return [f"{names} differ, as allowed: {_joined(mismatches)}."] if mismatches else []


def _mismatches(baseline: Evaluated, candidate: Evaluated, task: str) -> Iterator[tuple[str, str]]:
    """Yields the name and the description of each difference, with the candidate's value first."""
    one, two = baseline.asked(task), candidate.asked(task)
    for run in (candidate, baseline):
        if (why := not_comparable(run)) is not None:
            yield "scheme", f"{run.label} is not comparable: {why}"
    partial = {
        run.label: reason.partition(": ")[2]
        for run in (candidate, baseline)
        for reason in map(str, run.result.get("partial_reasons", ()))
        if reason.startswith(f"{task}:")
    }
    for label, reason in partial.items():
        yield "partial", f"{label} is partial ({reason})"
    new, old = (settings(run.spec, run.result, run.asked(task)) for run in (candidate, baseline))
    yield from setting_differences(new, old)
    for name in new:
        if runs := [
            run.label for run, known in ((candidate, new), (baseline, old)) if known[name].is_unknown
        ]:
            yield name, f"{_UNKNOWN}{' and of '.join(runs)}"
    if one.version == two.version and one.data_sha256 != two.data_sha256 and not partial:
        counts, n_same = (len(two.content), len(one.content)), len(set(one.content) & set(two.content))
        if n_same < max(counts):
            yield (
                "data",
                f"other questions under the same version ({n_same} of {counts[0]} and {counts[1]} are the same)",
            )


def _joined(mismatches: Sequence[tuple[str, str]]) -> str:
    """Joins the descriptions of differences. Settings that are unknown in the same runs are named together."""
    unknown: dict[str, list[str]] = {}
    for name, reason in mismatches:
        if reason.startswith(_UNKNOWN):
            unknown.setdefault(reason, []).append(name)
    reasons = [reason for _, reason in mismatches if reason not in unknown]
    return ", ".join([*reasons, *(f"{reason}: {', '.join(names)}" for reason, names in unknown.items())])


def _other_notes(baseline: Evaluated, candidate: Evaluated, task: str) -> Iterator[str]:
    """Yields notes on what does not prevent a comparison but must be reported to readers."""
    one, two = baseline.spec, candidate.spec
    if software(one) != software(two) or one.imported is not None:
        yield f"{candidate.label} ran on {software(two)}, {baseline.label} on {software(one)}."
    if one.seed != two.seed and one.imported is None and two.imported is None:
        yield f"{candidate.label} was sampled with seed {two.seed}, {baseline.label} with {one.seed}."
    for run in (baseline, candidate):
        if run.spec.engine == REPLAY:
            yield f"{run.label} replays recorded replies: its settings are those of the replay, not of the recording."
        if missing := unrecorded(run.spec, settings(run.spec, run.result, run.asked(task))):
            yield f"{run.label} did not record its {' and its '.join(missing)}, which may differ."


def not_comparable(run: Evaluated) -> str | None:
    """Explains why a run or baseline file is comparable with no other, and what renews it; else None."""
    is_file = run.path.is_file()
    why = run.spec.not_comparable(*([] if is_file else [str(run.path)]))
    if why is not None and is_file:
        why += f", then ssl4rl-bench gate --candidate NEW --save-baseline {run.path}"
    return why


def shared_groups(one: Outcomes, two: Outcomes) -> NDArray[np.intp]:
    """Returns the indices of the same questions in both, in the order of the first, shape (questions, 2)."""
    if one.content == two.content:
        return np.repeat(np.arange(len(one.content), dtype=np.intp)[:, None], 2, axis=1)
    places = {key: place for place, key in enumerate(_keys(two))}
    pairs = [(place, places[key]) for place, key in enumerate(_keys(one)) if key in places]
    return np.array(pairs, np.intp).reshape(-1, 2)


def _keys(outcomes: Outcomes) -> list[tuple[str, int]]:
    """Returns the key of each group: its content, and its index among the groups with this content."""
    if len(set(outcomes.content)) == len(outcomes.content):
        return [(content, 0) for content in outcomes.content]
    seen: Counter[str] = Counter()
    keys = []
    for content in outcomes.content:
        keys.append((content, seen[content]))
        seen[content] += 1
    return keys


def labels(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Returns the labels of runs: the name of the model, or only its last part if it is a longer path.

    A training checkpoint ("step-000150", "global_step_150/actor/huggingface") keeps its parent folder. Duplicates
    get the run's folder in brackets.
    """
    short = []
    for model in names:
        name, parts = model, Path(model).parts
        if len(parts) > 2:
            if parts[-1] == "huggingface":  # where verl and EasyR1 put the weights of a checkpoint
                parts = parts[: -2 if parts[-2] == "actor" else -1]
            name = "/".join(parts[-2 if _CHECKPOINT.fullmatch(parts[-1]) else -1 :])
        short.append(name)
    count = Counter(short)
    return [
        name if count[name] == 1 else f"{name} ({path.name})" for name, path in zip(short, paths, strict=True)
    ]


def labelled(specs: Sequence[RunSpec], paths: Sequence[Path]) -> list[str]:
    """Returns the `labels` of runs. Runs that asked no model and shards are marked, as in "gold (mock)"."""
    names = labels([spec.model for spec in specs], paths)
    return [marked(name, spec) for name, spec in zip(names, specs, strict=True)]


def marked(label: str, spec: RunSpec) -> str:
    """Adds the mark of a run that asked no model, or of a shard, to its label, unless it already has it."""
    mark = f" ({spec.qualifier})" if spec.qualifier else ""
    return label if label.endswith(mark) else label + mark


def unmarked(run: Evaluated) -> str:
    """Returns the label of a run without its mark."""
    return run.label.removesuffix(f" ({run.spec.qualifier})")
