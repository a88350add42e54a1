"""Worker processes that map a function over a stream in order, with a bounded number of items in flight."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from ssl4rl_bench.core.errors import BenchError, UsageError

A = TypeVar("A")
B = TypeVar("B")
AHEAD = 2
"""The number of items in flight per worker: one in progress and one waiting."""


class WorkerDied(BenchError):
    """A worker process was killed, most likely for lack of memory."""


class WorkerPool:
    """Maps functions over items in worker processes, or in this process if there is only one worker.

    Functions and items must be importable and picklable. Workers are started on demand, ignore Ctrl-C (this
    process stops them), and exit when this process ends for any reason.
    """

    def __init__(self, workers: int | None = None) -> None:
        """Starts no worker yet.

        Args:
            workers: The number of processes; None for one per core that this process may use.

        Raises:
            UsageError: for fewer than 1.
        """
        if workers is not None and workers < 1:
            raise UsageError(f"--workers {workers} is less than 1: give 1 or more.")
        self.workers = workers or len(os.sched_getaffinity(0))
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> WorkerPool:
        if self.workers > 1:
            self._executor = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_start_worker
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """Yields results in the order of the items. At most `AHEAD` items per worker are pulled in advance.

        Raises:
            WorkerDied: if a worker was killed. Exceptions raised by `work` are raised here.
        """
        executor = self._executor
        if executor is None:
            yield from map(work, items)
            return
        waiting: deque[Future[B]] = deque()
        try:
            for item in items:
                with _uninterrupted():
                    waiting.append(executor.submit(work, item))
                if len(waiting) >= AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise WorkerDied(
                f"a worker was killed, most likely for lack of memory: use fewer than {self.workers} --workers"
            ) from None


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Makes processes that are started inside ignore Ctrl-C, even before they run any Python code."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _start_worker() -> None:
    parent = parent_process()
    if parent is None:
        return

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
