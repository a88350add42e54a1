"""An engine that answers with recorded replies of this or another program (see `run.recorded`).

Each reply belongs to a task, a sample and a repeat. A run's directory or journal can be replayed directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling, Task


class Replies(Protocol):
    """The interface of recorded replies; `run.recorded.Recorded` implements it."""

    @property
    def digest(self) -> str:
        """A digest of the replies' content."""
        ...

    def find(self, task: str, id: str, repeat: int) -> Completion | None:
        """Returns the reply to a request, or None if none is recorded."""
        ...

    def check(self, ids: Mapping[str, frozenset[str]], shown: Mapping[str, str]) -> None:
        """Checks that the replies belong to these tasks; see `run.recorded.Recorded.check`."""
        ...


class ReplayEngine:
    """Answers each request with its recorded reply; a request without one fails."""

    name = "replay"

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        # Version 2 also looks replies up by task; runs of several tasks by version 1 may have mixed them.
        self.version = f"2 {replies.digest[:16]}"
        """The engine's version and a digest of the replies, since other replies are another experiment."""

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """Checks, before the first request, that the replies fit these tasks and how they are asked.

        Raises:
            UsageError: if it is unclear which of the tasks the replies belong to, if they belong to none of
                them, or if they were recorded with another `--image`.
            DataError: if there are two different replies to one request.
        """
        ids = {task.name: frozenset(sample.id for sample in task.samples) for task in tasks}
        self._replies.check(ids, {task.name: task.image for task in tasks})

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`; replies come in order."""
        for request in requests:
            id, repeat = request.sample.id, request.repeat
            missing = f"no recorded reply for sample {id}, repeat {repeat}"
            completion = self._replies.find(request.task, id, repeat)
            yield request, completion or Completion("", "error", error=missing)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Raises EngineError, since recorded replies belong to samples and not to prompts."""
        raise EngineError("the replay engine cannot answer other questions; use another engine")

    def close(self) -> None:
        """Does nothing: there is nothing to free."""
