"""`RayPool`: workers as Ray actors."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ssl4rl_bench
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.base import EngineOptions, reason
from ssl4rl_bench.engines.workers.cluster import Cluster
from ssl4rl_bench.engines.workers.messages import Died, Event, Facts, Ready, Report, Reported, WorkUnit
from ssl4rl_bench.engines.workers.worker import Worker

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

_TAKE_S = 2.0
"""How long a worker waits for an answer before it reports that there is none, in seconds."""
_LINGER_S = 0.003
"""How long a worker collects answers before it reports, in seconds, times the number of workers: the driver's work
per second then does not grow with their number."""
_STOP_S = 5.0
"""How long all workers may take to end, in seconds, before they are killed."""
_ASK_S = 5.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Actor:
    handle: Any
    facts: Facts | None = None
    place: int = 0
    """Its number among the workers of its machine, which determines its cores."""


class RayPool:
    """Implements `Pool` with Ray actors.

    Args:
        cluster: a connection to Ray, which `close` closes.
        setup: the engine's name, the checkpoint, and the options of one engine.
        n_workers: the number of workers.
        version: the version of the engine in this process.
        n_expected: the number of requests that each worker will get, None if unknown.
    """

    def __init__(
        self,
        cluster: Cluster,
        setup: tuple[str, Model | None, EngineOptions],
        n_workers: int,
        version: str,
        n_expected: int | None,
    ) -> None:
        import ray

        self._ray = ray
        self._cluster = cluster
        self._setup = setup
        self._n_workers = n_workers
        self._version = version
        self._n_expected = n_expected
        self._linger_s = _LINGER_S * n_workers
        self._actors: dict[int, _Actor] = {}
        self._facts: dict[int, Facts] = {}
        self._waiting: dict[Any, tuple[int, str]] = {}
        """Maps a reference to the worker and method whose result it is."""
        self._class = ray.remote(
            num_cpus=cluster.cpus_per_worker,
            num_gpus=cluster.gpus_per_worker,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,  # `take` waits in one thread while the others stay free
            scheduling_strategy="SPREAD",
        )(_RayWorker)

    def arguments(self, worker: int) -> tuple[str, Model | None, EngineOptions]:
        """Returns the arguments of a worker's `Worker`."""
        return self._setup

    def launch(self, worker: int) -> None:
        """Implements `Pool.launch`."""
        actor = _Actor(self._class.remote(*self.arguments(worker)))
        self._actors[worker] = actor
        self._wait_for(worker, "located", actor.handle.located.remote())

    def give(self, worker: int, units: Sequence[WorkUnit], sampling: Sampling) -> None:
        """Implements `Pool.give`. If the worker is dead, `events` reports it."""
        with suppress(self._ray.exceptions.RayError):
            self._actors[worker].handle.give.remote(units, sampling)

    def events(self, timeout_s: float) -> list[Event]:
        """Implements `Pool.events`."""
        if not self._waiting:
            return []
        done, _ = self._ray.wait([*self._waiting], num_returns=1, timeout=timeout_s)
        if done and len(self._waiting) > 1:
            done, _ = self._ray.wait([*self._waiting], num_returns=len(self._waiting), timeout=0)
        events = [self._event(*self._waiting.pop(reference), reference) for reference in done]
        return [event for event in events if event is not None]

    def drain(self) -> None:
        """Implements `Pool.drain`."""
        for actor in self._actors.values():
            with suppress(self._ray.exceptions.RayError):
                actor.handle.drain.remote()

    def kill(self, worker: int) -> None:
        """Implements `Pool.kill`."""
        actor = self._actors.pop(worker, None)
        self._waiting = {ref: waiting for ref, waiting in self._waiting.items() if waiting[0] != worker}
        if actor is not None:
            with suppress(Exception):  # it is dead already
                self._ray.kill(actor.handle)

    def swap(self, model: Any) -> bool:
        """Implements `Pool.swap`."""
        name, _, options = self._setup
        self._setup = name, model, options
        try:
            swaps = [actor.handle.swap.remote(model) for actor in self._actors.values()]
            return all(self._ray.get(swaps))
        except self._ray.exceptions.RayError:
            return False

    def facts(self) -> dict[int, Facts]:
        """Implements `Pool.facts`."""
        return dict(self._facts)

    def measures(self) -> dict[int, dict[str, Any]]:
        """Implements `Pool.measures`; leaves out workers that do not answer at once."""
        asked = {}
        for number, actor in self._actors.items():
            with suppress(Exception):  # a dead worker measures nothing
                asked[actor.handle.measures.remote()] = number
        measures = {}
        with suppress(Exception):
            done, _ = self._ray.wait([*asked], num_returns=len(asked), timeout=_ASK_S) if asked else ([], [])
            for reference in done:
                with suppress(Exception):
                    measures[asked[reference]] = self._ray.get(reference)
        return measures

    def close(self) -> None:
        """Implements `Pool.close`."""
        try:
            with suppress(Exception):  # whatever fails, the workers are killed
                stops = [actor.handle.stop.remote() for actor in self._actors.values()]
                self._ray.wait(stops, num_returns=len(stops), timeout=_STOP_S) if stops else None
            for number in list(self._actors):
                self.kill(number)
        finally:
            self._cluster.close()

    def _wait_for(self, worker: int, method: str, reference: Any) -> None:
        self._waiting[reference] = worker, method

    def _event(self, worker: int, method: str, reference: Any) -> Event | None:
        """Returns the event that a finished call stands for, and makes the next call."""
        actor = self._actors[worker]
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self.kill(worker)
            if missing := re.search(r"No module named '([\w.]+)'", str(error)):
                return Died(
                    worker, f"a machine of the cluster lacks {missing[1]}: install it there", hopeless=True
                )
            return Died(worker, self._why(actor, error))
        if isinstance(result, Facts):
            self._locate(worker, actor, result)
            return None
        report: Report = result
        if report.failure is None:
            self._wait_for(worker, "take", actor.handle.take.remote(_TAKE_S, self._linger_s))
        return Ready(worker, report) if method == "start" else Reported(worker, report)

    def _locate(self, worker: int, actor: _Actor, facts: Facts) -> None:
        """Checks the versions of a worker, and starts its engine on its share of its machine's cores.

        Raises:
            UsageError: a version differs from this process's.
        """
        pairs = (
            ("ssl4rl-bench", facts.project, ssl4rl_bench.__version__),
            (f"engine {self._setup[0]}", facts.engine, self._version),
        )
        for name, theirs, ours in pairs:
            if theirs != ours:
                raise UsageError(
                    f"the worker on {facts.host} has {name} {theirs}, and this machine has {ours}: "
                    "install the same version"
                )
        taken = {
            other.place
            for other in self._actors.values()
            if other is not actor and other.facts is not None and other.facts.host == facts.host
        }
        actor.facts = self._facts[worker] = facts
        actor.place = next(place for place in range(len(taken) + 1) if place not in taken)
        cores = share_of(facts.cores, actor.place, self._cluster.workers_on(facts.host, self._n_workers))
        self._wait_for(worker, "start", actor.handle.start.remote(cores, self._n_expected))

    def _why(self, actor: _Actor, error: Exception) -> str:
        """Describes the death of a worker in a few words; Ray's message has many lines."""
        text = str(error)
        place = f" on {actor.facts.host} (process {actor.facts.pid})" if actor.facts else ""
        log.debug("worker%s died: %s", place, text)
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return f"the worker{place} was killed, as its machine ran out of memory"
        if isinstance(error, self._ray.exceptions.RayActorError):
            return f"the process of the worker{place} ended"
        return f"the worker{place} failed: {reason(error)}"


