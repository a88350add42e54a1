"""The tensors that a config.json of each known family requires, in `tests/data/tensors`.

That they are those which transformers builds is a test of `test_completeness`, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import recorded

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.architecture import expected, is_buffer

TEXT = {
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 20,
}
VISION: Mapping[str, dict[str, Any]] = {
    "qwen2_vl": {"depth": 1, "embed_dim": 4, "mlp_ratio": 2, "hidden_size": 8},
    "qwen2_5_vl": {"depth": 1, "hidden_size": 4, "intermediate_size": 6, "out_hidden_size": 8},
    "qwen3_vl": {
        "depth": 1,
        "hidden_size": 4,
        "intermediate_size": 6,
        "out_hidden_size": 8,
        "num_position_embeddings": 9,
        "deepstack_visual_indexes": [0],
    },
}


def config(
    family: str, text: Mapping[str, Any] = {}, vision: Mapping[str, Any] = {}, **more: Any
) -> dict[str, Any]:
    own = {"text_config": {**TEXT, **text}, "vision_config": {**VISION[family], **vision}}
    return {"model_type": family, **own, **more}


@pytest.mark.parametrize("family", VISION)
def test_each_family_has_its_tensors(family: str) -> None:
    found = expected(config(family))
    assert found is not None
    recorded.check(
        f"tensors/{family}", "".join(f"{name} {list(shape)}\n" for name, shape in found.shapes.items())
    )


def shapes(*args: Any, **more: Any) -> Mapping[str, tuple[int, ...]]:
    found = expected(config(*args, **more))
    assert found is not None
    return found.shapes


def test_the_number_of_layers_and_heads_is_the_config_s() -> None:
    two = shapes("qwen3_vl", {"num_hidden_layers": 2, "head_dim": 6, "attention_bias": True}, {"depth": 3})
    assert (
        "model.language_model.layers.1.mlp.up_proj.weight" in two
        and "model.visual.blocks.2.norm1.bias" in two
    )
    assert two["model.language_model.layers.0.self_attn.q_proj.weight"] == (12, 8)
    assert two["model.language_model.layers.0.self_attn.k_proj.bias"] == (6,)
    every = shapes("qwen2_5_vl", {"num_key_value_heads": None})
    assert every["model.language_model.layers.0.self_attn.k_proj.weight"] == (8, 8)


def test_a_flat_config_of_an_old_release_is_read() -> None:
    flat = {"model_type": "qwen2_vl", **TEXT, "vision_config": VISION["qwen2_vl"]}
    assert expected(flat) == expected(config("qwen2_vl"))


@pytest.mark.parametrize(
    ("family", "inner", "outer", "tied"),
    [
        ("qwen2_5_vl", None, None, False),
        ("qwen2_5_vl", None, True, True),
        ("qwen2_5_vl", True, None, True),
        ("qwen3_vl", True, None, False),
        ("qwen3_vl", None, True, True),
    ],
)
def test_where_a_family_says_that_its_head_is_tied(family: str, inner: Any, outer: Any, tied: bool) -> None:
    found = expected(config(family, {"tie_word_embeddings": inner}, tie_word_embeddings=outer))
    assert found is not None and found.tied is tied and found.legacy is (family != "qwen3_vl")


@pytest.mark.parametrize(
    "given",
    [
        {"model_type": "llama", **TEXT},
        config("qwen3_vl", quantization_config={"bits": 4}),
        {"model_type": "qwen2_5_vl", "vision_config": {}},
        {},
    ],
)
def test_of_other_families_and_quantized_weights_nothing_is_expected(given: dict[str, Any]) -> None:
    assert expected(given) is None


@pytest.mark.parametrize(
    ("text", "vision", "words"),
    [
        ({"hidden_size": 0}, {}, "config.json: hidden_size is 0, not a whole number above 0"),
        ({"hidden_size": "8"}, {}, "config.json: hidden_size is '8', not a whole number above 0"),
        (
            {"num_hidden_layers": True},
            {},
            "config.json: num_hidden_layers is True, not a whole number above 0",
        ),
        (
            {"num_hidden_layers": 20_000},
            {},
            "config.json: num_hidden_layers is 20000, more than any model has",
        ),
        ({}, {"depth": 1.5}, "config.json: depth is 1.5, not a whole number above 0"),
        (
            {},
            {"deepstack_visual_indexes": 3},
            "config.json: deepstack_visual_indexes is 3, not a list of layers",
        ),
    ],
)
def test_a_size_that_is_none_is_named(text: dict[str, Any], vision: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        expected(config("qwen3_vl", text, vision))
    assert str(caught.value) == words


def test_old_names_stand_for_new_ones_and_prefixes_are_seen_through() -> None:
    found = expected(config("qwen2_5_vl"))
    assert found is not None
    new = "model.language_model.embed_tokens.weight"
    assert found.canonical("model.embed_tokens.weight") == new == found.canonical(new)
    assert found.canonical("visual.patch_embed.proj.weight") == "model.visual.patch_embed.proj.weight"
    assert found.canonical("lm_head.weight") == "lm_head.weight"
    assert found.tail("policy.actor.lm_head.weight") == "lm_head.weight"
    assert found.tail("policy.none") == "policy.none"
    three = expected(config("qwen3_vl"))
    assert three is not None and not three.knows("model.embed_tokens.weight")


def test_frequencies_that_engines_compute_are_buffers() -> None:
    assert is_buffer("model.visual.rotary_pos_emb.inv_freq") and is_buffer("rotary_emb.cos_cached")
    assert not is_buffer("model.rotary_emb.weight")
