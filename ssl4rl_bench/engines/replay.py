"""An engine that answers with recorded replies, made by this project or by another (`engines.recorded`).

A reply belongs to a task, a sample and a repeat. A run's directory or journal can be replayed as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ssl4rl_bench.core.errors import EngineError, UsageError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling
from ssl4rl_bench.engines.recorded import digest, read

if TYPE_CHECKING:
    from ssl4rl_bench.engines.base import EngineOptions
    from ssl4rl_bench.engines.checkpoints.weights import Model
    from ssl4rl_bench.run.spec import LoadedTask


class ReplayEngine:
    """Answers each request with its recorded reply; a request without one fails."""

    name = "replay"

    def __init__(self, model: Model | None, options: EngineOptions) -> None:
        """Reads all replies. The model is ignored.

        Raises:
            UsageError: no replies are given.
            DataError: they cannot be read, a line is malformed, or one request has two texts.
        """
        if options.replies is None:
            raise UsageError("the replay engine needs recorded replies: set replies=FILE or replies=RUN")
        self._recorded = read(options.replies)
        # 2: replies are found by task too; what version 1 wrote of several tasks may have mixed them.
        self.version = f"2 {digest(options.replies)[:16]}"
        """Names the replies' content: other replies are another experiment."""

    def check_tasks(self, tasks: Sequence[LoadedTask]) -> None:
        """Sees before the first request that each reply belongs to one task, asked as it was recorded.

        Raises:
            UsageError: the replies do not say which of the tasks they are of, or are of none of them, or were
                recorded with another `--image`.
            DataError: one request has two texts.
        """
        self._recorded.check_images({task.name: task.image for task in tasks})
        self._recorded.check({task.name: frozenset(sample.id for sample in task.samples) for task in tasks})

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """As `types.Engine.run`, in order."""
        for request in requests:
            id, repeat = request.sample.id, request.repeat
            missing = f"no recorded reply for sample {id}, repeat {repeat}"
            found = self._recorded.find(request.task, id, repeat)
            yield request, found or Completion("", "error", error=missing)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Raises EngineError: a recorded reply belongs to a sample, not to a prompt."""
        raise EngineError("the replay engine cannot answer a question of its own; use another engine")

    def close(self) -> None:
        """Nothing to free."""
