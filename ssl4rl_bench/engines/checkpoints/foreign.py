"""Recognizes folders with weights in formats other than safetensors and suggests conversion commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ssl4rl_bench.engines.checkpoints.unmerged import Unmerged, find_shards

_DEEPSPEED = re.compile(
    r"(zero_pp_rank_\d+_)?mp_rank_\d+(_\d+)?_model_states\.pt|(bf16_)?zero_pp_rank_.*\.pt"
)
_STATE = re.compile(r"training_args\.bin|(optimizer|scheduler|scaler|rng_state|random_states|extra_state).*")
"""A trainer's pickle files that hold no weights."""
_BESIDE = "then copy config.json, the tokenizer's and the processor's files of its base into NEW"


def explain(folder: Path) -> str | None:
    """Says in one sentence what the folder holds and how to convert it to a checkpoint; None if unknown."""
    return next(_kinds(folder), None)


def _kinds(folder: Path) -> Iterator[str]:
    names = sorted(path.name for path in folder.iterdir())
    yield from _verl(folder)
    yield from _deepspeed(folder, names)
    yield from _fsdp(folder, names)
    if "adapter_config.json" in names or any(name.startswith("adapter_model.") for name in names):
        adapter = Unmerged("adapter", folder)
        yield f"{folder} is {adapter}; merge it: {adapter.command()}"
    for name in names:
        if name.endswith((".bin", ".pt", ".pth", ".ckpt")) and not _STATE.fullmatch(name):
            yield (
                f"{folder} has only pickled weights ({name}), which are never loaded; convert them to "
                'safetensors: python -c "from transformers import AutoModelForImageTextToText as M; '
                f"M.from_pretrained('{folder}', dtype='auto').save_pretrained('NEW')\", {_BESIDE}"
            )
    for ending in (".gguf", ".onnx"):
        if any(name.endswith(ending) for name in names):
            kind = ending[1:].upper()
            yield f"{folder} holds {kind} files, which no engine here loads; name the checkpoint they were made from"


def explain_state(folder: Path) -> str | None:
    """Returns the sentence for a folder that holds only a trainer's state; None if it holds no such state."""
    names = sorted(path.name for path in folder.iterdir())
    state = next((name for name in names if _STATE.fullmatch(name)), None)
    if state is None:
        return None
    return f"{folder} holds the state of a trainer ({state}) but no weights; save the model itself there too"


def _verl(folder: Path) -> Iterator[str]:
    for shards in find_shards(folder):
        merged = shards.folder / "huggingface"
        yield (
            f"{folder} holds {shards}; "
            + (f"name {merged}, or " if any(merged.glob("*.safetensors")) else "")
            + f"merge them: {shards.command()}"
        )


def _deepspeed(folder: Path, names: list[str]) -> Iterator[str]:
    tagged = [
        path
        for path in (folder, *sorted(folder.iterdir()))
        if path.is_dir() and any(_DEEPSPEED.fullmatch(inner.name) for inner in path.iterdir())
    ]
    if not tagged and not ("zero_to_fp32.py" in names and "latest" in names):
        return
    inside = bool(tagged) and tagged[0] == folder
    root = folder.resolve().parent if inside else folder
    script = root / "zero_to_fp32.py"
    program = f"python {script}" if script.is_file() else "python -m deepspeed.utils.zero_to_fp32"
    tag = f" --tag {folder.resolve().name}" if inside else ""
    yield (
        f"{folder} holds DeepSpeed's partitioned state; make a checkpoint of it: "
        f"{program} {root} NEW{tag} --safe_serialization, {_BESIDE}"
    )


def _fsdp(folder: Path, names: list[str]) -> Iterator[str]:
    for place in (
        folder,
        *(folder / name for name in names if re.match("pytorch_model_fsdp|model|weights", name)),
    ):
        if place.is_dir() and any(path.name.endswith(".distcp") for path in place.iterdir()):
            yield (
                f"{folder} holds shards of torch FSDP (distcp); merge them: "
                f"accelerate merge-weights {place} NEW, {_BESIDE}"
            )
