"""What prepares prompts for a running vLLM, and the one that does it in a thread of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.types import Message, Request
from ssl4rl_bench.engines.base import reason

Prepared = dict[str, Any] | str | ModelError
"""An engine input (`adapter`), the message of an error that fails its request, or an error that ends the run."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides when prompts are added to the engine.

    In every step in which an image arrives, vLLM launches the kernels of the vision encoder one by one from
    Python, and those of the language model layer by layer instead of as one CUDA graph. On a GPU the launches take
    longer than the kernels, however many images arrive. Prompts are therefore added in groups, and most steps
    only generate.
    """

    limit: int
    """The maximum number of requests in the engine."""
    group: int
    """The number of prompts that are added together; 1 adds each as soon as it fits."""

    def count(self, running: int, ready: int, pending: int) -> int:
        """Returns how many prompts to add now.

        Args:
            running: the number of requests in the engine.
            ready: the number of prompts that are prepared.
            pending: the number of prompts in preparation.
        """
        free = self.limit - running
        starved = running == 0 or free >= 2 * self.group
        complete = free >= self.group and (ready >= self.group or pending == 0)
        return min(free, ready) if starved or complete else 0

    def is_full(self, running: int) -> bool:
        """Whether the engine has as many requests as it takes: fewer places than a group has are left free."""
        return self.limit - running < self.group


@dataclass(slots=True)
class Supply:
    """Limits how many prompts are prepared ahead, by number and by the memory that their pixels take."""

    most: int
    """The maximum number of prompts in preparation or ready."""
    most_bytes: int = 4 << 30
    _mean: float = 0.0
    """The mean size of a prompt's pixels; large prompts count at once, and are forgotten slowly."""

    def add(self, n: int, n_bytes: int) -> None:
        """Takes account of `n` prompts that became ready, with the size of their pixels in bytes."""
        if n:
            self._mean = max(n_bytes / n, 0.9 * self._mean + 0.1 * n_bytes / n)

    def wants(self, n: int) -> bool:
        """Returns whether to prepare more if `n` are in preparation or ready."""
        return n < self.most and (n == 0 or n * self._mean < self.most_bytes)


class Feed(Protocol):
    """Prepares prompts while the model runs."""

    ahead: int
    """The number of requests that may be in preparation or ready, in addition to those in the engine."""
    unit_size: int
    """The number of requests with the same images that are prepared together."""

    @property
    def pending(self) -> int:
        """The number of requests that `collect` has not returned yet."""
        ...

    def submit(self, requests: Sequence[Request]) -> None:
        """Prepares requests with the same images. Does not wait."""
        ...

    def collect(self, wait: bool) -> list[tuple[Request, Prepared]]:
        """Returns the requests that became ready; those submitted together are adjacent.

        Args:
            wait: whether to wait for at least one, if any are pending.

        Raises:
            EngineError: if no more prompts can be prepared.
        """
        ...

    def drop(self) -> None:
        """Forgets all pending requests."""
        ...

    def close(self) -> None:
        """Ends the preparation. Safe to call twice."""
        ...


class ThreadFeed:
    """Prepares prompts in one thread, one after another.

    Args:
        render: turns messages into an engine input.
        ahead: as `Feed.ahead`.
    """

    unit_size = 1

    def __init__(self, render: Callable[[Sequence[Message]], dict[str, Any]], ahead: int) -> None:
        self.ahead = ahead
        self._render = render
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vllm-render")
        self._pending: deque[tuple[Request, Future[dict[str, Any]]]] = deque()

    @property
    def pending(self) -> int:
        """Implements `Feed.pending`."""
        return len(self._pending)

    def submit(self, requests: Sequence[Request]) -> None:
        """Implements `Feed.submit`."""
        for request in requests:
            self._pending.append((request, self._pool.submit(self._render, request.sample.messages)))

    def collect(self, wait: bool) -> list[tuple[Request, Prepared]]:
        """Implements `Feed.collect`."""
        out: list[tuple[Request, Prepared]] = []
        while self._pending and (self._pending[0][1].done() or (wait and not out)):
            request, future = self._pending.popleft()
            prepared: Prepared
            try:
                prepared = future.result()
            except ModelError as error:
                prepared = error
            except Exception as error:  # a prompt that cannot be rendered fails only its own request
                prepared = reason(error)
            out.append((request, prepared))
        return out

    def drop(self) -> None:
        """Implements `Feed.drop`."""
        while self._pending:
            self._pending.popleft()[1].cancel()

    def close(self) -> None:
        """Implements `Feed.close`."""
        self._pool.shutdown(cancel_futures=True)
