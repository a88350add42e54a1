"""Two runs of a task, group by group: which groups both answered, and why they must not be compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.errors import UsageError, did_you_mean
from ssl4rl_bench.outcomes import Outcomes
from ssl4rl_bench.spec import RunSpec

MISMATCHES: Mapping[str, str] = {
    "partial": "a run that is not of the whole benchmark, or not all answered",
    "version": "another version of the task",
    "data": "other questions under the same version",
    "prompt": "another prompt style",
    "extractor": "replies read by another extractor",
    "image": "images blanked, shuffled or left out in one run only",
    "sampling": "other sampling settings, as greedy and drawn at random",
    "scheme": "weights fingerprinted by another scheme than this version's",
}
"""What two runs must have in common, unless a user says otherwise, and what it means that they have not."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A complete run, as comparisons see it."""

    label: str
    """What tables call it."""
    path: Path
    spec: RunSpec
    result: Mapping[str, Any]
    outcomes: Mapping[str, Outcomes]
    """By task."""

    def task(self, name: str) -> Outcomes:
        """Raises UsageError for a task that the run does not have."""
        if name not in self.outcomes:
            raise UsageError(
                f"run {self.path} has no task {name} (it has {', '.join(self.outcomes)})"
                f"{did_you_mean(name, self.outcomes)}"
            )
        return self.outcomes[name]


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """The groups that both runs answered, in the baseline's order."""

    baseline: Outcomes
    candidate: Outcomes
    left: NDArray[np.intp]
    """(groups,) positions in `baseline`."""
    right: NDArray[np.intp]
    """(groups,) positions in `candidate`."""
    n_baseline: int
    """Groups that the baseline answered."""
    n_candidate: int
    notes: tuple[str, ...]
    """What a reader of the difference must know, a sentence each."""

    @property
    def n(self) -> int:
        return len(self.left)


def check_allowed(names: Collection[str]) -> frozenset[str]:
    """Raises UsageError for a mismatch that there is not."""
    for name in names:
        if name not in MISMATCHES:
            raise UsageError(
                f"--allow {name} is unknown (known: {', '.join(MISMATCHES)}){did_you_mean(name, MISMATCHES)}"
            )
    return frozenset(names)


def pair(baseline: Evaluated, candidate: Evaluated, task: str, allow: Collection[str] = ()) -> Pairing:
    """Matches the groups of two runs by content, those with the same content in order.

    Args:
        allow: names of `MISMATCHES` to compare in spite of, with a note.

    Raises:
        UsageError: the runs must not be compared, or have no question in common; names the reason and the way out.
    """
    allowed = check_allowed(allow)
    one, two = baseline.task(task), candidate.task(task)
    notes = []
    for name, reason in _mismatches(baseline, candidate, task):
        if name not in allowed:
            raise UsageError(
                f"{candidate.label} and {baseline.label} cannot be compared on {_short(task)}: {reason}; "
                f"repeat one of the runs, or give --allow {name}"
            )
        notes.append(f"{candidate.label} and {baseline.label} differ: {reason}.")
    keys, others = _keys(one), _keys(two)
    answered, also = np.any(one.passes, axis=1).tolist(), np.any(two.passes, axis=1).tolist()
    at = {key: place for place, key in enumerate(others)}
    both = [
        (place, at[key]) for place, key in enumerate(keys) if key in at and answered[place] and also[at[key]]
    ]
    n_one, n_two = sum(answered), sum(also)
    if not both:
        raise UsageError(
            f"{candidate.label} and {baseline.label} share no answered question of {_short(task)}: "
            "evaluate both on the same data"
        )
    if len(both) < max(len(keys), len(others)):
        notes.append(
            f"{len(both)} questions were answered by both {baseline.label} ({n_one} of {len(keys)}) and "
            f"{candidate.label} ({n_two} of {len(others)}); the difference is over these."
        )
    left, right = np.array(both, np.intp).T
    return Pairing(one, two, left, right, n_one, n_two, tuple(notes))


def _mismatches(baseline: Evaluated, candidate: Evaluated, task: str) -> Iterator[tuple[str, str]]:
    one, two = baseline.task(task), candidate.task(task)
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
    for name in ("version", "prompt", "extractor", "image"):
        mine, theirs = getattr(one, name), getattr(two, name)
        if mine != theirs:
            yield name, f"{MISMATCHES[name]} ({theirs} and {mine})"
    if one.version == two.version and one.data_sha256 != two.data_sha256 and not partial:
        counts, n_same = (len(two.content), len(one.content)), len(set(one.content) & set(two.content))
        if n_same < max(counts):
            yield "data", f"{MISMATCHES['data']} ({n_same} of {counts[0]} and {counts[1]} are the same)"
    mine, theirs = baseline.spec.tasks[task].sampling, candidate.spec.tasks[task].sampling
    if (mine.temperature > 0) != (theirs.temperature > 0):
        yield (
            "sampling",
            (f"{MISMATCHES['sampling']} (temperature {theirs.temperature:g} and {mine.temperature:g})"),
        )


def not_comparable(run: Evaluated) -> str | None:
    """Why a run or baseline file is not comparable with any other, and what renews it; None if it is comparable."""
    is_file = run.path.is_file()
    why = run.spec.not_comparable(*([] if is_file else [str(run.path)]))
    if why is not None and is_file:
        why += f", then ssl4rl-bench gate --candidate NEW --save-baseline {run.path}"
    return why


def _keys(outcomes: Outcomes) -> list[tuple[str, int]]:
    """A group's content, and which of those with that content it is."""
    seen: Counter[str] = Counter()
    keys = []
    for content in outcomes.content:
        keys.append((content, seen[content]))
        seen[content] += 1
    return keys


def labels(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """What to call runs: the model's name, of a folder its last part, with the run's folder where that occurs twice.

    A training's "step-000150" is called with the folder it is in.
    """
    short = []
    for name in names:
        parts = Path(name).parts
        last = (
            parts[-2:] if len(parts) > 2 and re.fullmatch(r"(step|checkpoint)-\d+", parts[-1]) else parts[-1:]
        )
        short.append(name if len(parts) <= 2 else "/".join(last))
    count = Counter(short)
    return [
        name if count[name] == 1 else f"{name} ({path.name})" for name, path in zip(short, paths, strict=True)
    ]


def _short(task: str) -> str:
    return task.removeprefix("ssl4rl_")
