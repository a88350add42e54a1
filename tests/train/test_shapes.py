"""Parameter counts against published totals and against a real checkpoint's header."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
from recipe_of import TINY

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.train.planning import shapes


def header(path: Path) -> dict[str, list[int]]:
    """Names and shapes of a safetensors file's tensors."""
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        entries = json.loads(file.read(length))
    return {name: entry["shape"] for name, entry in entries.items() if name != "__metadata__"}


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("Qwen/Qwen3-VL-4B-Instruct", 4_437_815_808),
        ("Qwen/Qwen3-VL-8B-Instruct", 8_767_123_696),
    ],
)
def test_published_totals(name: str, total: int) -> None:
    assert shapes.PUBLISHED[name].total == total


def test_parts_of_the_bundled_checkpoint_are_those_of_its_file() -> None:
    tensors = header(TINY / "model.safetensors")
    sizes = {name: math.prod(shape) for name, shape in tensors.items()}
    shape = shapes.of_folder(TINY)
    assert shape.total == sum(sizes.values())
    assert shape.parts()["embedding"] == sum(n for name, n in sizes.items() if "embed_tokens" in name)
    assert shape.parts()["layers"] == sum(n for name, n in sizes.items() if ".layers." in name)
    assert shape.parts()["merger"] == sum(n for name, n in sizes.items() if "merger" in name)
    assert shape.seeing == sum(n for name, n in sizes.items() if "visual" in name)


def test_every_matrix_of_the_bundled_checkpoint_is_known() -> None:
    tensors = header(TINY / "model.safetensors")
    real = sorted(
        math.prod(shape) for name, shape in tensors.items() if len(shape) > 1 and "embed_tokens" not in name
    )
    counted = shapes.of_folder(TINY).linears()
    assert sorted(n.inputs * n.outputs for n in counted for _ in range(n.count)) == real


def test_both_layouts_of_config_json(tmp_path: Path) -> None:
    config = json.loads((TINY / "config.json").read_text())
    flat = {**config, **config.pop("text_config"), "model_type": "qwen2_5_vl"}
    flat.pop("text_config", None)
    (tmp_path / "config.json").write_text(json.dumps(flat))
    assert shapes.of_folder(tmp_path) == shapes.of_folder(TINY)


def test_a_qwen3_says_what_its_class_assumes(tmp_path: Path) -> None:
    """The width of a head, the patches and the deepstack have defaults; only the top level ties the head."""
    text = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    text |= {"intermediate_size": 96, "vocab_size": 100, "tie_word_embeddings": True}
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 64}
    config = {"model_type": "qwen3_vl", "text_config": text, "vision_config": vision}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = shapes.of_folder(tmp_path)
    assert (shape.family, shape.queries, shape.kv, shape.vision.token_side) == ("qwen3_vl", 512, 256, 32)
    assert shape.vision.deepstack_visual_indexes == (8, 16, 24) and not shape.tie_word_embeddings
    config["vision_config"] = {**vision, "deepstack_visual_indexes": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="cannot be counted"):
        shapes.of_folder(tmp_path)


def test_a_shape_is_that_of_its_config(tmp_path: Path) -> None:
    for shape in shapes.PUBLISHED.values():
        (tmp_path / "config.json").write_text(json.dumps(shape.config()))
        assert shapes.of_folder(tmp_path) == shape


def test_what_cannot_be_counted_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        shapes.of_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelError, match="belongs to a llama"):
        shapes.of_folder(tmp_path)
    config = json.loads((TINY / "config.json").read_text())
    del config["vision_config"]["depth"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="does not say 'depth'"):
        shapes.of_folder(tmp_path)
