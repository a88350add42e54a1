"""Ends a run early with a saved checkpoint: at a given step, on SIGTERM (a pre-empted node), or on Ctrl-C."""

from __future__ import annotations

from typing import Any

from ssl4rl_bench.core.interrupts import Stop


class Stopping(Stop):
    """Stops all processes of a run when one of them receives a signal.

    During training, the first signal requests a save after the current update, and the second aborts. Before
    training there is nothing to save, so that the first signal aborts. After the last save, signals have no
    effect.
    """

    ends = False
    """Whether any process had received a signal when `anywhere` was last called."""

    def callback(self, stop_at: int) -> Any:
        """Returns a callback that saves and stops after `stop_at` updates or a signal to any process."""
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
        """Whether any process has received a signal. All processes must call this together."""
        from accelerate import PartialState

        state = PartialState()
        self.ends = self.is_set()
        if state.num_processes > 1:
            import torch
            from accelerate.utils import reduce

            asked = reduce(torch.tensor(float(self.is_set()), device=state.device), "sum")
            self.ends = bool(asked.item())
        return self.ends
