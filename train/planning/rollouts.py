"""Memory of rollouts, and of the images that TRL keeps for a step."""

from __future__ import annotations

from ssl4rl_bench.train.planning.activations import block_pass, layer_pass, pixel_bytes, scoring_pass
from ssl4rl_bench.train.planning.memory_parts import (
    ALWAYS,
    GIB,
    ROLLOUT,
    Lengths,
    MemoryPart,
    Widths,
    gib,
    times,
)
from ssl4rl_bench.train.planning.shapes import ModelShape
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.recipe import Recipe

TOKEN_FIELDS = 64
"""Bytes per token in TRL's buffer of a step: ids, masks, and log-probabilities of up to three policies."""
SCORES = 20
"""Bytes per word of the vocabulary that sampling a token needs: float32 scores before and after the temperature,
random numbers, their logarithms, and the sum."""
SCORES_TOP_P = 30
"""The same with top-p, which sorts the scores."""


def cache_bytes(shape: ModelShape, width: Widths) -> int:
    """Returns the bytes of one token's keys and values in all layers.

    Keys have the precision of the hidden states (rotary embeddings preserve it), values that of products.
    """
    return shape.num_hidden_layers * shape.kv * (width.stream + width.product)


def step_images(
    recipe: Recipe, shape: ModelShape, step: Sizes, width: Widths, lengths: Lengths
) -> list[MemoryPart]:
    """Returns TRL's buffers of a step on the GPU: each reply with a copy of its images' pixels in float32.

    The buffer of a step is replaced when the next one is complete. While replies are scored there are two, and
    three while the new one is divided into micro-batches.
    """
    v = shape.vision
    mine = step.replies // step.processes
    patches = int(lengths.images * v.spatial_merge_size**2)
    per_reply = 4 * v.pixel_values * patches + TOKEN_FIELDS * (lengths.prompt + lengths.reply)
    n_bytes = mine * per_reply
    how = f"{mine:,} replies with {patches:,} patches each ({gib(per_reply)})"
    scoring = scoring_pass(recipe, shape, step, width, lengths)
    what = "a pass over a micro-batch" if scoring > n_bytes else "a third copy, while micro-batches are made"
    return [
        MemoryPart("a step's images", n_bytes, ALWAYS, how),
        MemoryPart(
            "the next step's images", n_bytes, ("scoring",), "both steps' images are kept until it is scored"
        ),
        MemoryPart("scoring", max(scoring, n_bytes), ("scoring",), what),
    ]


def rollouts(
    recipe: Recipe, shape: ModelShape, step: Sizes, width: Widths, lengths: Lengths
) -> list[MemoryPart]:
    """Returns vLLM's memory, or that of generation with transformers of all of a process's replies at once."""
    rollout = recipe.rollout
    if rollout.engine == "vllm_server":
        return []
    if rollout.engine == "vllm_colocate":
        share = int(rollout.gpu_memory * recipe.hardware.gpu_gib * GIB)
        how = f"{rollout.gpu_memory:.0%} of {recipe.hardware.gpu_gib:g} GiB, including vLLM's weights"
        phases = ROLLOUT if rollout.sleep else ALWAYS
        return [MemoryPart("vLLM", share, phases, how + (", asleep otherwise" if rollout.sleep else ""))]
    return _by_transformers(recipe, shape, step, width, lengths)


def _by_transformers(
    recipe: Recipe, shape: ModelShape, step: Sizes, width: Widths, lengths: Lengths
) -> list[MemoryPart]:
    """Returns the memory of generation with transformers.

    Without sharding, a prompt and its images are computed once per group, its keys and values are kept once,
    and each reply adds its own tokens (`generation.generate`). With sharding, TRL generates with a copy of
    the prompt for each reply; with ZeRO-3, it gathers the entire model. The vision tower reads all images at
    once, before there are any keys and values. Each layer repeats its keys and values for all heads, except
    with flash attention.
    """
    g = recipe.grpo
    mine = step.replies // step.processes
    shared = recipe.hardware.sharding == "none"
    prompts = mine // (g.group if shared else 1)
    # With a shared prompt, each reply begins with a copy of its last token, and a reply's last token is not read.
    before, replies = prompts * (lengths.prompt - shared), mine * lengths.reply
    patches = int(prompts * lengths.images * shape.vision.spatial_merge_size**2)
    per_token = cache_bytes(shape, width)
    text = before * layer_pass(recipe, shape, width, lengths.prompt)
    pixels = 4 * shape.vision.pixel_values
    seen = patches * (block_pass(recipe, shape, width) + pixel_bytes(shape, width) - pixels)
    repeats = recipe.model.attention != "flash_attention_2" and shape.kv < shape.queries
    attention = (before + replies) * 2 * width.product * shape.queries * repeats
    sampling = mine * shape.vocab_size * (SCORES_TOP_P if g.top_p < 1 else SCORES)
    copies = "each once per group" if shared else "a copy for each reply"
    reading = f"one layer over all prompts ({gib(text)}), or one vision block over all images ({gib(seen)})"
    next_token = (
        f"one layer's attention ({gib(attention)}), or drawing a token of each reply ({gib(sampling)})"
    )
    parts = [
        MemoryPart("prompts' images", patches * pixels, ROLLOUT, f"{patches:,} patches, {copies}"),
        MemoryPart("prompts' keys and values", before * per_token, ROLLOUT, f"{before:,} tokens, {copies}"),
        MemoryPart(
            "replies' keys and values",
            replies * per_token,
            ("generating",),
            f"{replies:,} tokens, {mine:,} replies",
        ),
        MemoryPart("reading prompts", max(text, seen - before * per_token), ("reading",), reading),
        MemoryPart("next tokens", max(attention, sampling), ("generating",), next_token),
    ]
    if recipe.hardware.sharding == "zero3":
        how = f"gathered to generate: {times(width.product, shape.total, '')}"
        parts.append(MemoryPart("whole model", width.product * shape.total, ROLLOUT, how))
    return parts
