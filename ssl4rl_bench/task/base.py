"""What tasks of every kind share, and what a kind has to provide.

A kind of task is a function `load(task_file, asked) -> Task` (`Load`). Its name is what `metadata.kind` of a task
file says; it is found as a module of this package, or by an entry point `ssl4rl_bench.tasks` of another package.
Everything else (runs, scores, tables, comparisons, the gate, pages) works on `types.Task` and knows no kinds.
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
"""Right replies as models write them."""


@dataclass(frozen=True)
class Asked:
    """How a user wants a task loaded (`registry.load_task` says what each means)."""

    data: str | None = None
    prompt: str | None = None
    skip_bad: bool = False
    limit: int | None = None
    commit: str | None = None
    on_share: Callable[[float], None] | None = None


Load: TypeAlias = Callable[[TaskFile, Asked], Task]
"""Loads a task of one kind: samples ready to be sent; images stay encoded.

It raises UsageError for what the user can set right in the command or the task file, DataError for data that cannot
be used.
"""


@dataclass(frozen=True, kw_only=True)
class LoadedTask(ABC):
    """The members that a task of any kind has (`types.Task`); a kind adds `content`, `question` and `score`."""

    name: str
    version: str
    prompt: str
    source: str
    samples: tuple[Sample, ...] = field(repr=False)
    """Those of a group stand together."""
    sampling: Sampling
    data_sha256: str
    warnings: tuple[str, ...] = ()
    partial_reasons: tuple[str, ...] = ()
    n_groups_skipped: int = 0
    image: str = "real"
    hub: HubSource | None = None

    @property
    def n_groups(self) -> int:
        return len({sample.group for sample in self.samples})

    @property
    def probe(self) -> ProbeInfo | None:
        """It is a benchmark."""
        return None

    def counts(self) -> dict[str, dict[str, int]]:
        """Groups by category of each level, in the order in which they come."""
        places = {sample.group: sample.categories for sample in self.samples}.values()
        return {
            level: dict(Counter(getattr(place, level) for place in places)) for level in ("l1", "l2", "l3")
        }

    def showing(self, samples: Sequence[Sample], image: str) -> Self:
        return dataclasses.replace(self, samples=tuple(samples), image=image)

    def drawing(self, sampling: Sampling) -> Self:
        return dataclasses.replace(self, sampling=sampling)

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """The right answer as models write it, and nothing that must be wrong."""
        return (form.format(answer=sample.target) for form in GOLD_REPLIES), ()

    def defects(self) -> Iterator[str]:
        """Nothing more to check."""
        return iter(())

    @abstractmethod
    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """See `types.Task`."""

    @abstractmethod
    def content(self, sample: Sample) -> list[Any]:
        """See `types.Task`."""

    def question(self, sample: Sample) -> tuple[str, str]:
        """The prompt, with a mark where a picture stands; there is no hint."""
        return sample.text("[image]", "[video]"), ""
