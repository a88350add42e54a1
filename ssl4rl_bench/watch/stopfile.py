"""The stop file: tells a trainer that a checkpoint shows negative transfer. It is never changed or removed here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import ALPHA
from ssl4rl_bench.core.atomic import create_json
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.watch.history import Entry
from ssl4rl_bench.watch.judging import Terms

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class StopFile:
    """The file that appears when a checkpoint shows negative transfer (`hint.hint`)."""

    path: Path

    def check(self) -> bool:
        """Returns whether the file exists already.

        Raises:
            UsageError: if it is a folder, or its folder does not exist.
        """
        if self.path.is_dir():
            raise UsageError(f"--stop-file {self.path} is a folder: name a file")
        if not self.path.absolute().parent.is_dir():
            raise UsageError(f"the folder of --stop-file {self.path} does not exist: make it first")
        return self.path.exists()

    def write(self, entry: Entry, candidate: Evaluated, baseline: Evaluated | None, terms: Terms) -> bool:
        """Writes the file for a checkpoint with a hint, unless it exists. Returns whether it was written.

        Args:
            candidate: the checkpoint's run.
            baseline: the run that it was compared with; None for the baseline itself, which has no hint.

        Raises:
            StoreError: if the disk is full or permission is denied.
        """
        if entry.hint is None or baseline is None or self.path.exists():
            return False
        content = {
            "schema": SCHEMA,
            "reason": entry.hint,
            "step": entry.step,
            "checkpoint": candidate.spec.model,
            "baseline": baseline.spec.model,
            "policy": asdict(terms.policy),
            "verdict": entry.verdict,
            "alpha": ALPHA,
            "changes": [asdict(change) for change in entry.changes if change.p_corrected < ALPHA],
        }
        create_json(self.path, content)
        return True
