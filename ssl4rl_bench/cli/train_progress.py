"""Shows a training run: lines of metrics, and on a terminal a bar below the lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import progress as rp

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import Bars, Pace
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.train.reporting import Reporter

_SHOWN = (
    ("reward", "reward", "{:.3f}"),
    ("format", "format", "{:.0%}"),
    ("reply_tokens", "tokens", "{:.0f}"),
    ("cut_off", "cut off", "{:.0%}"),
    ("flat_groups", "flat", "{:.0%}"),
    ("clip", "clip", "{:.1%}"),
    ("kl", "KL", "{:.4f}"),
    ("entropy", "entropy", "{:.3f}"),
    ("loss", "loss", "{:.4f}"),
    ("replay_loss", "replay", "{:.3f}"),
    ("replies_per_s", "replies/s", "{:.1f}"),
)
"""Metric, label and format of the values in a line."""


class TrainingProgress(Bars, Reporter):
    """Shows a training run on standard error."""

    def __init__(self, name: str, pace: Pace | None = None) -> None:
        left = rp.TextColumn("{task.fields[left]}", markup=False)
        columns = rp.MofNCompleteColumn(), rp.TimeElapsedColumn(), left
        super().__init__(console(stderr=True), *columns, pace=pace)
        self._name = name
        self._started: tuple[float, float] | None = None

    def note(self, text: str) -> None:
        """Prints a sentence on a separate line."""
        self.screen.print(one_line(text), soft_wrap=True)

    def stage(self, name: str, done: int, total: int, unit: str = "images") -> None:
        """Shows the progress of a stage before training."""
        line = f"{name}: {done}/{total} {unit}"
        self.show(f"{name}: {unit}", done, total or None, line, visible=done != total, left="")

    def line(self, metrics: Mapping[str, float | None], n_steps: int) -> None:
        """Prints a line of metrics and updates the bar; without a terminal, at most one line every ten seconds."""
        step = metrics["step"] or 0.0
        values = "  ".join(
            f"{label} {_shown(metrics[key], form)}" for key, label, form in _SHOWN if key in metrics
        )
        tasks = [key for key in metrics if key.startswith("reward/")]
        if len(tasks) > 1:
            values += "  " + "  ".join(
                f"{key.removeprefix('reward/').removeprefix('ssl_')} {_shown(metrics[key], '{:.3f}')}"
                for key in tasks
            )
        now = time.monotonic()
        self._started = self._started or (now, step)
        since = step - self._started[1]
        left = (n_steps - step) * (now - self._started[0]) / since if since else 0.0
        ending = f"{_span(left)} left" if left else ""
        if self.bars is not None:
            self.screen.print(f"step {step:g}  {values}")
        line = f"step {step:g}/{n_steps}  {values}  {ending}".rstrip()
        self.show(self._name, step, n_steps, line, left=ending)

    def replies(self, replies: Sequence[Mapping[str, object]]) -> None:
        """Prints replies on a terminal only; replies.jsonl contains them in any case."""
        if self.bars is None:
            return
        for reply in replies:
            text = " ".join(str(reply["reply"]).split())
            self.screen.print(f"  {reply['reward']}  {one_line(text)[:120]}", style="dim")

    def saved(self, checkpoint: Path) -> None:
        """Reports that a checkpoint is complete."""
        self.note(f"saved {checkpoint}")


def _shown(value: float | None, form: str) -> str:
    """Formats a metric; None is a value that is not finite or unknown."""
    return "–" if value is None else form.format(value)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
