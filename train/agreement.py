"""Work that only the main process does, and of which the other processes learn the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ssl4rl_bench.core.errors import BenchError, EngineError

T = TypeVar("T")


def on_main(state: Any, work: Callable[[], T]) -> T:
    """Calls `work` on the main process and returns its result on all processes, which must call this together.

    Without it, the other processes would wait for a main process that has failed.

    Args:
        state: accelerate's PartialState or Accelerator.
        work: returns a value that can be sent to other processes.

    Raises:
        Exception: what `work` raised, on all processes.
    """
    if state.num_processes == 1:
        return work()
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, None]
    error: Exception | None = None
    if state.is_main_process:
        try:
            outcome = [work(), None]
        except Exception as raised:
            error = raised
            known = isinstance(raised, BenchError)
            outcome = [None, raised if known else EngineError(f"the main process failed: {raised}")]
    broadcast_object_list(outcome)
    if error is not None:
        raise error
    if outcome[1] is not None:
        raise outcome[1]
    result: T = outcome[0]
    return result
