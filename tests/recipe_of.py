"""A small recipe for tests, with any keys changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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


def recipe_of(**changes: Any) -> Recipe:
    """`recipe_of(micro_batch=4, kl=0.1, lora=8)`: keys find their table by name; `lora` is a rank."""
    made = Recipe(
        name="test",
        model=ModelPart("Qwen/Qwen2.5-VL-3B-Instruct"),
        data=DataPart("scenes"),
        tasks=changes.pop("tasks", {"ssl_rotation_90": 1.0}),
        grpo=GrpoPart(prompts=64, group=4, steps=10),
        optimizer=OptimizerPart(1e-6),
        hardware=HardwarePart(),
    )
    if rank := changes.pop("lora", None):
        targets = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        made = replace(made, lora=LoraPart(rank, float(rank), targets=targets))
    for key, value in changes.items():
        part = next(part for part in PARTS if hasattr(getattr(made, part), key))
        made = replace(made, **{part: replace(getattr(made, part), **{key: value})})
    return made
