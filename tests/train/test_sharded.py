"""Optimizer states of FSDP and of plain training are converted into each other; tied heads are saved once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

torch = pytest.importorskip("torch")

from ssl4rl_bench.core.errors import StoreError  # noqa: E402
from ssl4rl_bench.train.sharded import convert_optimizer, drop_tied_head, require_resumable  # noqa: E402

NAMES = [["a.weight", "b.weight"], ["a.bias"]]
NAMED = {
    "state": {
        name: {"step": torch.tensor(n), "exp_avg": torch.ones(n)}
        for n, name in enumerate(("a.weight", "b.weight", "a.bias"))
    },
    "param_groups": [{"lr": 0.1, "params": NAMES[0]}, {"lr": 0.2, "params": NAMES[1]}],
}


def test_states_are_renamed_there_and_back(tmp_path: Path) -> None:
    torch.save(NAMED, tmp_path / "optimizer.bin")
    convert_optimizer(tmp_path, NAMES, fsdp=False)
    numbered = torch.load(tmp_path / "optimizer.pt", weights_only=True)
    assert [group["params"] for group in numbered["param_groups"]] == [[0, 1], [2]]
    assert [int(numbered["state"][n]["step"]) for n in range(3)] == [0, 1, 2]
    (tmp_path / "optimizer.bin").unlink()
    convert_optimizer(tmp_path, NAMES, fsdp=True)
    again = torch.load(tmp_path / "optimizer.bin", weights_only=True)
    assert again["param_groups"] == NAMED["param_groups"] and list(again["state"]) == list(NAMED["state"])


def test_a_state_that_fits_is_left_alone(tmp_path: Path) -> None:
    for fsdp in (False, True):
        convert_optimizer(tmp_path, NAMES, fsdp=fsdp)
    assert not list(tmp_path.iterdir())
    (tmp_path / "optimizer.pt").write_bytes(b"as it is")
    torch.save(NAMED, tmp_path / "optimizer.bin")
    convert_optimizer(tmp_path, NAMES, fsdp=False)
    assert (tmp_path / "optimizer.pt").read_bytes() == b"as it is"


def test_a_state_of_other_parameters_is_refused(tmp_path: Path) -> None:
    torch.save(NAMED, tmp_path / "optimizer.bin")
    for names in ([["a.weight", "b.weight"]], [["a.weight", "c.weight"], ["a.bias"]]):
        with pytest.raises(StoreError, match="cannot resume from"):
            convert_optimizer(tmp_path, names, fsdp=False)


def test_what_deepspeed_or_peft_cannot_resume_is_refused(tmp_path: Path) -> None:
    zero3, fsdp, plain = (tmp_path / name / "trainer" for name in ("zero3", "fsdp", "plain"))
    for folder in (zero3 / "global_step1", fsdp, plain):
        folder.mkdir(parents=True)
    for rank in range(2):
        (zero3 / "global_step1" / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    (fsdp / "pytorch_model_fsdp.bin").touch()

    def check(state: Path, **run: Any) -> None:
        require_resumable(state, **{"fsdp": False, "deepspeed": False, "lora": False, "processes": 2} | run)

    check(zero3, deepspeed=True)
    for state in (fsdp, plain):
        check(state)
        check(state, fsdp=True, processes=4)
    check(fsdp, fsdp=True, lora=True)
    for state, run, words in (
        (zero3, {"fsdp": True}, "was saved with DeepSpeed: resume with it"),
        (zero3, {"deepspeed": True, "processes": 1}, "was saved by 2 processes"),
        (plain, {"deepspeed": True}, "was saved without DeepSpeed: resume without it"),
        (fsdp, {"lora": True}, "saved with FSDP"),
        (plain, {"fsdp": True, "lora": True}, "saved without FSDP"),
    ):
        with pytest.raises(StoreError, match=words):
            check(state, **run)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shards", [1, 2])
def test_a_tied_head_is_saved_once(tmp_path: Path, tied: bool, shards: int) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_text(json.dumps({"tie_word_embeddings": tied}))
    tensors: dict[str, Any] = {"model.embed_tokens.weight": torch.ones(3), "model.norm.weight": torch.ones(2)}
    head = {"lm_head.weight": torch.ones(3)}
    files = [{**tensors, **head}] if shards == 1 else [tensors, {**head, "x": torch.ones(1)}]
    names = ["model.safetensors"] if shards == 1 else [f"model-{n}.safetensors" for n in range(2)]
    for name, content in zip(names, files, strict=True):
        save_file(content, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    if shards == 2:
        where = {key: name for name, content in zip(names, files, strict=True) for key in content}
        index.write_text(json.dumps({"metadata": {"total_size": 36}, "weight_map": where}))
    drop_tied_head(tmp_path)
    assert ("lm_head.weight" in load_file(tmp_path / names[-1])) is not tied
    if shards == 2:
        values = json.loads(index.read_text())
        assert ("lm_head.weight" in values["weight_map"]) is not tied
        assert values["metadata"]["total_size"] == (24 if tied else 36)
