"""Ends a run early with a saved checkpoint: at a step, on SIGTERM (a pre-empted node), on Ctrl-C, or by a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl4rl_bench.core.interrupts import Stop


class Stopping(Stop):
    """Stops all processes of a run when one of them receives a signal, or sees the stop file.

    During training, the first signal requests a save after the current update, and the second aborts. Before
    training there is nothing to save, so that the first signal aborts. After the last save, signals have no
    effect.
    """

    ends = False
    """Whether any process had a reason to stop when `anywhere` was last called."""

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self.file = file
        """A file that ends the run once it exists."""

    @property
    def by_file(self) -> bool:
        """Whether the stop file exists."""
        return self.file is not None and self.file.exists()

    def callback(self, stop_at: int) -> Any:
        """Returns a callback that saves and stops after `stop_at` updates, a signal or the stop file."""
        from transformers import TrainerCallback

        stopping = self

        class Callback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                stopping._deferred = True

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step >= stop_at or stopping.anywhere():
                    control.should_save = control.should_log = control.should_training_stop = True

        return Callback()

    def anywhere(self) -> bool:
        """Whether any process has a reason to stop. All processes must call this together."""
        from accelerate import PartialState

        state = PartialState()
        self.ends = self.is_set() or self.by_file
        if state.num_processes > 1:
            import torch
            from accelerate.utils import reduce

            asked = reduce(torch.tensor(float(self.ends), device=state.device), "sum")
            self.ends = bool(asked.item())
        return self.ends
