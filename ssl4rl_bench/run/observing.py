"""The interface through which loading and running report their progress to a user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from ssl4rl_bench.core.types import Task
from ssl4rl_bench.run.runner import Event

ShareCallback = Callable[[float], None]
"""A callback that receives the completed share, from 0 to 1."""


class Observer:
    """Receives progress, for display on a terminal or in a notebook. This base class shows nothing."""

    def loading(self, task: str) -> AbstractContextManager[ShareCallback | None]:
        """Returns a context for loading a task. Its value is called with the share of the data read."""
        return nullcontext()

    def running(
        self, tasks: Sequence[Task], extractor: str
    ) -> AbstractContextManager[Callable[[Event], None] | None]:
        """Returns a context for a run. Its value is called with each event of the run."""
        return nullcontext()

    def measuring(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None] | None]:
        """Returns a context for a measurement of `total` parts. Its value is called with the number done."""
        return nullcontext()

    def say(self, text: str) -> None:
        """Shows an informative line, such as the location of a run or a difference from an earlier one."""

    def warn(self, text: str) -> None:
        """Shows a warning."""


SILENT = Observer()
