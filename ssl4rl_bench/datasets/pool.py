"""Worker processes that map a function over a stream, in order, a bounded number of items ahead."""

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
"""Items in flight for each worker: one in work and one waiting."""


class WorkerDied(BenchError):
    """A worker process was killed, most likely for want of memory."""


class Pool:
    """`map` over worker processes; with one worker, in this process.

    Functions and items must be importable and picklable. Workers are started by need, ignore Ctrl-C (this process
    stops them), and die with this process however it ends.
    """

    def __init__(self, workers: int | None = None) -> None:
        """
        Args:
            workers: Processes; None for one on each core that this process may use.

        Raises:
            UsageError: for fewer than 1.
        """
        if workers is not None and workers < 1:
            raise UsageError(f"--workers {workers} does no work: give 1 or more.")
        self.workers = workers or len(os.sched_getaffinity(0))
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        if self.workers > 1:
            self._executor = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_start_worker
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """Results in the order of the items, which are pulled `AHEAD` for each worker ahead at most.

        Raises:
            WorkerDied: if a worker was killed. What `work` raises is raised here.
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
                f"a worker was killed, most likely for want of memory: use fewer than {self.workers} --workers"
            ) from None


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started in here never get Ctrl-C, not even before their first line of Python."""
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
