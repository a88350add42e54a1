"""Estimated activations against what autograd really saves, on a small Qwen2.5-VL on the CPU."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from recipe_of import SMALL, recipe_of

from ssl4rl_bench.train.planning import memory
from ssl4rl_bench.train.planning.prompt_sizes import smart_resize
from ssl4rl_bench.train.planning.shapes import ModelShape

pytestmark = pytest.mark.engine


def model_of(shape: ModelShape, dtype: str, attention: str) -> Any:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = Qwen2_5_VLConfig(
        text_config={
            **{key: value for key, value in asdict(shape).items() if key != "vision"},
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
            **ids,
        },
        vision_config={**asdict(shape.vision), "fullatt_block_indexes": [1]},
        tie_word_embeddings=shape.tie_word_embeddings,
        image_token_id=5,
        video_token_id=6,
        vision_start_token_id=3,
        vision_end_token_id=4,
        attn_implementation=attention,
        **ids,
    )
    return Qwen2_5_VLForConditionalGeneration(config).to(getattr(torch, dtype)).train()


def saved(model: Any, forward: Any) -> int:
    """Bytes that a forward pass under autocast keeps for the backward pass, weights left out."""
    import torch

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        if tensor.untyped_storage().data_ptr() not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu"):
        out = forward()
    assert out is not None
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


@pytest.mark.parametrize("lora", [None, 8])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_of_a_layer_and_of_a_block(dtype: str, lora: int | None) -> None:
    import torch
    from torch.nn import ModuleList

    model = model_of(SMALL, dtype, "sdpa")
    recipe = recipe_of(dtype=dtype, lora=lora, micro_batch=1)
    if lora:
        from peft import LoraConfig, get_peft_model

        assert recipe.lora is not None
        adapted = get_peft_model(model, LoraConfig(r=lora, target_modules=list(recipe.lora.targets)))
        trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
        assert trained == memory.trainable(recipe, SMALL)
        model = adapted.get_base_model().train()
    else:
        assert sum(p.numel() for p in model.parameters()) == SMALL.total
    text, visual = model.model.language_model, model.model.visual
    layers, blocks = text.layers, visual.blocks

    def of_text(n_layers: int, length: int) -> int:
        text.layers, text.config.num_hidden_layers = ModuleList(list(layers)[:n_layers]), n_layers
        hidden = torch.randn(2, length, SMALL.hidden_size, dtype=getattr(torch, dtype)).requires_grad_()
        mask = torch.ones(2, length, dtype=torch.long)
        mask[0, :5] = 0
        return saved(model, lambda: text(inputs_embeds=hidden, attention_mask=mask, use_cache=False)[0])

    def of_vision(n_blocks: int, side: int) -> int:
        visual.blocks = ModuleList(list(blocks)[-n_blocks:])
        pixels = torch.randn(side * side, 1176, dtype=getattr(torch, dtype)).requires_grad_()
        return saved(
            model, lambda: visual(pixels, grid_thw=torch.tensor([[1, side, side]])).last_hidden_state
        )

    width = memory._widths(recipe)
    # What grows with the length; copies of weights do not.
    layer = [of_text(3, n) - of_text(2, n) for n in (256, 512)]
    real = (layer[1] - layer[0]) / (2 * 256)
    assert memory.layer_activations(recipe, SMALL, width, 512) == pytest.approx(real, rel=0.03)
    block = [of_vision(2, side) - of_vision(1, side) for side in (16, 32)]
    real = (block[1] - block[0]) / (32 * 32 - 16 * 16)
    assert memory.block_activations(recipe, SMALL, width) == pytest.approx(real, rel=0.1)


def test_pictures_are_resized_as_transformers_does() -> None:
    from random import Random

    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as theirs

    dice = Random(1)
    for _ in range(2000):
        w, h = dice.randrange(28, 4000), dice.randrange(28, 4000)
        low, high = 3136, dice.choice([12544, 313600, 12845056])
        if max(w, h) <= 200 * min(w, h):
            assert smart_resize(w, h, low, high) == theirs(h, w, min_pixels=low, max_pixels=high)[::-1]
