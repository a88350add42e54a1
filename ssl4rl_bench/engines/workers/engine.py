"""`WorkersEngine`: several engines of one kind as one, each in a worker on Ray."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import EngineError, UsageError
from ssl4rl_bench.core.types import Completion, Engine, Message, Request, Sampling, Task
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.workers.messages import Died, Event, Pool, Ready
from ssl4rl_bench.engines.workers.scheduler import WorkScheduler
from ssl4rl_bench.engines.workers.slots import State

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

_WAIT_S = 0.2
"""The longest wait for events, after which a signal is noticed, in seconds."""

log = logging.getLogger(__name__)


class WorkersEngine:
    """Answers requests on `options.workers` workers. Replies, name and version are those of one engine.

    Workers pull: each has as many requests in flight as its engine takes and some more, but no more than its share of
    what is left. A worker that dies is replaced, and its requests are sent again.

    Args:
        engine: an engine as the workers will create it, which is not used to answer requests.
        model: the checkpoint.
        options: the options of the engines; `workers`, `ray_address` and `tensor_parallel_size` also apply here.
    """

    def __init__(self, engine: Engine, model: Model | None, options: EngineOptions) -> None:
        self._inner = engine
        self._model = model
        self._options = options
        self._pool: Pool | None = None
        self._scheduler = WorkScheduler(options.workers)
        self._ready: deque[tuple[Request, Completion]] = deque()
        self._n_expected: int | None = None
        self._checked = False
        self._told = False

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def version(self) -> str:
        return self._inner.version

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """Implements `capabilities.ChecksTasks`: checks that there are enough GPUs, and that the cluster answers.

        Raises:
            UsageError: there are too few.
            EngineError: the cluster does not answer.
        """
        if not self._checked:
            from ssl4rl_bench.engines.workers import cluster

            cluster.check(self.name, self._options)
            self._checked = True

    def expect(self, n_requests: int) -> None:
        """Implements `capabilities.Expects`: each worker expects its share. Counts of `measures` begin here."""
        for slot in self._scheduler.slots:
            slot.n_answered = slot.n_deaths = 0
        self._scheduler.n_resent = 0
        self._n_expected = -(-n_requests // self._options.workers)
        self._scheduler.n_expected = n_requests

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`.

        Raises:
            EngineError: no worker could start, or all of them died too often.
            UsageError: a worker has another version of the engine or of ssl4rl-bench.
        """
        scheduler = self._scheduler
        scheduler.begin(requests, time.monotonic())
        self._ready.clear()
        self._told = False
        try:
            while self._ready or not scheduler.finished:
                if not scheduler.finished:
                    self._step(sampling)
                while self._ready:
                    yield self._ready.popleft()
        finally:
            if not scheduler.finished and self._pool is not None:
                self._pool.drain()

    def drain(self) -> int:
        """Implements `capabilities.Drains`. Only sets a flag, since signal handlers call it; `run` acts on it."""
        return self._scheduler.drain() + len(self._ready)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Refuses: one reply needs no workers.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "workers share the requests of a run; a single question needs none: leave out workers"
        )

    def swap(self, model: Model) -> bool:
        """Implements `capabilities.Swaps`: loads the weights in all workers; after False, close the engine."""
        if self._pool is not None and not self._pool.swap(model):
            return False
        self._model = model
        return True

    def measures(self) -> dict[str, Any]:
        """Implements `capabilities.Measures`: where each worker ran, on what, and what its engine reports."""
        if self._pool is None:
            return {}
        facts, engines = self._pool.facts(), self._pool.measures()
        slots = self._scheduler.slots
        return {
            "workers": [
                {
                    **(facts[slot.number].to_json() if slot.number in facts else {}),
                    "n_answered": slot.n_answered,
                    "n_deaths": slot.n_deaths,
                    **engines.get(slot.number, {}),
                }
                for slot in slots
            ],
            "n_sent_again": self._scheduler.n_resent,
        }

    def close(self) -> None:
        """Implements `types.Engine.close`: ends the workers, and Ray if this process started it."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.close()
            self._scheduler = WorkScheduler(self._options.workers)

    def _step(self, sampling: Sampling) -> None:
        """Starts workers, sends them requests, and waits for events."""
        scheduler, pool = self._scheduler, self._open()
        if scheduler.draining and not self._told:
            pool.drain()
            self._told = True
        for number in scheduler.to_start(time.monotonic()):
            pool.launch(number)
        for number, units in scheduler.assign(time.monotonic()).items():
            pool.give(number, units, sampling)
        for event in pool.events(_WAIT_S):
            self._handle(event, pool)
        if scheduler.lost and not scheduler.finished:
            reason = scheduler.first_reason
            started = any(slot.n_answered for slot in scheduler.slots)
            raise EngineError(f"all workers died: {reason}" if started else f"no worker can start: {reason}")

    def _handle(self, event: Event, pool: Pool) -> None:
        scheduler, now = self._scheduler, time.monotonic()
        if isinstance(event, Died):
            self._bury(event.worker, event.reason, hopeless=event.hopeless)
            return
        report = event.report
        if isinstance(event, Ready):
            scheduler.ready(event.worker, report.capacity)
        self._ready += scheduler.answer(event.worker, now, report.answers, report.capacity)
        if report.failure is not None:
            if not isinstance(report.failure, EngineError):
                raise report.failure  # about the model or the options, so all workers fail alike
            pool.kill(event.worker)
            self._bury(event.worker, str(report.failure), hopeless=True)
        elif report.drained and self._told:
            scheduler.dropped(event.worker)

    def _bury(self, number: int, reason: str, *, hopeless: bool) -> None:
        scheduler = self._scheduler
        self._ready += scheduler.died(number, time.monotonic(), reason, hopeless=hopeless)
        given_up = scheduler.slots[number].state is State.GIVEN_UP
        log.warning("worker %d died and is %s: %s", number, "given up" if given_up else "replaced", reason)

    def _open(self) -> Pool:
        if self._pool is None:
            from ssl4rl_bench.engines.workers import cluster
            from ssl4rl_bench.engines.workers.pool import RayPool

            self.check_tasks(())
            options = replace(self._options, workers=1, ray_address=None)
            self._pool = RayPool(
                cluster.join(self.name, self._options),
                (self.name, self._model, options),
                self._options.workers,
                self.version,
                self._n_expected,
            )
        return self._pool
