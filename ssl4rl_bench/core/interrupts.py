"""Stopping on a signal: at once if nothing would be lost, otherwise after the replies in flight."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

DRAIN_S = 25.0
"""Maximum wait for replies in flight, in seconds. Slurm and Kubernetes kill a process 30 s after SIGTERM."""


class Stop(threading.Event):
    """An event that is set by the first Ctrl-C or SIGTERM.

    That signal raises KeyboardInterrupt at once, with two exceptions. Inside `deferring`, the code checks the
    event itself. Inside `waiting`, while replies are in flight, the program waits for them for at most
    `DRAIN_S` seconds. The second signal always raises KeyboardInterrupt.
    """

    def __init__(self, drain_s: float = DRAIN_S) -> None:
        super().__init__()
        self._drain_s = drain_s
        self._deferred = False
        self._drain: Callable[[], int] | None = None
        self._draining = False
        self._timer: threading.Timer | None = None
        self._expired = False

    @contextmanager
    def handling(self) -> Iterator[Stop]:
        """Handles both signals inside the block. Must be called in the main thread."""
        old = {n: signal.signal(n, self._handle) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            self.drained()
            for number, handler in old.items():
                signal.signal(number, handler)

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """Inside the block, the first signal only sets the event."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def waiting(self, drain: Callable[[], int]) -> Iterator[None]:
        """Marks a block that waits for an engine.

        Args:
            drain: stops the engine from starting requests and returns the number of replies in flight.
        """
        before, self._deferred = self._deferred, False
        self._drain = drain
        try:
            if self._expired:
                raise KeyboardInterrupt
            if self.is_set() and not self._draining:
                self._stop()
            yield
        finally:
            self._drain, self._deferred = None, before

    def drained(self) -> None:
        """Cancels the time limit for replies in flight. Called when none is in flight any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.is_set():
            if self._expired and self._deferred:
                return  # a reply is being saved; `waiting` raises later
            raise KeyboardInterrupt
        self.set()
        if not self._deferred:
            self._stop()

    def _stop(self) -> None:
        """Raises KeyboardInterrupt unless there are replies to wait for."""
        n = self._drain() if self._drain is not None else 0
        if n == 0:
            raise KeyboardInterrupt
        self._draining = True
        _say(
            f"stopping: waiting for {n} {'reply' if n == 1 else 'replies'} in flight, at most {self._drain_s:g} s "
            "(again to abort)"
        )
        self._timer = threading.Timer(self._drain_s, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        """Acts like the second signal. Called in the timer's thread."""
        self._expired = True
        os.kill(os.getpid(), signal.SIGTERM)


def _say(line: str) -> None:
    """Prints a line from a signal handler. Uses `os.write`, as the handler may have interrupted a print."""
    with suppress(OSError):
        os.write(2, f"\n{line}\n".encode())
