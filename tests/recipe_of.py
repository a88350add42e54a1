"""Makes a small recipe for tests, in which any key can be changed; also the shape of a small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ssl4rl_bench
from ssl4rl_bench.train.planning.shapes import ModelShape, VisionShape
from ssl4rl_bench.train.recipe import (
    DataPart,
    GrpoPart,
    HardwarePart,
    LoraPart,
    ModelPart,
    OptimizerPart,
    Recipe,
)

PARTS = ("model", "data", "grpo", "optimizer", "reward", "rollout", "save", "log", "hardware")


TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TINY = Path(ssl4rl_bench.__file__).parent / "checkpoints" / "tiny-base"
SMALL = ModelShape(
    hidden_size=256,
    num_hidden_layers=3,
    num_attention_heads=8,
    num_key_value_heads=2,
    intermediate_size=1376,
    vocab_size=512,
    tie_word_embeddings=True,
    vision=VisionShape(depth=2, hidden_size=160, num_heads=4, intermediate_size=428, out_hidden_size=256),
)
SMALL_QWEN3 = replace(
    SMALL,
    vision=replace(SMALL.vision, patch_size=16, num_position_embeddings=64, deepstack_visual_indexes=(0,)),
    family="qwen3_vl",
    head_dim=64,
)


def recipe_of(**changes: Any) -> Recipe:
    """Returns a recipe with changes: `recipe_of(micro_batch=4, kl=0.1, lora=8)`.

    The table of a key is found by the key's name; `lora` is a rank.
    """
    made = Recipe(
        name="test",
        model=ModelPart("Qwen/Qwen2.5-VL-3B-Instruct"),
        data=DataPart("scenes"),
        tasks=changes.pop("tasks", {"ssl_rotation_90": 1.0}),
        grpo=GrpoPart(prompts=64, group=4, steps=10),
        optimizer=OptimizerPart(1e-6),
        hardware=HardwarePart(),
    )
    targets = changes.pop("targets", TARGETS)
    if rank := changes.pop("lora", None):
        made = replace(made, lora=LoraPart(rank, float(rank), targets=targets))
    for key, value in changes.items():
        part = next(part for part in PARTS if hasattr(getattr(made, part), key))
        made = replace(made, **{part: replace(getattr(made, part), **{key: value})})
    return made
