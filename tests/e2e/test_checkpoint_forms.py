"""Expected tensors are those of transformers' models; whole checkpoints of every form load there, others do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoint_folders import GOOD, TINY, Raw, change, folder_of, load, make, present_name, renamed, without

from ssl4rl_bench.core.errors import EngineError, ModelError
from ssl4rl_bench.core.types import Categories, Message, Request, Sample, Sampling, TextPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.architecture import HEAD, expected
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.engines.loading import load_network
from ssl4rl_bench.run.doctor import release

pytestmark = pytest.mark.engine

VISION_25 = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "in_chans": 3}
VISION_25 |= {"patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2}
VISION_3 = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "in_channels": 3}
VISION_3 |= {"deepstack_visual_indexes": [5, 11, 17], "num_position_embeddings": 2304, "patch_size": 16}
QWEN25_3B = {
    "model_type": "qwen2_5_vl",
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_attention_heads": 16,
    "num_hidden_layers": 36,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vision_config": VISION_25 | {"out_hidden_size": 2048},
}
QWEN25_7B = QWEN25_3B | {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "vocab_size": 152064,
    "vision_config": VISION_25 | {"out_hidden_size": 3584},
}
QWEN2_2B = {
    "model_type": "qwen2_vl",
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_attention_heads": 12,
    "num_hidden_layers": 28,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vision_config": {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "hidden_size": 1536, "patch_size": 14},
}
QWEN3_TEXT = {
    "head_dim": 128,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "vocab_size": 151936,
    "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
}
QWEN3_4B = {
    "model_type": "qwen3_vl",
    "tie_word_embeddings": True,
    "text_config": QWEN3_TEXT,
    "vision_config": VISION_3 | {"out_hidden_size": 2560},
}
CONFIGS: dict[str, dict[str, Any]] = {
    "tiny-base": json.loads((TINY / "config.json").read_text()),
    "Qwen2.5-VL-3B": QWEN25_3B,
    "Qwen2.5-VL-7B": QWEN25_7B,
    "Qwen2-VL-2B": QWEN2_2B,
    "Qwen3-VL-4B": QWEN3_4B,
    "Qwen3-VL, untied, with biases": QWEN3_4B
    | {"tie_word_embeddings": False, "text_config": QWEN3_TEXT | {"attention_bias": True}},
    "Qwen3-VL, one deep layer": QWEN3_4B
    | {"vision_config": VISION_3 | {"out_hidden_size": 2560, "deepstack_visual_indexes": [3]}},
    "sizes left to defaults": {
        "model_type": "qwen2_5_vl",
        "text_config": {"hidden_size": 8192, "num_hidden_layers": 2},
        "vision_config": {"depth": 2},
    },
    "no vision_config": {
        "model_type": "qwen2_vl",
        "text_config": {"hidden_size": 8192, "num_hidden_layers": 1},
    },
    "Qwen3-VL, sizes left to defaults": {
        "model_type": "qwen3_vl",
        "text_config": {"hidden_size": 4096, "num_hidden_layers": 1},
        "vision_config": {},
    },
    "as many keys as heads": {
        "model_type": "qwen2_5_vl",
        "text_config": {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": None},
        "vision_config": {"depth": 1, "patch_size": 7, "temporal_patch_size": 1, "spatial_merge_size": 3},
    },
    "tied inside": {
        "model_type": "qwen2_5_vl",
        "text_config": {"hidden_size": 256, "num_hidden_layers": 1, "tie_word_embeddings": True},
    },
}


TIED_INSIDE = ("tied inside", "tied_by_text_config_alone")
"""Cases in which only the text config of a Qwen2.5-VL ties the head. transformers reads that since 5.16; earlier
versions miss the head, so that loading ends with an error."""


def skip_if_unknown(case: str) -> None:
    import transformers

    if case in TIED_INSIDE and release(transformers.__version__) < (5, 16):
        pytest.skip("this transformers does not read the text config's flag")


@pytest.mark.parametrize("name", CONFIGS)
def test_expected_tensors_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    skip_if_unknown(name)
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name]))
    config = AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    wanted = expected(CONFIGS[name])
    assert wanted is not None
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert dict(wanted.shapes) == shapes
    assert wanted.tied == (model.lm_head.weight is model.model.language_model.embed_tokens.weight)


def reply(model: Model) -> str:
    engine = HfEngine(model, EngineOptions(batch_size=2))
    message = Message("user", (TextPart("How many circles are there?"),))
    sample = Sample("0", "0", (message,), "", {}, Categories("", "", ""))
    try:
        ((_, completion),) = engine.run([Request(sample)], Sampling(max_tokens=12))
    finally:
        engine.close()
    assert completion.error is None
    return completion.text


@pytest.fixture(scope="module")
def tiny_reply() -> str:
    return reply(resolve_model("tiny-base"))


@pytest.mark.parametrize("form", GOOD)
def test_whole_checkpoints_of_every_form_answer_alike(form: str, tmp_path: Path, tiny_reply: str) -> None:
    skip_if_unknown(form)
    GOOD[form](tmp_path / "model")
    assert reply(resolve_model(str(folder_of(tmp_path / "model")), chat=True)) == tiny_reply


def unchecked(folder: Path) -> Model:
    """As if its headers had told nothing."""
    return Model("m", folder, "0" * 64, None)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (lambda: without("model.norm."), "1 tensors are missing .*language_model.norm.weight"),
        (lambda: without("visual."), "54 tensors are missing"),
        (lambda: renamed(lambda name: f"module.{name}"), "tensors are missing"),
        (
            lambda: load() | {"model.norm.weight": Raw("BF16", (96,), b"\0" * 192)},
            r"1 tensors have another shape .*norm\.weight: \[96\], not \[192\]",
        ),
    ],
)
def test_what_headers_do_not_tell_the_library_does(tensors: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        reply(unchecked(make(tmp_path / "model", tensors())))
    assert caught.value.exit_code == 2 and "report" not in str(caught.value)


def test_a_swap_refuses_alike_and_copies_nothing(tmp_path: Path) -> None:
    good, broken = make(tmp_path / "good"), make(tmp_path / "broken", without("layers.2.mlp.up_proj"))
    engine = HfEngine(unchecked(good), EngineOptions())
    network = engine._load().model
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelError, match="1 tensors are missing"):
        engine.swap(unchecked(broken))
    after = network.state_dict()
    assert all(bool((after[name] == tensor).all()) for name, tensor in before.items())
    engine.close()


def test_an_untied_head_that_is_there_loads(tmp_path: Path) -> None:
    tensors = renamed(present_name)
    head = tensors["model.language_model.embed_tokens.weight"]
    folder = make(tmp_path / "model", tensors | {HEAD: head}, {"tie_word_embeddings": False})
    config = json.loads((folder / "config.json").read_text())
    change(folder, {"text_config": {**config["text_config"], "tie_word_embeddings": False}})
    assert reply(resolve_model(str(folder)))


def test_a_load_error_keeps_its_cause(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", config={"model_type": "no_such_model"})
    with pytest.raises(EngineError, match="no_such_model"):
        reply(unchecked(folder))


def test_an_error_that_points_at_a_silenced_report_brings_it_along(tmp_path: Path) -> None:
    import logging

    class Broken:
        @staticmethod
        def from_pretrained(*_: Any, **how: Any) -> None:
            logging.getLogger("transformers.modeling_utils").warning(
                "\x1b[31mLOAD REPORT\x1b[0m\nexperts | CONVERSION"
            )
            raise RuntimeError("For details look at the `CONVERSION` entries of the above report!")

    with pytest.raises(RuntimeError, match=r"^LOAD REPORT experts \| CONVERSION$"):
        load_network(tmp_path, Broken)


TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "vocab_size": 865,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
SMALL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "qwen2_vl": ({"rope_parameters": ROPE}, {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2}),
    "qwen2_5_vl": (
        {"rope_parameters": ROPE},
        {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64},
    ),
    "qwen3_vl": (
        {"head_dim": 16, "rope_parameters": ROPE},
        {
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0, 1],
            "patch_size": 14,
            "num_position_embeddings": 16,
        },
    ),
}


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard", ["50KB", "5GB"])
def test_what_transformers_saves_is_whole_and_loads(
    family: str, tied: bool, shard: str, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText

    text, vision = SMALL[family]
    folder = make(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    config = AutoConfig.for_model(
        family,
        text_config=TEXT | text,
        vision_config=vision,
        tie_word_embeddings=tied,
        image_token_id=5,
        video_token_id=6,
        vision_start_token_id=3,
        vision_end_token_id=4,
    )
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder, max_shard_size=shard)
    assert expected(json.loads((folder / "config.json").read_text())) is not None
    assert (folder / "model.safetensors").is_file() == (shard == "5GB")
    reply(resolve_model(str(folder), chat=True))
    next(iter(sorted(folder.glob("*.safetensors")))).unlink()
    with pytest.raises(ModelError):
        resolve_model(str(folder))
