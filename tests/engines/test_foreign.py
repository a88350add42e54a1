"""Folders of trainers and other formats: what they are, and a command that makes a checkpoint of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoint_folders import TINY, make

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.weights import resolve_model

DEEPSPEED = (
    "global_step500/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
    "global_step500/mp_rank_00_model_states.pt",
)
CASES = {
    "verl": (
        ["model_world_size_8_rank_0.pt", "optim_world_size_8_rank_0.pt", "huggingface/config.json"],
        [
            "FSDP shards of verl",
            "python -m verl.model_merger merge --backend fsdp --local_dir {} --target_dir NEW",
        ],
    ),
    "verl, from its global_step folder": (
        ["actor/model_world_size_8_rank_0.pt", "actor/huggingface/config.json", "data.pt"],
        ["FSDP shards of verl", "--backend fsdp --local_dir {}/actor --target_dir NEW"],
    ),
    "verl with megatron": (
        ["actor/dist_ckpt/.metadata", "actor/huggingface/config.json"],
        ["megatron shards of verl", "--backend megatron --local_dir {}/actor"],
    ),
    "DeepSpeed": (
        [*DEEPSPEED, "latest", "zero_to_fp32.py", "training_args.bin", "config.json", "trainer_state.json"],
        ["DeepSpeed", "python {}/zero_to_fp32.py {} NEW --safe_serialization"],
    ),
    "DeepSpeed without its script": (
        [*DEEPSPEED, "latest", "config.json"],
        ["DeepSpeed", "python -m deepspeed.utils.zero_to_fp32 {} NEW --safe_serialization"],
    ),
    "FSDP's distcp": (
        [
            "pytorch_model_fsdp_0/.metadata",
            "pytorch_model_fsdp_0/__0_0.distcp",
            "optimizer_0/__0_0.distcp",
            "config.json",
        ],
        ["FSDP (distcp)", "accelerate merge-weights {}/pytorch_model_fsdp_0 NEW"],
    ),
    "a folder of distcp": (
        [".metadata", "__0_0.distcp"],
        ["FSDP (distcp)", "accelerate merge-weights {} NEW"],
    ),
    "an adapter": (
        ["adapter_config.json", "adapter_model.bin", "training_args.bin"],
        ["LoRA adapter", "python -m ssl4rl_bench.merge_adapter {} NEW"],
    ),
    "an adapter with a config": (
        ["adapter_config.json", "adapter_model.bin", "config.json"],
        ["LoRA adapter"],
    ),
    "pickles": (
        ["config.json", "pytorch_model-00001-of-00002.bin", "training_args.bin"],
        ["only pickled weights (pytorch_model-00001-of-00002.bin)", "save_pretrained('NEW')"],
    ),
    "one pickle of FSDP": (["config.json", "pytorch_model_fsdp.bin"], ["pytorch_model_fsdp.bin", "convert"]),
    "a trainer's state alone": (
        ["config.json", "training_args.bin", "optimizer.pt", "rng_state.pth", "trainer_state.json"],
        ["state of a trainer", "no weights"],
    ),
    "a folder of verl's checkpoints": (
        [
            "global_step_50/actor/model_world_size_8_rank_0.pt",
            "global_step_100/actor/model_world_size_8_rank_0.pt",
        ],
        ["verl", "--local_dir {}/global_step_50/actor"],
    ),
    "EasyR1": (
        ["dataloader.pt", "actor/model_world_size_8_rank_0.pt", "actor/huggingface/config.json"],
        [
            "FSDP shards of EasyR1",
            "python scripts/model_merger.py --local_dir {}/actor",
            "{}/actor/huggingface",
        ],
    ),
    "verl with whole weights beside": (
        ["actor/model_world_size_8_rank_0.pt", "actor/huggingface/model.safetensors"],
        ["verl", "name {}/actor/huggingface, or merge"],
    ),
    "GGUF": (["config.json", "model-q4.gguf"], ["GGUF"]),
    "nothing": (["config.json", "notes.txt"], ["no weights"]),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("with_config", [True, False])
def test_a_foreign_folder_is_named_with_the_command(kind: str, with_config: bool, tmp_path: Path) -> None:
    files, words = CASES[kind]
    folder = tmp_path / "model"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")
    if with_config:
        (folder / "config.json").write_bytes((TINY / "config.json").read_bytes())
    elif (folder / "config.json").is_file():
        (folder / "config.json").unlink()
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    text = str(caught.value)
    assert ("\n" not in text and "training_args.bin) but" not in text) or kind == "a trainer's state alone"
    if kind == "nothing" and not with_config:
        words = ["no config.json"]
    for word in words:
        assert word.replace("{}", str(folder)) in text, text


def test_the_folder_of_one_global_step_names_its_tag(tmp_path: Path) -> None:
    for name in (*DEEPSPEED, "latest", "zero_to_fp32.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError) as caught:
        resolve_model(str(tmp_path / "global_step500"))
    assert f"python {tmp_path}/zero_to_fp32.py {tmp_path} NEW --tag global_step500" in str(caught.value)


def test_a_trainer_s_output_folder_names_a_checkpoint_in_it(tmp_path: Path) -> None:
    make(tmp_path / "out" / "checkpoint-500")
    (tmp_path / "out" / "training_args.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"name one of its 1, such as .*checkpoint-500"):
        resolve_model(str(tmp_path / "out"))


def test_weights_without_config_are_told(tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"weights but no config\.json"):
        resolve_model(str(folder))


def test_the_base_that_verl_s_merger_writes_for_lora_is_not_evaluated(tmp_path: Path) -> None:
    """Its weights are complete, and none of them was trained."""
    folder = make(tmp_path / "model")
    resolve_model(str(folder))
    (folder / "lora_adapter").mkdir()
    (folder / "lora_adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="the base, with the adapter next to it") as caught:
        resolve_model(str(folder))
    assert f"merge_adapter actor/lora_adapter NEW --base {folder}" in str(caught.value)
