"""Dynamic sampling (DAPO, Yu et al. 2025, arXiv 2503.14476, section 3.2): a step without flat groups.

A group whose replies all earn the same reward is flat: its advantages are 0, and it teaches nothing. With
`grpo.dynamic`, a step draws more prompts in place of flat groups, in rounds, until it has as many groups as it
needs or `grpo.dynamic_rounds` are over; flat groups then fill it up. The prompts come in the order of the
training set, and each is drawn once. A round draws as many as are missing, divided by the share of groups so far
that were not flat, so that neither its prompts nor the chosen groups depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object
from trl import GRPOTrainer
from trl.data_utils import prepare_multimodal_messages

from ssl4rl_bench.train.data import Rows
from ssl4rl_bench.train.replay.prompts import ReplayRows

STATE = "DynamicSampling"
"""Key of the number of drawn rows in trainer_state.json, among the states of callbacks."""
_EQUAL = 1e-6
"""Rewards that differ by at most this much are equal."""


@dataclass(frozen=True)
class Drawn:
    """A prompt with its replies."""

    row: int
    replies: list[list[int]]
    """Token ids of the replies."""
    logprobs: list[Any] | None
    """vLLM's log-probabilities of the tokens."""
    rewards: list[float]
    """Rewards of the replies that could be scored."""

    @property
    def flat(self) -> bool:
        """Whether all replies earn the same reward."""
        return not self.rewards or max(self.rewards) - min(self.rewards) <= _EQUAL


class DynamicSampling(GRPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Replaces the rows of a step by those whose groups are not flat."""

    rows: Rows | ReplayRows
    dynamic_rounds: int | None
    """Maximum number of rounds of a step; None takes the rows of the data loader."""
    drawn = 0
    """Number of rows drawn so far."""
    _drawn_before = 0
    """The same at the start of the step."""
    _ready: tuple[list[list[int]], list[Any] | None] | None = None
    """The replies of the chosen groups, and their log-probabilities, until TRL asks for them."""

    def sampled(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the rows of this process for a step, each as often as it has replies.

        All processes must call this together. The replies are kept for `_generate_single_turn`.

        Args:
            inputs: the rows of the data loader.
        """
        if self.dynamic_rounds is None:
            return inputs
        n, world = self.num_generations, self.accelerator.num_processes
        mine = len(inputs) // n
        metrics = {key: list(values) for key, values in self._metrics["train"].items()}
        self._drawn_before = self.drawn
        groups = self._rounds(mine * world, self.dynamic_rounds)
        uneven, flat = [g for g in groups if not g.flat], [g for g in groups if g.flat]
        chosen = sorted([*uneven, *flat][: mine * world], key=lambda group: group.row)
        start = self.accelerator.process_index * mine
        chosen = chosen[start : start + mine]
        logprobs = [values for g in chosen for values in g.logprobs or ()]
        self._ready = [ids for g in chosen for ids in g.replies], logprobs or None
        # The rounds logged metrics of their own, and TRL logs those of the chosen groups.
        self._metrics["train"].clear()
        self._metrics["train"].update(metrics)
        self._pending_metrics.clear()
        self._pending_extra_logs.clear()
        rewards = [reward for group in groups for reward in group.rewards]
        self._metrics["train"]["prompts_drawn"].append(float(len(groups)))
        self._metrics["train"]["dropped_groups"].append(float(min(len(flat), len(groups) - mine * world)))
        self._metrics["train"]["reward_drawn"].append(
            sum(rewards) / len(rewards) if rewards else float("nan")
        )
        return self._columns([g.row for g in chosen])

    def _rounds(self, wanted: int, rounds: int) -> list[Drawn]:
        """Draws groups until `wanted` of them are not flat, or the rounds are over."""
        groups: list[Drawn] = []
        for _ in range(rounds):
            uneven = sum(not group.flat for group in groups)
            if uneven >= wanted:
                break
            n = min(wanted, -(-(wanted - uneven) * len(groups) // uneven)) if uneven else wanted
            groups += self._round(range(self.drawn, self.drawn + n))
            self.drawn += n
        return groups

    def _round(self, rows: Sequence[int]) -> list[Drawn]:
        """Generates and scores the replies to these rows on all processes."""
        n, world = self.num_generations, self.accelerator.num_processes
        share = -(-len(rows) // world)
        # The last row is repeated where the rows cannot be divided evenly.
        padded = [*rows, *[rows[-1]] * (share * world - len(rows))]
        start = self.accelerator.process_index * share
        inputs = self._columns(padded[start : start + share])
        self._row_numbers = [row["row"] for row in inputs]
        prompts = [prepare_multimodal_messages(row["prompt"], images=row["images"]) for row in inputs]
        _, ids, _, completions, logprobs, *_ = self._generate(prompts)
        scores = self._calculate_rewards(inputs, prompts, completions, ids)
        weighted = (scores * self.reward_weights.to(scores.device)).nansum(1)
        weighted[scores.isnan().all(1)] = torch.nan
        rewards = weighted.view(-1, n).tolist()
        replies = gather_object(
            [(ids[i : i + n], logprobs and logprobs[i : i + n]) for i in range(0, len(ids), n)]
        )
        return [
            Drawn(row, ids, logprobs, [value for value in values if value == value])
            for row, (ids, logprobs), values in zip(padded, replies, rewards, strict=True)
        ][: len(rows)]

    def _columns(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Returns the columns of rows, each as often as it has replies."""
        columns = self.rows({"row": [row for row in rows for _ in range(self.num_generations)]})
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        if self._ready is None:
            return super()._generate_single_turn(*args, **kwargs)
        ready, self._ready = self._ready, None
        return ready

    def _record_drawn(self) -> None:
        """Puts the number of drawn rows into the state that is saved; within a step, as of its start."""
        if self.dynamic_rounds is not None:
            within = self._step % (self.args.steps_per_generation * self.num_iterations)
            drawn = self._drawn_before if within else self.drawn
            self.state.stateful_callbacks[STATE] = {"args": {}, "attributes": {"drawn": drawn}}

    def _restore_drawn(self) -> None:
        state = self.state.stateful_callbacks.get(STATE, {})
        self.drawn = state.get("attributes", {}).get("drawn", 0)
