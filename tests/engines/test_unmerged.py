"""Where trainers put weights, and what is known of shards and adapters before they are merged."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from tensor_files import tensors

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.unmerged import Unmerged, locate

WEIGHTS = "model.safetensors"
SHARDS = [f"actor/model_world_size_2_rank_{rank}.pt" for rank in (0, 1)]
VERL = [*SHARDS, "actor/huggingface/config.json", "data.pt"]
ADAPTER = ["adapter_config.json", "adapter_model.safetensors"]


def write(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".pt"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("data.pkl", b"never read")
        else:
            path.write_bytes(tensors() if name.endswith(".safetensors") else b"{}")
    return folder


@pytest.mark.parametrize(
    ("names", "place"),
    [
        ([WEIGHTS, "config.json"], ""),
        ([WEIGHTS, *ADAPTER], ""),
        ([*VERL, f"actor/huggingface/{WEIGHTS}"], "actor/huggingface"),
        (["model_world_size_2_rank_0.pt", f"huggingface/{WEIGHTS}"], "huggingface"),
        (
            [*VERL, f"actor/huggingface/{WEIGHTS}", "actor/lora_adapter/adapter_config.json"],
            "actor/huggingface",
        ),
    ],
)
def test_weights_are_located(names: list[str], place: str, tmp_path: Path) -> None:
    assert locate(write(tmp_path, names)) == tmp_path / place


@pytest.mark.parametrize(
    ("names", "kind", "place", "trainer"),
    [
        (VERL, "fsdp", "actor", "verl"),
        (["actor/dist_ckpt/.metadata", "actor/huggingface/config.json"], "megatron", "actor", "verl"),
        ([*SHARDS, "dataloader.pt"], "fsdp", "actor", "EasyR1"),
        (ADAPTER, "adapter", "", ""),
        ([*VERL, *(f"actor/lora_adapter/{name}" for name in ADAPTER)], "adapter", "actor/lora_adapter", ""),
        (
            [*SHARDS, "dataloader.pt", *(f"actor/lora_adapter/{name}" for name in ADAPTER)],
            "fsdp",
            "actor",
            "EasyR1",
        ),
        (
            [*VERL, "actor/lora_adapter/adapter_config.json"],
            "fsdp",
            "actor",
            "verl",
        ),  # verl failed to save it
        # verl's merger wrote the base and the adapter with a guessed scale
        (
            [*VERL, f"actor/huggingface/{WEIGHTS}", "actor/huggingface/lora_adapter/x"],
            "fsdp",
            "actor",
            "verl",
        ),
    ],
)
def test_what_must_be_merged_is_located(
    names: list[str], kind: str, place: str, trainer: str, tmp_path: Path
) -> None:
    assert locate(write(tmp_path, names)) == Unmerged(kind, tmp_path / place, trainer)  # type: ignore[arg-type]
    Unmerged(kind, tmp_path / place, trainer).check()  # type: ignore[arg-type]


def test_the_adapter_that_ms_swift_merged_counts_as_its_weights(tmp_path: Path) -> None:
    adapter = write(tmp_path / "checkpoint-50", ADAPTER)
    merged = write(tmp_path / "checkpoint-50-merged", ["config.json"])
    assert isinstance(locate(adapter), Unmerged)
    write(merged, [WEIGHTS])
    assert locate(adapter) == merged


def test_a_folder_without_weights_is_neither(tmp_path: Path) -> None:
    assert locate(write(tmp_path, ["trainer_state.json", "runs/x.txt"])) is None


def test_shards_are_complete_with_all_ranks_to_their_ends(tmp_path: Path) -> None:
    shards = Unmerged("fsdp", write(tmp_path, VERL) / "actor", "verl")
    shards.check()
    path = tmp_path / SHARDS[1]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"rank_1\.pt is cut off"):
        shards.check()
    path.unlink()
    with pytest.raises(ModelError, match=r"lacks 1 of 2 shards \(first that of rank 1\)"):
        shards.check()
    write(tmp_path, ["actor/model_world_size_4_rank_0.pt"])
    with pytest.raises(ModelError, match="shards of 2 saves"):
        shards.check()


@pytest.mark.parametrize(
    ("kind", "names", "message"),
    [
        ("megatron", ["dist_ckpt/__0_0.distcp"], "no metadata"),
        ("adapter", ["adapter_model.safetensors"], r"lacks adapter_config\.json"),
        ("adapter", ["adapter_config.json", "adapter_model.bin"], "a pickled adapter is never loaded"),
    ],
)
def test_what_is_incomplete_is_refused(kind: str, names: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        Unmerged(kind, write(tmp_path, names), "verl").check()  # type: ignore[arg-type]


def test_an_adapter_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ADAPTER)
    (tmp_path / ADAPTER[1]).write_bytes(tensors()[:-1])
    with pytest.raises(ModelError, match="truncated"):
        Unmerged("adapter", tmp_path).check()