class _RayWorker(Worker):
    """A worker as Ray starts it."""

    def located(self) -> Facts:
        """Returns the facts, with the GPUs that Ray assigned."""
        return self.facts(_gpu_names())


def _gpu_names() -> list[str]:
    """Returns the names of the GPUs that Ray assigned to this process, without loading CUDA into it."""
    import ray

    ids = [str(number) for number in ray.get_gpu_ids()]
    names = []
    with suppress(Exception):  # there is no driver, or Ray has moved its copy of NVML
        from ray._private.thirdparty import pynvml

        pynvml.nvmlInit()
        for number in ids:
            handle = (
                pynvml.nvmlDeviceGetHandleByIndex(int(number))
                if number.isdecimal()
                else pynvml.nvmlDeviceGetHandleByUUID(number.encode())
            )
            name = pynvml.nvmlDeviceGetName(handle)
            names.append(name.decode() if isinstance(name, bytes) else str(name))
    return names or [f"GPU {number}" for number in ids]


def share_of(cores: Sequence[int], place: int, n_workers: int) -> tuple[int, ...]:
    """Returns the cores of the worker at `place` (from 0) among `n_workers` workers of a machine."""
    if not cores:
        return ()
    if n_workers >= len(cores):
        return (cores[place % len(cores)],)
    place %= n_workers
    return tuple(cores[place * len(cores) // n_workers : (place + 1) * len(cores) // n_workers])
