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
    stops them), and die with this process however it ends. An error that leaves the block ends them at once, in the
    middle of their items.
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
        self._open: connection.Connection | None = None
        """An end of a pipe; workers live until it is closed."""

    def __enter__(self) -> Pool:
        if self.workers > 1:
            context = get_context("spawn")
            reader, self._open = context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(
                self.workers, mp_context=context, initializer=_start_worker, initargs=(reader,)
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._executor is not None and self._open is not None:
            if kind is not None:
                self._open.close()
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._open.close()

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


def _start_worker(pipe: connection.Connection) -> None:
    parent = parent_process()
    if parent is None:
        return

    def follow() -> None:
        connection.wait([parent.sentinel, pipe])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
