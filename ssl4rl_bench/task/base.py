"""The interface that a kind of task implements, and the base class that all kinds share.

A kind of task is a function `load(task_file, asked) -> Task` (`Load`). Its name is the `metadata.kind` of a
task file. It is looked up as a module of this package, then as an entry point `ssl4rl_bench.tasks` of another
package. Everything else (runs, scores, tables, comparisons, the gate, pages) works on `types.Task`, whatever
its kind.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from ssl4rl_bench.core.types import Completion, HubSource, ProbeInfo, Sample, Sampling, Score, Task
from ssl4rl_bench.task.taskfile import TaskFile

GOLD_REPLIES = (
    "<think>I look at the image.</think> <answer>{answer}</answer>",
    "The answer is {answer}.",
    "{answer}",
)
"""Templates of right replies, in the forms that models write."""


@dataclass(frozen=True)
class LoadOptions:
    """The user's options for loading a task; `registry.load_task` documents each field."""

    data: str | None = None
    prompt: str | None = None
    skip_bad: bool = False
    limit: int | None = None
    commit: str | None = None
    on_share: Callable[[float], None] | None = None


Load: TypeAlias = Callable[[TaskFile, LoadOptions], Task]
"""Loads a task of one kind: its samples are ready to be sent, and their images stay encoded.

It raises UsageError for an error that the user can correct in the command or the task file, and DataError for
data that cannot be used.
"""


@dataclass(frozen=True, kw_only=True)
class LoadedTask(ABC):
    """The members of `types.Task` that all kinds share. A kind adds `content` and `score`."""

    name: str
    version: str
    prompt: str
    source: str
    samples: tuple[Sample, ...] = field(repr=False)
    """Samples of the same group are adjacent."""
    sampling: Sampling
    data_sha256: str
    warnings: tuple[str, ...] = ()
    partial_reasons: tuple[str, ...] = ()
    n_groups_skipped: int = 0
    columns: tuple[tuple[str, str], ...] = ()
    """The abilities in the order of the tables' columns, each with its header (`TaskFile.columns`)."""
    image: str = "real"
    hub: HubSource | None = None

    @property
    def n_groups(self) -> int:
        return len({sample.group for sample in self.samples})

    @property
    def probe(self) -> ProbeInfo | None:
        """None, because the task is a benchmark and not a probe."""
        return None

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns the number of groups in each category of each level, in the order of first appearance."""
        places = {sample.group: sample.categories for sample in self.samples}.values()
        return {
            level: dict(Counter(getattr(place, level) for place in places)) for level in ("l1", "l2", "l3")
        }

    def showing(self, samples: Sequence[Sample], image: str) -> Self:
        return dataclasses.replace(self, samples=tuple(samples), image=image)

    def drawing(self, sampling: Sampling) -> Self:
        return dataclasses.replace(self, sampling=sampling)

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """Returns the right answer in the forms of `GOLD_REPLIES`, and no replies that must score 0."""
        return (form.format(answer=sample.target) for form in GOLD_REPLIES), ()

    def defects(self) -> Iterator[str]:
        """Yields nothing: there are no further checks by default."""
        return iter(())

    @abstractmethod
    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """See `types.Task`."""

    @abstractmethod
    def content(self, sample: Sample) -> list[Any]:
        """See `types.Task`."""

    def question(self, sample: Sample) -> tuple[str, str]:
        """Returns the prompt, with a marker in place of each image or video, and an empty hint."""
        return sample.text("[image]", "[video]"), ""
