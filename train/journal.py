"""Writes and reports a run's metrics, one line per log of the trainer."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.reporting import Reporter

METRICS, REPLIES, WARNINGS = "metrics.jsonl", "replies.jsonl", "warnings.jsonl"
_NAMES = {
    "loss": "loss",
    "reward": "reward",
    "reward_std": "reward_std",
    "completions/mean_length": "reply_tokens",
    "completions/clipped_ratio": "cut_off",
    "kl": "kl",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clip",
    "frac_reward_zero_std": "flat_groups",
    "prompts_drawn": "prompts_drawn",
    "dropped_groups": "dropped_groups",
    "reward_drawn": "reward_drawn",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "replay_loss": "replay_loss",
}
"""Names of this project by TRL's names."""


class Metrics:
    """Writes metrics.jsonl, replies.jsonl and warnings.jsonl."""

    def __init__(
        self, out: Path, parts: Sizes, n_steps: int, *, from_step: int, main: bool, report: Reporter
    ) -> None:
        """Opens the files of the run.

        Args:
            main: whether this process writes files.
            from_step: the step of the checkpoint that is resumed; lines of later steps are removed.
        """
        self.out, self.parts, self.n_steps, self.report = out, parts, n_steps, report
        self.last: dict[str, float | None] = {}
        self._trainer: Any = None
        self._n_replies = 0
        before = _lines_up_to(out / METRICS, from_step) if main else []
        if main:
            _lines_up_to(out / REPLIES, from_step)
            _lines_up_to(out / WARNINGS, from_step)
        self._seconds = before[-1].get("seconds", 0.0) if before else 0.0
        self._last_step: float = from_step
        self._started = self._last_time = time.monotonic()

    def watch(self, trainer: Any, n_replies: int) -> None:
        """Sets the trainer, the source of step counts and replies, and the number of replies per log."""
        self._trainer, self._n_replies = trainer, n_replies

    def warn(self, step: int, task: str, sentence: str) -> None:
        """Writes and reports a warning about a task."""
        _append(self.out / WARNINGS, {"step": step, "task": task, "warning": sentence})
        self.report.note(f"step {step}: {sentence}")

    def log(self, metrics: Mapping[str, float], updates: int | None = None) -> None:
        """Completes a line with step, samples, time and speed, writes it and reports it.

        Args:
            metrics: values by name; one that is not finite is written as null.
            updates: the number of updates; None asks the trainer.
        """
        updates = self._trainer.state.global_step if updates is None else updates
        step = updates / self.parts.updates_a_step
        if not metrics or step <= self._last_step:
            return
        number: float = int(step) if step.is_integer() else round(step, 4)
        now = time.monotonic()
        replies = (step - self._last_step) * self.parts.replies
        line: dict[str, float | None] = {
            "step": number,
            "samples": round(step * self.parts.prompts),
            "seconds": round(self._seconds + now - self._started, 3),
            **{name: _short(value) for name, value in metrics.items()},
            "replies_per_s": _short(replies / max(1e-9, now - self._last_time)),
        }
        self._last_step, self._last_time = step, now
        self.last = line
        _append(self.out / METRICS, line)
        self.report.line(line, self.n_steps)
        shown = self._replies(number)
        for reply in shown:
            _append(self.out / REPLIES, reply)
        if shown:
            self.report.replies(shown)

    def _replies(self, step: float) -> list[dict[str, Any]]:
        logs = self._trainer._logs
        out: list[dict[str, Any]] = []
        for prompt, reply in list(zip(logs["prompt"], logs["completion"], strict=True))[: self._n_replies]:
            rewards = {name: values[len(out)] for name, values in logs["rewards"].items()}
            known = [value for value in rewards.values() if value == value]
            out.append(
                {
                    "step": step,
                    "prompt": _text(prompt),
                    "reply": _text(reply),
                    "reward": sum(known) if known else None,
                }
            )
        return out


def renamed(logs: Mapping[str, Any], spent: Mapping[str, float]) -> dict[str, float]:
    """Returns TRL's metrics under this project's names, with the seconds of each phase ("rollout_s")."""
    out = {ours: logs[trl] for trl, ours in _NAMES.items() if logs.get(trl) is not None}
    for name, value in logs.items():
        if value is None:
            continue
        if name.startswith("rewards/") and name.endswith("/mean"):
            out[f"reward/{name.removeprefix('rewards/').removesuffix('/mean')}"] = value
        elif name.startswith("ssl_"):
            out[name] = value
    formats = [value for name, value in out.items() if name.endswith("/format")]
    if formats:
        out["format"] = sum(formats) / len(formats)
    out |= {f"{phase}_s": seconds for phase, seconds in spent.items() if seconds}
    return {name: float(value) for name, value in out.items()}


def _lines_up_to(path: Path, up_to: float) -> list[dict[str, Any]]:
    """Removes the lines after a step, and a truncated last line, from a file; returns the remaining lines."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_bytes().splitlines():
        with suppress(ValueError, TypeError, KeyError):
            line = parse_json(text)
            if line["step"] <= up_to:
                lines.append(line)
    atomic.write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return lines


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with atomic.reporting(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _text(chat: Any) -> str:
    if isinstance(chat, str):
        return chat
    content = chat[-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "<image>") for part in content)
