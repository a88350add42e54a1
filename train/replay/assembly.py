"""Connects a replay to the trainer: its rows and rewards, and what it adds to the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ssl4rl_bench.train.data import Rows
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.replay.loss import ReplayLoss
from ssl4rl_bench.train.replay.prepare import Replay
from ssl4rl_bench.train.replay.prompts import TASK, ReplayReward, ReplayRows
from ssl4rl_bench.train.rewards import SSLReward


class TrainerReplay(Protocol):
    """What the trainer calls."""

    def weigh(self, batch: dict[str, Any], tasks: Sequence[str]) -> None:
        """Changes the advantages of a process's scored replies in place; `tasks` names the task of each."""
        ...

    def add(self, trainer: Any, model: Any, loss: Any) -> Any:
        """Returns the loss of a micro-batch with the replay's part."""
        ...


@dataclass(frozen=True)
class Connected:
    """The arguments of the trainer that a replay changes."""

    rows: Rows | ReplayRows
    rewards: tuple[ReplayReward, ...] = ()
    in_trainer: TrainerReplay | None = None


def with_replay(
    replay: Replay | None, rows: Rows, reward: SSLReward, processor: Any, parts: Sizes
) -> Connected:
    """Returns the trainer's rows, further rewards and replay.

    Args:
        replay: the run's replay; None if nothing is replayed.
        rows: the rows of the SSL tasks.
        reward: the reward of the SSL tasks.
        parts: the sizes of a step.
    """
    if replay is None:
        return Connected(rows)
    part, schedule = replay.part, replay.schedule
    if part.kind == "self":
        loss = ReplayLoss(schedule, replay.replies, processor, part.weight, parts)
        return Connected(rows, in_trainer=loss)
    assert replay.pool.task is not None
    samples = {sample.id: sample for sample in replay.used}
    scored = ReplayReward(replay.pool.task, samples, reward.extractor, reward.end_ids)
    return Connected(ReplayRows(rows, schedule, parts), (scored,), _Weighted(part.weight))


@dataclass(frozen=True)
class _Weighted:
    """The replay of kind "reward", whose replies are part of GRPO's loss."""

    weight: float

    def weigh(self, batch: dict[str, Any], tasks: Sequence[str]) -> None:
        """Multiplies the advantages of replies to replay questions by the weight."""
        factors = torch.tensor([self.weight if task == TASK else 1.0 for task in tasks])
        batch["advantages"] = batch["advantages"] * factors.to(batch["advantages"])

    def add(self, trainer: Any, model: Any, loss: Any) -> Any:
        """Returns the loss unchanged."""
        return loss
