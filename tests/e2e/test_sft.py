"""The real trainer on a toy recipe: it saves what loads, and a resumed run is the same run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench import scenes
from ssl4rl_bench.weights import resolve_model

pytestmark = pytest.mark.engine


def recipe() -> dict[str, Any]:
    text = (Path(scenes.__file__).parents[2] / "train" / "recipes" / "tiny_base.toml").read_text()
    out = tomllib.loads(text)
    out["text"].update(hidden_size=48, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
    out["text"]["intermediate_size"] = 96
    out["vision"].update(hidden_size=32, depth=2, num_heads=2, intermediate_size=64)
    out["data"].update(per_leaf=3, drill_steps=2, describe_steps=1)
    out["train"].update(steps=6, batch_size=2, warmup_steps=1, decay_steps=2, save_every=3, bf16=False)
    return out


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_run_killed_after_a_save_resumes_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import Trainer

    from ssl4rl_bench.train.sft import train

    whole = weights(train(recipe(), tmp_path / "whole"))
    save = Trainer._save_checkpoint

    def save_and_die(self: Any, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_save_checkpoint", save_and_die)
        train(recipe(), tmp_path / "parts")
    assert [path.name for path in (tmp_path / "parts" / "state").iterdir()] == ["checkpoint-3"]
    resumed = weights(train(recipe(), tmp_path / "parts"))
    assert whole.keys() == resumed.keys()
    assert all(torch.allclose(whole[name].float(), resumed[name].float(), atol=1e-3) for name in whole)
    assert json.loads((tmp_path / "whole" / "ssl4rl.json").read_text())["recipe"]["name"] == "tiny-base"
    assert resolve_model(str(tmp_path / "whole")).fingerprint
