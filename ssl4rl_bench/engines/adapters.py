"""Merges a LoRA adapter (PEFT) into its base: `python -m ssl4rl_bench.merge_adapter ADAPTER NEW`.

PEFT only warns about an adapter whose tensors do not belong to the base, as after transformers renamed its modules,
and would then merge nothing. The merged weights would be those of the base, so such an adapter is refused here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import created_folder
from ssl4rl_bench.core.errors import BenchError, MissingDependency, ModelError, UsageError
from ssl4rl_bench.engines.checkpoints.files import read_json
from ssl4rl_bench.engines.checkpoints.tensors import list_names, read_header
from ssl4rl_bench.engines.checkpoints.unmerged import ADAPTER_COMMAND, Unmerged
from ssl4rl_bench.engines.checkpoints.weights import fingerprint, resolve_model, side_files

_OF_WEIGHTS = ("config.json", "generation_config.json")
"""The side files that are saved with the merged weights."""


def merge_adapter(adapter: Path, out: Path, base: str | None = None) -> Path:
    """Writes the checkpoint that results from an adapter, and returns `out`, which appears only when it is complete.

    The tokenizer, processor and chat template are those in the adapter's folder, and the base's where it has none.

    Args:
        base: a folder, a bundled name or a hub id; None takes the one that adapter_config.json names.

    Raises:
        ModelError: if the adapter or the base is incomplete, or they do not belong together.
        UsageError: if `out` exists.
        MissingDependency: if peft is not installed.
        StoreError: if the disk is full or permission is denied.
    """
    if out.exists():
        raise UsageError(f"{out} already exists: name another folder")
    Unmerged("adapter", adapter).check()
    base = base or base_of(adapter)
    try:
        model = resolve_model(base)
    except ModelError as error:
        raise ModelError(f"the base of {adapter} cannot be read ({error}); name it with --base") from None
    merged, dtype = merged_network(model.path, adapter)
    with created_folder(out) as folder:
        merged.to(dtype).save_pretrained(folder)
        for name, data in (side_files(model.path) | side_files(adapter)).items():
            if name not in _OF_WEIGHTS:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
        fingerprint(folder)  # checks that it is complete
    return out


def base_of(adapter: Path) -> str:
    """Returns the base that an adapter's config names.

    Raises:
        ModelError: if it names none, or cannot be read.
    """
    base = read_json(adapter / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"{adapter / 'adapter_config.json'} names no base: {ADAPTER_COMMAND} {adapter} NEW --base BASE"
        )
    return base


def merged_network(base: Path, adapter: Path) -> tuple[Any, Any]:
    """Merges an adapter in float32. Returns the network and the base's dtype.

    Raises:
        ModelError: if the adapter has no effect, or some of its tensors belong to no module of the base.
        MissingDependency: if torch or peft is not installed.
    """
    try:
        from peft import PeftModel
    except ImportError:
        raise MissingDependency.of("merging an adapter needs peft", "train") from None

    from ssl4rl_bench.engines.loading import load_network

    if read_json(adapter / "adapter_config.json").get("lora_alpha") == 0:
        raise ModelError(
            f"{adapter} has lora_alpha 0, so that merging it changes nothing; set the trainer's value"
        )
    network = load_network(base, dtype="auto")
    dtype = network.dtype
    model = PeftModel.from_pretrained(network.float(), adapter)
    _require_used(model, adapter)
    return model.merge_and_unload(), dtype


def _require_used(model: Any, adapter: Path) -> None:
    """Checks that each tensor of the adapter's file was loaded, and that the model has no further ones."""
    from peft import get_peft_model_state_dict

    held = set(read_header(adapter / "adapter_model.safetensors").tensors)
    used = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if unused := sorted(held - used):
        raise ModelError(
            f"{len(unused)} of the {len(held)} tensors of {adapter} belong to no module of its base "
            f"({list_names(unused)}); merge it with the versions of transformers and peft that trained it"
        )
    if lacking := sorted(used - held):
        raise ModelError(
            f"{adapter} lacks {len(lacking)} tensors that its config asks for ({list_names(lacking)}); copy it again"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog=ADAPTER_COMMAND, description=__doc__)
    parser.add_argument("adapter", type=Path, help="the folder with adapter_model.safetensors")
    parser.add_argument("out", type=Path, help="the folder of the merged checkpoint; must not exist")
    parser.add_argument("--base", help="the base (default: the one that adapter_config.json names)")
    asked = parser.parse_args(arguments)
    try:
        print(merge_adapter(asked.adapter, asked.out, asked.base))
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
