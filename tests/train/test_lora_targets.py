"""LoRA targets: each must match a matrix, and matches in the vision tower are counted."""

from __future__ import annotations

from typing import Any

import pytest

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.train.lora_targets import Adapters, adapters_of
from ssl4rl_bench.train.planning.plan import plan_training
from ssl4rl_bench.train.planning.shapes import PUBLISHED, of_folder
from ssl4rl_bench.train.recipe import Recipe, find_recipe, read_recipe


def lora(*targets: str, **values: Any) -> Recipe:
    changes = {
        "lora.rank": 2,
        "lora.alpha": 4.0,
        "optimizer.name": "adamw",
        **({"lora.targets": list(targets)} if targets else {}),
        **{key.replace("__", "."): value for key, value in values.items()},
    }
    return read_recipe(find_recipe("tiny_rotation"), changes)


def test_a_target_without_a_match_is_named_with_the_nearest() -> None:
    base = resolve_model("tiny-base").path
    with pytest.raises(
        UsageError, match=r"lora.targets: q_prj does not match any matrix of tiny-base.*did you mean q_proj\?"
    ):
        adapters_of(lora("k_proj", "q_prj"), base)
    with pytest.raises(UsageError, match="input_layernorm does not match any matrix"):
        adapters_of(lora("input_layernorm"), base)
    with pytest.raises(
        UsageError, match=r"qkv is only in the vision tower of tiny-base, which model.freeze_vision"
    ):
        adapters_of(lora("q_proj", "qkv", model__freeze_vision=True), base)


def test_matches_in_the_vision_tower_are_counted() -> None:
    base = resolve_model("tiny-base").path
    shape = of_folder(base)
    layers, blocks = shape.num_hidden_layers, shape.vision.depth
    assert adapters_of(lora(), base) == Adapters(7 * layers, 3 * blocks)
    assert adapters_of(lora(), shape) == Adapters(7 * layers, 3 * blocks)
    assert adapters_of(lora(model__freeze_vision=True), base) == Adapters(7 * layers, 0)
    assert adapters_of(lora("model.language_model.layers.0.self_attn.q_proj"), base) == Adapters(1, 0)
    assert adapters_of(read_recipe(find_recipe("tiny_rotation")), base) is None


def test_the_published_shapes_need_no_weights() -> None:
    shape = PUBLISHED["Qwen/Qwen2.5-VL-3B-Instruct"]
    assert adapters_of(lora(), shape) == Adapters(7 * 36, 3 * 32)


@pytest.mark.slow
def test_the_plan_names_the_adapters_and_refuses_a_bad_target() -> None:
    planned = plan_training(lora(data__images="scenes:train:1"))
    assert str(planned.adapters).endswith("of the vision tower")
    with pytest.raises(UsageError, match="did you mean"):
        plan_training(lora("up_prj", data__images="scenes:train:1"))
