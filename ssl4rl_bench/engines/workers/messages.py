"""What the driver and its workers send each other, and what the driver knows about a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ssl4rl_bench.core.errors import BenchError
from ssl4rl_bench.core.types import Completion, Request, Sampling


@dataclass(slots=True)
class WorkUnit:
    """Requests that are sent together because they show the same images."""

    number: int
    """Unique for each time that requests are sent, so that a late answer of a lost worker is recognized."""
    requests: tuple[Request, ...]
    n_deaths: int = 0
    """The number of workers that died while they had these requests."""


@dataclass(slots=True)
class Report:
    """What happened in a worker since its last report."""

    capacity: int
    """The number of requests that its engine takes at once."""
    answers: list[tuple[int, int, Completion]] = field(default_factory=list)
    """(number of the unit, index of the request in it, completion)."""
    failure: BenchError | None = None
    """Why the engine ended; it answers nothing more."""
    drained: bool = False
    """Whether all has been answered that will be, after a drain."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Where a worker runs, and on which software."""

    host: str
    pid: int
    cores: tuple[int, ...]
    """The CPU cores that its process may use, before it gets its share of them."""
    gpus: tuple[str, ...]
    """The names of its GPUs."""
    project: str
    """The version of ssl4rl-bench."""
    engine: str
    """The version of the engine (`types.Engine.version`)."""
    torch: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns the worker's entry in exec.json."""
        return {
            "host": self.host,
            "pid": self.pid,
            "gpus": list(self.gpus),
            "engine": self.engine,
            "torch": self.torch,
        }


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker can take requests. Its engine may still have to load the model, at the first request."""

    worker: int
    report: Report


@dataclass(frozen=True, slots=True)
class Reported:
    """A worker has answered requests, or is drained, or its engine ended."""

    worker: int
    report: Report


@dataclass(frozen=True, slots=True)
class Died:
    """The process of a worker is gone."""

    worker: int
    reason: str
    hopeless: bool = False
    """Whether its successors would die of the same cause."""


Event = Ready | Reported | Died


class Pool(Protocol):
    """Starts workers and exchanges messages with them. Workers are numbered from 0."""

    def launch(self, worker: int) -> None:
        """Starts a worker, in place of an earlier one with this number. Does not wait."""
        ...

    def give(self, worker: int, units: Sequence[WorkUnit], sampling: Sampling) -> None:
        """Sends requests to a worker. Does not wait."""
        ...

    def events(self, timeout_s: float) -> list[Event]:
        """Waits for at least one event, at most for `timeout_s` seconds, and returns all that are known.

        Raises:
            UsageError: a worker has another version of the engine or of ssl4rl-bench than this process.
        """
        ...

    def drain(self) -> None:
        """Makes all workers drop the requests that their engines have not begun."""
        ...

    def kill(self, worker: int) -> None:
        """Ends a worker at once."""
        ...

    def swap(self, model: Any) -> bool:
        """Loads other weights in all workers. Returns False if one of them cannot."""
        ...

    def facts(self) -> dict[int, Facts]:
        """Returns what is known about the workers that were started last, by number."""
        ...

    def measures(self) -> dict[int, dict[str, Any]]:
        """Returns what the engines of the workers report (`capabilities.Measures`), by number."""
        ...

    def close(self) -> None:
        """Ends all workers. Safe to call twice."""
        ...
