"""Notices what makes a training run useless: updates that are not finite, and rewards that teach nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import TrainingError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.train import checkpoint
from ssl4rl_bench.train.journal import Metrics

CONSTANT_STEPS = 20
"""The number of successive steps without differing rewards after which a task is reported."""


def failed_update(step: int, values: Mapping[str, float], last: Path | None, *, made: bool) -> TrainingError:
    """Returns the error of an update that is not finite.

    Args:
        step: the step of the update, counted from 1.
        values: the values that were checked, by name.
        last: the last complete checkpoint.
        made: whether the optimizer took the update before it could be checked.
    """
    bad = " and ".join(
        f"the {name} is {value:g}" for name, value in values.items() if not math.isfinite(value)
    )
    update = "the update was made, but is not saved" if made else "the update was not made"
    if last is None:
        fix = "there is no checkpoint before it: train with a lower optimizer.learning_rate and another --out"
    else:
        fix = (
            f"{last} is the last good checkpoint: --resume tries again from there, and a lower "
            "optimizer.learning_rate needs another --out"
        )
    return TrainingError(f"stopped at step {step}: {bad}; {update}, and {fix}")


@dataclass(slots=True)
class _State:
    """What is known about the rewards of one task."""

    last_step: int = 0
    n_steps: int = 0
    """Successive steps in which no group had differing rewards."""
    values: set[float] = field(default_factory=set)
    """The rewards in these steps; at most two are kept."""
    n_answered: int = 0
    """Readable replies in these steps."""
    reported: str = ""
    """What was reported last; empty if the task has been fine since."""


class RewardWatch:
    """Finds tasks whose replies earn no reward, or always the same one.

    Each finding is reported once, and again only if the task was fine or different in between. Steps are
    counted from the start of this process.
    """

    def __init__(self, report: Callable[[int, str, str], None], steps: int = CONSTANT_STEPS) -> None:
        """Starts with no steps.

        Args:
            report: called with the step, the task and a sentence.
            steps: the number of successive steps after which a task is reported.
        """
        self._report, self._steps = report, steps
        self._tasks: dict[str, _State] = {}

    def add(
        self, step: int, task: str, groups: Sequence[Sequence[float | None]], n_answered: int = 0
    ) -> None:
        """Adds the rewards of a task in one step, or in a part of it.

        Args:
            groups: the rewards of the replies to each prompt of the task; None for a reply without reward.
            n_answered: the number of replies that contain a readable answer.
        """
        known = [[value for value in group if value is not None and value == value] for group in groups]
        values = {value for group in known for value in group}
        state = self._tasks.setdefault(task, _State())
        if not values:
            state.n_steps, state.values = 0, set()
            n = sum(map(len, groups))
            self._tell(state, step, task, "none", self._without_reward(task, n))
        elif any(len(set(group)) > 1 for group in known):
            self._tasks[task] = _State()
        else:
            state.n_steps += step != state.last_step
            state.last_step = step
            state.values = set(sorted(state.values | values)[:2])
            state.n_answered = n_answered if state.n_steps == 1 else state.n_answered + n_answered
            if state.n_steps >= self._steps:
                self._tell(state, step, task, *self._constant(task, state))
            elif state.reported == "none":
                state.reported = ""

    def _tell(self, state: _State, step: int, task: str, what: str, sentence: str) -> None:
        if state.reported != what:
            state.reported = what
            self._report(step, task, sentence)

    @staticmethod
    def _without_reward(task: str, n: int) -> str:
        return (
            f"none of the {n} replies to {task} has a reward, so it is not trained: look at replies.jsonl, and at "
            "the errors of the engine that made the replies"
        )

    def _constant(self, task: str, state: _State) -> tuple[str, str]:
        if len(state.values) > 1:
            return "flat", (
                f"in {state.n_steps} steps, no two replies to the same prompt of {task} earned different rewards, so "
                "it is not trained: raise grpo.temperature or grpo.group, or choose another difficulty of the task"
            )
        (value,) = state.values
        look = (
            "look at replies.jsonl for the form of the answers"
            if not state.n_answered
            else "look at replies.jsonl, and choose another difficulty of the task or another reward.scheme"
        )
        return f"constant {value:g}", (
            f"every reply to {task} earned {value:g} in {state.n_steps} steps, so it is not trained"
            + ("; none contained a readable answer" if not state.n_answered else "")
            + f": {look}"
        )


def by_task(
    tasks: Sequence[str], rewards: Iterable[Sequence[float]], group: int
) -> dict[str, list[list[float | None]]]:
    """Returns the groups of rewards of each task.

    Args:
        tasks: names of the tasks.
        rewards: for each reply, the number of its task and its reward (NaN: none); groups are adjacent.
        group: replies per prompt.
    """
    rows = list(rewards)
    out: dict[str, list[list[float | None]]] = {}
    for start in range(0, len(rows), group):
        replies = rows[start : start + group]
        values = [None if math.isnan(value) else value for _, value in replies]
        out.setdefault(tasks[int(replies[0][0])], []).append(values)
    return out


class TrainingGuards:
    """Checks the updates and the rewards of a run. All processes must call its methods together."""

    def __init__(self, out: Path, updates_a_step: int, metrics: Metrics, *, main: bool) -> None:
        """Starts without a finding.

        Args:
            out: the run's folder.
            metrics: receives the failed update and the warnings.
            main: whether this process writes files.
        """
        self._out, self._updates_a_step = out, updates_a_step
        self._main, self._metrics = main, metrics
        self._rewards = RewardWatch(metrics.warn)

    def require_finite(self, trainer: Any, loss: Any, norm: Any = None) -> None:
        """Raises TrainingError if the loss or the gradient norm of an update is not finite on any process.

        Args:
            loss: tensor of shape (), the loss of this process.
            norm: the norm of all gradients: a number, a tensor or a DTensor. None if it is not known yet.
        """
        import torch

        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        device = trainer.accelerator.device
        mine = torch.tensor([float(loss), 0.0 if norm is None else float(norm)], device=device)
        losses, norms = trainer.accelerator.gather(mine).view(-1, 2).T.tolist()
        if all(map(math.isfinite, [*losses, *norms])):
            return
        values = {"loss": _worst(losses)} | ({} if norm is None else {"gradient norm": _worst(norms)})
        updates = trainer.state.global_step + 1
        if self._main:
            logs = {"loss": values["loss"], "grad_norm": values.get("gradient norm", math.nan)}
            self._metrics.log(trainer.renamed_metrics(logs), updates)
        last = checkpoint.complete_checkpoints(self._out)[-1:]
        made = trainer.is_deepspeed_enabled and norm is not None
        raise failed_update(-(-updates // self._updates_a_step), values, last[0] if last else None, made=made)

    def watch_rewards(self, trainer: Any, tasks: Sequence[str], rewards: Any) -> set[str]:
        """Reports tasks that are not trained, and returns the tasks of the replies.

        Args:
            tasks: the names of the tasks of this process's replies.
            rewards: tensor of shape (replies of all processes, reward functions); NaN for no reward.
        """
        import torch

        names = list(trainer.reward_func_names)
        numbers = [names.index(name) if (name := short_name(task)) in names else -1 for task in tasks]
        every = trainer.accelerator.gather(torch.tensor(numbers, device=rewards.device)).tolist()
        rows = [(number, values[number]) for number, values in zip(every, rewards.tolist(), strict=True)]
        groups = by_task(names, [row for row in rows if row[0] >= 0], trainer.num_generations)
        step = trainer.state.global_step // self._updates_a_step + 1
        for name, rewards_of in groups.items():
            shares = trainer._metrics["train"].get(f"{name}/answered") or [0.0]
            n = sum(map(len, rewards_of))
            if self._main:
                self._rewards.add(step, name, rewards_of, round(n * shares[-1]))
        return set(groups)


def _worst(values: Sequence[float]) -> float:
    """Returns the first value that is not finite, or else the first."""
    return next((value for value in values if not math.isfinite(value)), values[0])
