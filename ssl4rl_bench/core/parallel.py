"""Calls a function for several items on several cores, in forked processes, where this is safe."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 8
"""The maximum number of processes."""


def parallel_map(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Returns the results of a function for all items, in order.

    This process and forked copies of it share the items. The copies see everything that is loaded here without
    loading it again, but what the function changes in a copy is lost, except for files. Results must be picklable.
    If a call fails, or a copy is killed, all calls are repeated here, so errors are those of a plain loop.

    A process that is not on Linux or that has other threads is not forked; it makes all calls itself. Ctrl-C ends
    the copies with this process.
    """
    n = min(len(items), MOST, _cores()) if _can_fork() else 1
    if n < 2:
        return [function(item) for item in items]
    copies = [_Copy(function, items[part::n]) for part in range(1, n)]
    try:
        shares: list[list[R]] = [
            [function(item) for item in items[::n]],
            *(copy.results() for copy in copies),
        ]
    except Exception:  # whatever failed, the plain loop below raises it again
        shares = []
    finally:
        for copy in copies:
            copy.end()
    if not shares:
        return [function(item) for item in items]
    return [shares[index % n][index // n] for index in range(len(items))]


class _Failed(Exception):
    """A copy has ended without results."""


class _Copy(Generic[R]):
    """A forked process that calls the function for a share of the items."""

    def __init__(self, function: Callable[[T], R], share: Sequence[T]) -> None:
        context = multiprocessing.get_context("fork")
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(function, share, sender), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of threads of BLAS, which expect to be forked
            self._process.start()
        sender.close()

    def results(self) -> list[R]:
        """Waits for the results. Raises `_Failed` if there will be none."""
        try:
            results: list[R] = self._receiver.recv()
        except (EOFError, OSError):
            raise _Failed from None
        return results

    def end(self) -> None:
        """Stops the process unless it has ended."""
        self._receiver.close()
        self._process.terminate()
        self._process.join()


def _work(function: Callable[[T], R], share: Sequence[T], sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its copies
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        results = [function(item) for item in share]
        sender.send(results)
    except Exception:  # any error ends the copy without a message, since the parent repeats the calls
        os._exit(1)


def _can_fork() -> bool:
    return (
        sys.platform == "linux"
        and threading.active_count() == 1
        and not multiprocessing.current_process().daemon
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
