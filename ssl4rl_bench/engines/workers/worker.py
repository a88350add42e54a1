"""A worker: feeds one engine from a queue and collects its answers. Runs in a process that Ray starts."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any

import ssl4rl_bench
from ssl4rl_bench.core.capabilities import Drains, Expects, HasCapacity, Measures, Swaps
from ssl4rl_bench.core.errors import BenchError, EngineError, ModelError
from ssl4rl_bench.core.types import Completion, Engine, Request, Sampling
from ssl4rl_bench.engines import create
from ssl4rl_bench.engines.base import EngineOptions, reason
from ssl4rl_bench.engines.workers.messages import Facts, Report, WorkUnit

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

DEFAULT_CAPACITY = 32
"""For engines that do not report one."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that limit the threads of numerical libraries, which read them when they are loaded."""


class Worker:
    """Holds one engine. Its methods may be called from several threads; the engine runs in another one.

    Args:
        engine: the engine's name.
        options: the engine's options, without those of workers.
    """

    def __init__(self, engine: str, model: Model | None, options: EngineOptions) -> None:
        self._name, self._model, self._options = engine, model, options
        self._changed = threading.Condition()
        self._queue: deque[tuple[int, int, Request, Sampling]] = deque()
        self._answers: list[tuple[int, int, Completion]] = []
        self._pulled: dict[int, tuple[int, int, Request]] = {}
        self._failure: BenchError | None = None
        self._running = False
        self._draining = False
        self._closed = False
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None

    def facts(self, gpus: Sequence[str] = ()) -> Facts:
        """Returns where this process runs, and on which software.

        Args:
            gpus: the names of the GPUs that Ray assigned.
        """
        return Facts(
            host=socket.gethostname(),
            pid=os.getpid(),
            cores=_cores(),
            gpus=tuple(gpus),
            project=ssl4rl_bench.__version__,
            engine=_version(self._name, self._model, self._options),
            torch=_installed("torch"),
        )

    def start(self, cores: Sequence[int], n_expected: int | None = None) -> Report:
        """Creates the engine and the thread that runs it. The engine loads the model at the first request.

        Args:
            cores: the CPU cores to use.
            n_expected: the number of requests that will be made, None if unknown.

        Returns:
            A report with a failure if the engine cannot be created or the checkpoint is another one here.
        """
        try:
            _use(cores)
            _check(self._model)
            self._engine = create(self._name, self._model, self._options)
            if n_expected is not None and isinstance(self._engine, Expects):
                self._engine.expect(n_expected)
        except Exception as error:  # it is sent to the driver, which raises it
            self._failure = _failure(error)
            return self._report()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()
        return self._report()

    def give(self, units: Sequence[WorkUnit], sampling: Sampling) -> None:
        """Adds requests to the queue."""
        with self._changed:
            self._draining = False
            for unit in units:
                self._queue += [
                    (unit.number, i, request, sampling) for i, request in enumerate(unit.requests)
                ]
            self._changed.notify_all()

    def take(self, wait_s: float, linger_s: float) -> Report:
        """Returns what happened since the last call.

        Args:
            wait_s: the time to wait for an answer, in seconds.
            linger_s: the time after the first answer in which further ones are awaited, in seconds.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._answers or self._failure or self._closed or self._is_drained(), wait_s
            )
            busy = bool(self._answers) and not self._failure
        if busy:
            time.sleep(linger_s)
        with self._changed:
            report = self._report()
            report.answers, self._answers = self._answers, []
            if report.drained:
                self._draining = False
            return report

    def drain(self) -> None:
        """Empties the queue and stops the engine from starting requests."""
        with self._changed:
            self._queue.clear()
            self._draining = True
            if isinstance(self._engine, Drains):
                self._engine.drain()
            self._changed.notify_all()

    def swap(self, model: Model) -> bool:
        """Loads other weights. Returns False if the engine cannot, or has failed."""
        try:
            _check(model)
            if self._failure or not isinstance(self._engine, Swaps) or not self._engine.swap(model):
                return False
        except Exception as error:  # as in `start`
            self._failure = _failure(error)
            return False
        self._model = model
        return True

    def measures(self) -> dict[str, Any]:
        """Returns what the engine reports about itself."""
        return self._engine.measures() if isinstance(self._engine, Measures) else {}

    def stop(self) -> None:
        """Frees the engine, once it has answered what it has begun."""
        self.drain()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        if self._engine is not None:
            self._engine.close()

    def _report(self) -> Report:
        engine = self._engine
        capacity = engine.capacity if isinstance(engine, HasCapacity) else DEFAULT_CAPACITY
        return Report(capacity, failure=self._failure, drained=self._is_drained())

    def _is_drained(self) -> bool:
        return self._draining and not self._queue and not self._running

    def _work(self) -> None:
        """Runs the engine as long as there are requests; ends if it fails."""
        assert self._engine is not None
        try:
            while (sampling := self._next_sampling()) is not None:
                for request, completion in self._engine.run(self._feed(sampling), sampling):
                    with self._changed:
                        # An engine may answer a retried request twice; the first answer counts.
                        if (place := self._pulled.pop(id(request), None)) is not None:
                            self._answers.append((place[0], place[1], completion))
                            self._changed.notify_all()
                with self._changed:
                    self._pulled.clear()  # after a drain, an engine leaves requests unanswered
                    self._running = False
                    self._changed.notify_all()
        except Exception as error:  # whatever ended the engine, the driver must know
            with self._changed:
                self._failure = _failure(error)
                self._running = False
                self._changed.notify_all()

    def _next_sampling(self) -> Sampling | None:
        """Waits for a request and returns its sampling; None if the worker was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            self._running = True
            return self._queue[0][3]

    def _feed(self, sampling: Sampling) -> Iterator[Request]:
        return _Feed(self, sampling)

    def pull(self, sampling: Sampling) -> Request | None:
        """Removes the next request from the queue; None if there is none with this sampling now."""
        with self._changed:
            if not self._queue or self._queue[0][3] != sampling:
                return None
            number, index, request, _ = self._queue.popleft()
            self._pulled[id(request)] = number, index, request
            return request


