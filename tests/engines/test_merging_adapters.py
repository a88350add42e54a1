"""Adapters that are merged into tiny-base, and those that would leave it unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoint_folders import TINY, load, to_file

from ssl4rl_bench.core.errors import ModelError, UsageError
from ssl4rl_bench.engines.adapters import base_of, main, merge_adapter
from ssl4rl_bench.engines.checkpoints.weights import fingerprint

MODULE = "base_model.model.model.language_model.layers.0.self_attn.q_proj"
WEIGHT = "model.layers.0.self_attn.q_proj.weight"
"""The name of its weight in the files of tiny-base."""


def test_a_base_that_is_not_named_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": null}')
    with pytest.raises(ModelError, match=r"names no base: .* NEW --base BASE"):
        base_of(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    assert base_of(tmp_path) == "org/base"


def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="already exists"):
        merge_adapter(tmp_path, tmp_path)
    adapter = write_adapter(tmp_path / "adapter", base=str(tmp_path / "gone"))
    assert main([str(adapter), str(tmp_path / "new")]) == 2
    assert "name it with --base" in capsys.readouterr().err and not (tmp_path / "new").exists()


def write_adapter(folder: Path, base: str = str(TINY), module: str = MODULE, **changes: Any) -> Path:
    """Writes an adapter of rank 1 for one module, in the form that PEFT saves."""
    folder.mkdir()
    width = load()[WEIGHT].shape
    raw = next(iter(load().values()))
    ones = {"A": (1, width[1]), "B": (width[0], 1)}
    value = (0x3F800000).to_bytes(4, "little")
    tensors = {
        f"{module}.lora_{side}.weight": raw._replace(
            dtype="F32", shape=shape, data=value * (shape[0] * shape[1])
        )
        for side, shape in ones.items()
    }
    to_file(folder / "adapter_model.safetensors", tensors)
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": base} | changes
    config |= {"target_modules": r"model\.language_model\.layers\.0\.self_attn\.q_proj"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.engine
def test_an_adapter_is_added_to_its_module_alone(tmp_path: Path) -> None:
    """With A and B of ones and a scale of 1, each weight of the module grows by 1."""
    from safetensors.torch import load_file

    adapter = write_adapter(tmp_path / "adapter")
    (adapter / "chat_template.jinja").write_text("the trainer's")
    merge_adapter(adapter, tmp_path / "new")
    before, after = load_file(TINY / "model.safetensors"), load_file(tmp_path / "new" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = [name for name in before if not before[name].equal(after[name])]
    assert changed == [WEIGHT]
    assert (after[changed[0]] - before[changed[0]] - 1).abs().max() < 0.01
    assert after[changed[0]].dtype == before[changed[0]].dtype
    assert fingerprint(tmp_path / "new") != fingerprint(TINY)
    assert (tmp_path / "new" / "chat_template.jinja").read_text() == "the trainer's"
    assert (tmp_path / "new" / "tokenizer.json").read_bytes() == (TINY / "tokenizer.json").read_bytes()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module": MODULE.replace("language_model.", "")}, "2 of the 2 tensors of .* belong to no module"),
        ({"lora_alpha": 0}, "merging it changes nothing"),
    ],
)
def test_an_adapter_that_would_leave_the_base_unchanged_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        merge_adapter(write_adapter(tmp_path / "adapter", **changes), tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]
