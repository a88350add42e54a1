"""The interface through which a training run reports its progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


class Reporter:
    """Receives a run's reports on the main process and ignores them; subclasses override its methods."""

    def note(self, text: str) -> None:
        """Receives a sentence about a finding or a decision."""

    def stage(self, name: str, done: int, total: int, unit: str = "images") -> None:
        """Receives the progress of the work before the first step, counted in a unit."""

    def line(self, metrics: Mapping[str, float | None], n_steps: int) -> None:
        """Receives a line of metrics.jsonl and the number of steps of the run; None is a value without a number."""

    def replies(self, replies: Sequence[Mapping[str, object]]) -> None:
        """Receives some of the last step's replies: step, prompt, reply and reward."""

    def saved(self, checkpoint: Path) -> None:
        """Receives the path of a complete checkpoint."""