class _Feed(Iterator[Request]):
    """The requests of a worker's queue. Ends when the queue is empty, and continues when it is filled again.

    An engine that asks again while it works on earlier requests thus never has to finish them first.
    """

    def __init__(self, worker: Worker, sampling: Sampling) -> None:
        self._worker, self._sampling = worker, sampling

    def __next__(self) -> Request:
        request = self._worker.pull(self._sampling)
        if request is None:
            raise StopIteration
        return request


def _use(cores: Sequence[int]) -> None:
    """Restricts this thread, and the threads and processes that it starts, to these cores."""
    if cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # the machine's cores have changed since
            os.sched_setaffinity(0, cores)
    for name in THREADS:
        os.environ[name] = str(max(1, len(cores)))


def _cores() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _check(model: Model | None) -> None:
    """Raises ModelError if the checkpoint's folder is missing on this machine or has another content."""
    from ssl4rl_bench.engines.checkpoints.weights import fingerprint

    if model is not None and not model.path.is_dir():
        raise ModelError(
            f"{model.path} is missing on {socket.gethostname()}: all machines of a cluster need the checkpoint "
            "at the same path"
        )
    if model is not None and fingerprint(model.path) != model.fingerprint:
        raise ModelError(
            f"{model.path} on {socket.gethostname()} is another checkpoint than on the machine that started the run"
        )


def _version(engine: str, model: Model | None, options: EngineOptions) -> str:
    try:
        return create(engine, model, options).version
    except BenchError as error:
        return f"missing ({error})"


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _failure(error: Exception) -> BenchError:
    return error if isinstance(error, BenchError) else EngineError(reason(error))
