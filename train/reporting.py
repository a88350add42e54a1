"""What a training run tells while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


class Reporter:
    """Is called on the main process as a run goes on. This one tells nobody; others override its methods."""

    def note(self, text: str) -> None:
        """A sentence about what was found or decided."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Work before the first step."""

    def line(self, metrics: Mapping[str, float], n_steps: int) -> None:
        """A line of metrics.jsonl, and the steps of the whole run."""

    def replies(self, replies: Sequence[Mapping[str, object]]) -> None:
        """Some of the last step's replies: task, target, text, reward."""

    def saved(self, checkpoint: Path) -> None:
        """A checkpoint is whole."""
