"""Makes checkpoints of sharded training (FSDP2) usable without sharding, and the other way round.

The trainer calls this when it resumes, and `checkpoint.Saver` when it saves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.engines.loading import load_network

FSDP_WEIGHTS = "pytorch_model_fsdp.bin"
"""The weights of a checkpoint that accelerate saved under FSDP."""
_PLAIN, _FSDP = "optimizer.pt", "optimizer.bin"
"""The optimizer's state as transformers saves it, with numbered parameters, and as accelerate saves it under
FSDP, with named parameters."""
_HEAD = "lm_head.weight"


def require_resumable(state: Path, *, fsdp: bool, deepspeed: bool, lora: bool, processes: int) -> None:
    """Raises StoreError if a run with this kind of sharding cannot continue from a checkpoint.

    DeepSpeed's states belong to a number of processes, and peft's adapters under FSDP to FSDP.

    Args:
        state: the folder of a checkpoint that holds the files needed to resume.
        processes: the number of processes of this run.
    """
    saved = len(list(state.glob("global_step*/*zero_pp_rank_*_optim_states.pt")))
    if bool(saved) != deepspeed:
        by = "with" if saved else "without"
        raise StoreError(
            f"{state.parent} was saved {by} DeepSpeed: resume {by} it, or start another run whose model.base is this "
            "checkpoint"
        )
    if deepspeed and saved != processes:
        raise StoreError(
            f"{state.parent} was saved by {saved} processes, and DeepSpeed resumes only with as many, not with "
            f"{processes}: start {saved} processes"
        )
    if lora and (state / FSDP_WEIGHTS).is_file() != fsdp:
        by = "without" if fsdp else "with"
        raise StoreError(f"{state.parent} holds adapters that were saved {by} FSDP: resume {by} it")


def load_weights(model: Any, checkpoint: Path, dtype: Any, *, main: bool) -> None:
    """Loads a complete checkpoint into a model that FSDP2 has sharded, on all processes together.

    Args:
        main: whether this is the main process, which reads the checkpoint for all.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    state = load_network(checkpoint, dtype=dtype).state_dict() if main else {}
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, state, options=options)


def parameter_names(model: Any, optimizer: Any) -> list[list[str]]:
    """Returns the names of an optimizer's parameters by group."""
    name_of = {id(weight): name for name, weight in model.named_parameters()}
    return [[name_of[id(weight)] for weight in group["params"]] for group in optimizer.param_groups]


def convert_optimizer(folder: Path, names: Sequence[Sequence[str]], *, fsdp: bool) -> None:
    """Writes the optimizer's state in the form that is missing in `folder`, if there is one to convert.

    Args:
        names: the names of the optimizer's parameters by group.
        fsdp: whether this run uses FSDP.

    Raises:
        StoreError: the state belongs to other parameters.
    """
    import torch

    source, target = (_PLAIN, _FSDP) if fsdp else (_FSDP, _PLAIN)
    if (folder / target).exists() or not (folder / source).is_file():
        return
    saved = torch.load(folder / source, map_location="cpu", weights_only=True)
    flat = [name for group in names for name in group]
    keys: list[Any] = [key for group in saved["param_groups"] for key in group["params"]]
    if len(keys) != len(flat) or (not fsdp and set(keys) != set(flat)):
        raise StoreError(
            f"cannot resume from {folder}: its optimizer has {len(keys)} parameters, but the recipe trains "
            f"{len(flat)}, or others: resume with the recipe and the number of processes that saved it"
        )
    renamed = dict(zip(keys, flat, strict=True)) if fsdp else {name: n for n, name in enumerate(flat)}
    groups = iter(names)
    torch.save(
        {
            "state": {renamed[key]: state for key, state in saved["state"].items()},
            "param_groups": [
                {**group, "params": [name if fsdp else renamed[name] for name in next(groups)]}
                for group in saved["param_groups"]
            ],
        },
        folder / target,
    )


def drop_tied_head(folder: Path) -> None:
    """Removes the output head from a checkpoint whose config ties it to the embedding.

    FSDP gathers the head and the embedding as two tensors, so that transformers saves both.
    """
    from safetensors.torch import load_file, save_file

    config = json.loads((folder / "config.json").read_text())
    if not config.get("tie_word_embeddings", False):
        return
    index = folder / "model.safetensors.index.json"
    values = json.loads(index.read_text()) if index.is_file() else {}
    path = folder / values.get("weight_map", {}).pop(_HEAD, "model.safetensors")
    if not path.is_file():
        return
    tensors = load_file(path)
    head = tensors.pop(_HEAD, None)
    if head is None:
        return
    save_file(tensors, path, metadata={"format": "pt"})
    if values:
        values["metadata"]["total_size"] -= head.numel() * head.element_size()
        atomic.write_json(index, values)
