"""What a replay adds to a step: questions, tokens, and the memory of the added loss. `--dry-run` shows it."""

from __future__ import annotations

import dataclasses
import math

from ssl4rl_bench.train.planning.memory import GIB, MemoryPart, estimate_memory
from ssl4rl_bench.train.planning.shapes import ModelShape
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.recipe import Recipe

_LOGIT_BYTES = 10
"""Bytes per logit of the replies: in bfloat16, in float32, and its gradient in float32."""


def tokens_a_step(recipe: Recipe, step: Sizes) -> int:
    """Returns the tokens that the replay adds to a step, at most; 0 without a replay of kind "self"."""
    part = recipe.replay
    if part is None or part.kind != "self":
        return 0
    length = recipe.grpo.max_prompt_tokens + part.max_reply_tokens
    return part.per_step(step.prompts) * length * step.passes


def replay_memory(recipe: Recipe, shape: ModelShape, step: Sizes) -> MemoryPart | None:
    """Returns the memory of the added loss on each process; None if nothing is added.

    Its activations are kept together with those of the micro-batch to which it is added. They are estimated
    as those of a micro-batch of as many replies that share no prompts. The logits of the replies are computed
    at once.
    """
    part = recipe.replay
    if part is None or part.kind != "self" or not part.weight:
        return None
    rows = part.per_step(step.prompts)
    for parts in (step.updates, step.accumulate, step.processes):
        rows = math.ceil(rows / parts)
    alike = dataclasses.replace(
        recipe,
        replay=None,
        model=dataclasses.replace(recipe.model, share_prompts=False),
        grpo=dataclasses.replace(
            recipe.grpo,
            prompts=step.processes,
            group=rows,
            updates=1,
            micro_batch=rows,
            max_reply_tokens=part.max_reply_tokens,
        ),
    )
    estimated = estimate_memory(alike, shape, step.processes)
    activations = sum(part.bytes for part in estimated.parts if part.name == "activations")
    logits = _LOGIT_BYTES * rows * (part.max_reply_tokens + 1) * shape.vocab_size
    how = (
        f"{rows} questions per micro-batch: activations ({activations / GIB:.2f} GiB) and logits "
        f"({logits / GIB:.2f} GiB)"
    )
    return MemoryPart("replay", activations + logits, ("update",), how)
