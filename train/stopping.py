"""Ends a run early and whole: at a step that was asked for, on SIGTERM (a pre-empted node), on Ctrl-C."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """While it is entered, a signal ends the run.

    During training the first one asks for a save after the current update, and the second one aborts. Before it there
    is nothing to save, and the first one aborts. After the last save it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether this process got a signal."""
        self.trains = False
        """Whether training has begun."""
        self.ends = False
        """Whether any process did, when last all were asked."""
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        for number in SIGNALS:
            self._old[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.trains:
            raise KeyboardInterrupt
        self.asked = True

    def callback(self, stop_at: int) -> Any:
        """For the trainer: stops and saves after `stop_at` updates, or when a signal came on any process."""
        from transformers import TrainerCallback

        stopping = self

        class Stop(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                stopping.trains = True

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step >= stop_at or stopping.anywhere():
                    control.should_save = control.should_log = control.should_training_stop = True

        return Stop()

    def anywhere(self) -> bool:
        """Whether any process was asked to stop. All processes must call this together."""
        from accelerate import PartialState

        state = PartialState()
        if state.num_processes > 1:
            import torch
            from accelerate.utils import reduce

            asked = reduce(torch.tensor(float(self.asked), device=state.device), "sum")
            self.ends = bool(asked.item())
        else:
            self.ends = self.asked
        return self.ends
