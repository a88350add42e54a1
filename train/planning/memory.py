"""Estimates the memory of a GPU during training by parts, from a recipe, the shape of a model, and lengths.

Each part is derived from shapes (`states`, `activations`, `rollouts`) according to the code of transformers'
Qwen2.5-VL, TRL's GRPOTrainer, accelerate and DeepSpeed. Memory wasted by the allocator is not included.
"""

from __future__ import annotations

from ssl4rl_bench.train.planning import activations, rollouts, states
from ssl4rl_bench.train.planning.memory_parts import ALWAYS, GIB, Lengths, Memory, MemoryPart, widths
from ssl4rl_bench.train.planning.shapes import ModelShape
from ssl4rl_bench.train.planning.sizes import sizes
from ssl4rl_bench.train.recipe import Recipe

__all__ = ["GIB", "Lengths", "Memory", "MemoryPart", "estimate_memory"]

CONTEXT = 3 * GIB // 2
"""Allowance in bytes for the CUDA context, libraries and NCCL's buffers: a round number, not computed."""
CONTEXT_PART = "CUDA context"
"""Name of the part that torch's own counters of memory do not include."""


def estimate_memory(
    recipe: Recipe, shape: ModelShape, processes: int, lengths: Lengths | None = None
) -> Memory:
    """Estimates the memory of each of `processes` GPUs.

    Args:
        lengths: the lengths of prompts, replies and images; the default is `Lengths.at_most`.

    Raises:
        UsageError: as for `sizes.sizes`.
    """
    step = sizes(recipe, processes)
    width = widths(recipe)
    lengths = lengths or Lengths.at_most(recipe)
    parts = [
        *states.model_states(recipe, shape, processes, width),
        *states.gathered_weights(recipe, shape, width),
        activations.activations(recipe, shape, step, width, lengths),
        activations.log_probs(recipe, shape, width, lengths),
        *rollouts.step_images(recipe, shape, step, width, lengths),
        *rollouts.rollouts(recipe, shape, step, width, lengths),
        MemoryPart(CONTEXT_PART, CONTEXT, ALWAYS, "context, libraries, NCCL: a rough allowance"),
    ]
    return Memory(tuple(part for part in parts if part.bytes))
