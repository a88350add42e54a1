"""What a person may be shown while tasks are loaded and a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from ssl4rl_bench.core.types import Task
from ssl4rl_bench.run.runner import Event

Tell = Callable[[float], None]
"""Called with the share that is done, from 0 to 1."""


class Observer:
    """Who is told how far things are: a terminal or a notebook. This one shows nothing."""

    def loading(self, task: str) -> AbstractContextManager[Tell | None]:
        """A task is being loaded; what the block gets is called with the share of its data that was read."""
        return nullcontext()

    def running(
        self, tasks: Sequence[Task], extractor: str
    ) -> AbstractContextManager[Callable[[Event], None] | None]:
        """A run goes on; what the block gets is called with each event of it."""
        return nullcontext()

    def say(self, text: str) -> None:
        """A line that may help: where a run is, what differs from before."""

    def warn(self, text: str) -> None:
        """A line that the user should know."""


SILENT = Observer()
