"""Makes checkpoints as other trainers lay them out, with the small weights of `fake_checkpoints`."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from fake_checkpoints import files
from tensor_files import tensors

ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": tensors(1, size=10)}


def write(folder: Path, contents: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


def write_shards(folder: Path, world: int = 2, fill: int = 1) -> Path:
    """Writes files of the names of verl's FSDP shards, which are archives as torch.save writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for rank in range(world):
        with zipfile.ZipFile(folder / f"model_world_size_{world}_rank_{rank}.pt", "w") as archive:
            archive.writestr("data.pkl", bytes([fill]) * 50)
        (folder / f"optim_world_size_{world}_rank_{rank}.pt").write_bytes(b"x")
    return folder


def verl(out: Path, step: int, *, merged: bool = False) -> Path:
    """Makes a checkpoint in verl's order: shards, config, whole weights if asked for, then the tracker."""
    folder = out / f"global_step_{step}"
    write_shards(folder / "actor", fill=step % 256)
    small = {name: data for name, data in files(step % 256).items() if merged or name.endswith(".json")}
    write(folder / "actor" / "huggingface", small)
    (folder / "data.pt").write_bytes(b"x")
    (out / "latest_checkpointed_iteration.txt").write_text(str(step))
    return folder


def easy_r1(out: Path, step: int, *, merged: bool = False) -> Path:
    folder = verl(out, step, merged=merged)
    (folder / "data.pt").rename(folder / "dataloader.pt")
    (out / "latest_checkpointed_iteration.txt").unlink()
    (out / "checkpoint_tracker.json").write_text(f'{{"best_global_step": 0, "last_global_step": {step}}}')
    return folder


def trl(out: Path, step: int) -> Path:
    """Makes a checkpoint of transformers' Trainer, and of what builds on it: TRL, LLaMA-Factory, ms-swift."""
    state = {"trainer_state.json": b"{}", "optimizer.pt": b"x", "training_args.bin": b"x"}
    return write(out / f"checkpoint-{step}", files(step % 256) | state)


def adapter(out: Path, step: int) -> Path:
    return write(out / f"checkpoint-{step}", ADAPTER | {"trainer_state.json": b"{}", "args.json": b"{}"})


def age(*folders: Path, seconds: float = 3600.0) -> None:
    """Makes folders look old, as far as modification times tell."""
    for folder in folders:
        for path in folder.rglob("*"):
            about = path.stat()
            os.utime(path, (about.st_atime - seconds, about.st_mtime - seconds))
