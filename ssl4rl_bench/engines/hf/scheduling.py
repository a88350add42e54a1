"""Decides which requests run when: fills the batch again as replies end, and finds requests that break a batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.types import Completion, Request, Sampling
from ssl4rl_bench.engines.base import error_completion, reason
from ssl4rl_bench.engines.hf import grouping
from ssl4rl_bench.engines.hf.grouping import Family

if TYPE_CHECKING:
    from ssl4rl_bench.engines.hf.network import Item, Network

log = logging.getLogger(__name__)

_REFILL = 0.25
"""The share of a batch that must be free before requests join it: a join copies the keys and values."""
Done = tuple[Request, Completion]


class Scheduler:
    """Runs requests in batches.

    A batch that fails is divided until the request that breaks it is alone; the others start again. A batch
    that does not fit into the GPU's memory is halved, and so are later ones.

    Args:
        batch_size: the most replies in progress.
    """

    def __init__(self, network: Network, batch_size: int, sampling: Sampling) -> None:
        self._network = network
        self._sampling = sampling
        self.batch_size = batch_size
        self._queue: list[Family[Item]] = []
        self._again: list[list[Item]] = []
        """Items that start again, each list by itself."""
        self._batch: Any = None
        self._alone = False
        """Whether the batch is one of `_again`, which no other requests join."""

    @property
    def n_queued(self) -> int:
        """The number of requests that have not started."""
        return sum(map(len, self._queue))

    @property
    def n_begun(self) -> int:
        """The number of requests that have started and not ended."""
        running = len(self._batch.items) if self._batch else 0
        return running + sum(map(len, self._again))

    def add(self, items: Sequence[Item]) -> None:
        """Queues requests; the longest prompts come first, so that a batch that does not fit fails at once."""
        self._queue += grouping.families(items, lambda item: item[1].key)

    def advance(self, start_more: bool = True) -> list[Done]:
        """Starts requests if there is room, continues the batch, and returns the replies that ended.

        Args:
            start_more: whether to start queued requests.
        """
        done: list[Done] = []
        if self._batch is None and self._again:
            items = self._again.pop()
            self._alone = True
            self._network.free_cache()
            self._start(grouping.families(items, lambda item: item[1].key), done)
        elif start_more and (families := self._next()):
            self._alone = False
            self._start(families, done)
        if self._batch is not None:
            self._step(done)
        return done

    def _next(self) -> list[Family[Item]]:
        """Removes from the queue what starts now."""
        running = len(self._batch.items) if self._batch else 0
        room = self.batch_size - running
        if running and (self._alone or self._again or not self._network.joins):
            return []
        if running and room < _REFILL * self.batch_size:
            return []
        return grouping.take(self._queue, room, split=not running)

    def _start(self, families: list[Family[Item]], done: list[Done]) -> None:
        began = time.perf_counter()
        try:
            batch = self._network.start(families, self._sampling)
            if self._batch is not None:
                self._batch.join(batch)
            else:
                self._batch = batch
        except Exception as error:  # a prompt may fail for any reason
            items = [item for family in families for item in family.items]
            running = len(self._batch.items) if self._batch else 0
            if running and _is_out_of_memory(error):
                # Without the batch in progress they may fit.
                self.batch_size = min(self.batch_size, running)
                self._queue[:0] = families
            else:
                self._divide(items, error, began, done)

    def _step(self, done: list[Done]) -> None:
        began = time.perf_counter()
        items = list(self._batch.items)
        try:
            ended = self._batch.step()
        except Exception as error:  # a prompt may fail for any reason
            self._batch = None
            self._divide(items, error, began, done)
            return
        done += [(request, completion) for (request, _), completion in ended]
        if not self._batch.items:
            self._batch = None

    def _divide(self, items: list[Item], error: Exception, began: float, done: list[Done]) -> None:
        import torch

        if isinstance(error, torch.AcceleratorError):
            raise EngineError(
                f"the GPU failed, and the process must be restarted: {reason(error)}"
            ) from error
        if len(items) == 1:
            done.append((items[0][0], error_completion(reason(error), time.perf_counter() - began)))
            return
        half = len(items) // 2
        if _is_out_of_memory(error):
            self.batch_size = min(self.batch_size, half)
            log.info("a batch of %d does not fit into memory; continuing with %d", len(items), half)
        self._again += [items[half:], items[:half]]


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)
