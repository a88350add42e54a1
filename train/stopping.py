"""Ends a run early and whole: at a step that was asked for, on SIGTERM (a pre-empted node), on Ctrl-C."""

from __future__ import annotations

from typing import Any

from ssl4rl_bench.core.interrupts import Stop


class Stopping(Stop):
    """A signal to one process of a run, heeded by all.

    During training the first one asks for a save after the current update, and the second one aborts. Before it there
    is nothing to save, and the first one aborts. After the last save it changes nothing.
    """

    ends = False
    """Whether any process had got a signal, when last all were asked."""

    def callback(self, stop_at: int) -> Any:
        """For the trainer: stops and saves after `stop_at` updates, or when a signal came on any process."""
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
        """Whether any process was asked to stop. All processes must call this together."""
        from accelerate import PartialState

        state = PartialState()
        self.ends = self.is_set()
        if state.num_processes > 1:
            import torch
            from accelerate.utils import reduce

            asked = reduce(torch.tensor(float(self.is_set()), device=state.device), "sum")
            self.ends = bool(asked.item())
        return self.ends
