"""An engine that answers with recorded replies, made by this project or by another (`run.recorded`).

A reply belongs to a task, a sample and a repeat. A run's directory or journal can be replayed as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling, Task


class Replies(Protocol):
    """What is known of the replies before the first request (`run.recorded.Recorded`)."""

    @property
    def digest(self) -> str:
        """Names the replies' content."""
        ...

    def find(self, task: str, id: str, repeat: int) -> Completion | None:
        """The reply to a request; None where none is recorded."""
        ...

    def check(self, ids: Mapping[str, frozenset[str]], shown: Mapping[str, str]) -> None:
        """Sees that the replies are of these tasks; see `run.recorded.Recorded.check`."""
        ...


class ReplayEngine:
    """Answers each request with its recorded reply; a request without one fails."""

    name = "replay"

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        # 2: replies are found by task too; what version 1 wrote of several tasks may have mixed them.
        self.version = f"2 {replies.digest[:16]}"
        """Names the replies' content: other replies are another experiment."""

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """Sees before the first request that each reply belongs to one task, asked as it was recorded.

        Raises:
            UsageError: the replies do not say which of the tasks they are of, or are of none of them, or were
                recorded with another `--image`.
            DataError: one request has two texts.
        """
        ids = {task.name: frozenset(sample.id for sample in task.samples) for task in tasks}
        self._replies.check(ids, {task.name: task.image for task in tasks})

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """As `types.Engine.run`, in order."""
        for request in requests:
            id, repeat = request.sample.id, request.repeat
            missing = f"no recorded reply for sample {id}, repeat {repeat}"
            found = self._replies.find(request.task, id, repeat)
            yield request, found or Completion("", "error", error=missing)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Raises EngineError: a recorded reply belongs to a sample, not to a prompt."""
        raise EngineError("the replay engine cannot answer a question of its own; use another engine")

    def close(self) -> None:
        """Nothing to free."""
