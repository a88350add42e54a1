"""Divides a step into processes, updates and micro-batches, and computes the length of a run."""

from __future__ import annotations

from dataclasses import dataclass

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.train.recipe import Recipe


@dataclass(frozen=True)
class Sizes:
    """The sizes of a step, where replies = processes * micro_batch * accumulate * updates."""

    processes: int
    prompts: int
    """Prompts per step, over all processes."""
    replies: int
    """Replies per step, over all processes."""
    updates: int
    """Optimizer updates per pass over the replies."""
    passes: int
    micro_batch: int
    """Replies per forward pass of a process."""
    accumulate: int
    """Micro-batches per process and update."""
    replayed: int = 0
    """Prompts per step that are questions of `[replay]` with kind "reward", not of the SSL tasks."""

    @property
    def ssl_prompts(self) -> int:
        """Prompts of the SSL tasks per step, over all processes."""
        return self.prompts - self.replayed

    @property
    def micro_batches(self) -> int:
        """Micro-batches per process and pass (TRL's steps_per_generation)."""
        return self.accumulate * self.updates

    @property
    def updates_a_step(self) -> int:
        """Optimizer updates per step, over all passes."""
        return self.updates * self.passes


def sizes(recipe: Recipe, processes: int) -> Sizes:
    """Divides a recipe's step among processes.

    Raises:
        UsageError: the step cannot be divided evenly; the message suggests values that can.
    """
    g = recipe.grpo
    if g.prompts % processes:
        raise UsageError(
            f"grpo.prompts = {g.prompts} cannot be divided evenly among {processes} processes: "
            "choose a multiple of that"
        )
    replies = g.prompts * g.group
    if replies % (g.updates * processes):
        raise UsageError(
            f"grpo: {g.prompts} prompts x {g.group} replies cannot be divided evenly among {g.updates} updates x "
            f"{processes} processes: choose prompts as a multiple of {g.updates * processes}"
        )
    share = replies // (g.updates * processes)
    if share % g.micro_batch:
        fitting = [n for n in range(1, share + 1) if share % n == 0]
        nearest = sorted(sorted(fitting, key=lambda n: abs(n - g.micro_batch))[:4])
        raise UsageError(
            f"grpo.micro_batch = {g.micro_batch} does not divide a process's {share} replies of an update "
            f"({replies} replies, {g.updates} updates, {processes} processes): "
            f"{', '.join(map(str, nearest))} would"
        )
    return Sizes(
        processes=processes,
        prompts=g.prompts,
        replies=replies,
        updates=g.updates,
        passes=g.iterations,
        micro_batch=g.micro_batch,
        accumulate=share // g.micro_batch,
        replayed=replay.per_step(g.prompts) if (replay := recipe.replay) and replay.kind == "reward" else 0,
    )


def steps_of(recipe: Recipe, step: Sizes, rows: float) -> int:
    """Returns the steps of a run: the recipe's steps or the complete steps of its epochs, whichever is less.

    Args:
        rows: prompts per epoch; a float if they are estimated.

    Raises:
        DataError: the epochs are shorter than one step.
    """
    g = recipe.grpo
    by_epochs = None if g.epochs is None else int(g.epochs * rows) // step.ssl_prompts
    if by_epochs == 0:
        n_prompts = rows if isinstance(rows, int) else f"about {rows:,.0f}"
        raise DataError(
            f"{g.epochs:g} epochs of {n_prompts} prompts are less than one step of {step.ssl_prompts}: "
            "lower grpo.prompts, or give more images"
        )
    return min(n for n in (g.steps, by_epochs) if n is not None)


def shares_prompts(recipe: Recipe, parts: Sizes) -> bool:
    """Whether several replies to a prompt are computed with one copy of it, where that costs less.

    This requires complete groups in each micro-batch, and a mask that flash attention does not support.
    """
    able = recipe.model.attention != "flash_attention_2" and parts.micro_batch % recipe.grpo.group == 0
    return able and recipe.model.share_prompts
