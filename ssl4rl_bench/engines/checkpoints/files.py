"""Determines which files of a folder are its weights. A folder with two forms of weights is refused.

transformers reads `model.safetensors` if it exists, else the files in the index. vLLM reads the files in the
index, or without an index every safetensors file. A folder is accepted only if both read the same files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.checkpoints import foreign, unmerged
from ssl4rl_bench.engines.checkpoints.tensors import TensorFile, list_names, read_header

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_SHARD = re.compile(r"(pytorch_)?model[\w.-]*\.safetensors|consolidated.*|.*-\d+-of-\d+\.safetensors")
"""Names of a checkpoint's weight files, including leftovers of an earlier save."""
REPAIR = "python -m ssl4rl_bench.repair"
"""The command that rewrites a folder's weights; see the module `repair`."""


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        ModelError: if the file cannot be read or is not a JSON object.
    """
    try:
        value = parse_json(path.read_bytes())
    except (OSError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; copy or download it again")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """Reads a checkpoint's config.json.

    Raises:
        ModelError: if there is none; the message says what the folder is instead, if that is known.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(_why_no_config(folder))
    return read_json(folder / "config.json")


def weight_files(folder: Path) -> list[Path]:
    """Returns the sorted paths of the safetensors files that make up a checkpoint.

    Raises:
        ModelError: if there are none, a file in the index is missing, the weights are stored in two forms, or
            the folder also contains an adapter, or is a base that verl wrote beside an adapter.
    """
    if (folder / unmerged.LORA / "adapter_config.json").is_file():
        raise ModelError(
            f"{folder} is what verl's merger writes for LoRA: the base, with the adapter next to it "
            f"({unmerged.LORA}); merge the one that the trainer saved: "
            f"{unmerged.ADAPTER_COMMAND} actor/{unmerged.LORA} NEW --base {folder}"
        )
    single = [SINGLE] if (folder / SINGLE).is_file() else []
    indexed = sorted(set(weight_map(folder).values())) if (folder / INDEX).is_file() else []
    missing = [name for name in indexed if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"{folder} lacks {missing[0]}{more}, which its index names; copy or download it again"
            + (f", or delete the index if {SINGLE} was saved last" if single else "")
        )
    present = sorted(path.name for path in folder.glob("*.safetensors") if path.is_file())
    adapters = [*folder.glob("adapter_config.json"), *folder.glob("adapter_model.*")]
    weights = [name for name in present if not name.startswith("adapter_")]
    if weights and adapters:
        raise ModelError(
            f"{folder} holds full weights and an adapter ({adapters[0].name}), and engines disagree on which counts; "
            f"if it is merged into the weights, move it aside: mkdir {folder}/adapter && mv {folder}/adapter_* "
            f"{folder}/adapter, otherwise merge it first (peft: merge_and_unload, then save_pretrained)"
        )
    used = indexed or single
    if not used:
        raise ModelError(_why_no_weights(folder, weights))
    if (folder / "params.json").is_file():  # Mistral publishes its own format along with that of transformers
        weights = [name for name in weights if not name.startswith("consolidated")]
    if indexed:  # then engines ignore files with other names
        weights = [name for name in weights if _SHARD.fullmatch(name)]
    if left := [name for name in weights if name not in used]:
        raise ModelError(_two_forms(folder, used, left, bool(indexed)))
    return [folder / name for name in used]


def read_weights(folder: Path) -> list[TensorFile]:
    """Reads the headers of a checkpoint's weight files, in the order of `weight_files`.

    Raises:
        ModelError: see `weight_files` and `tensors.read_header`; also if a tensor is in two files or not in
            the index.
    """
    files = [read_header(path) for path in weight_files(folder)]
    places: dict[str, Path] = {}
    for file in files:
        for name in file.tensors:
            if name in places:
                raise ModelError(
                    f"{folder} holds {list_names([name])} twice, in {places[name].name} and {file.path.name}; "
                    "delete the file of the earlier save, or save the checkpoint again"
                )
            places[name] = file.path
    if (folder / INDEX).is_file():
        named = weight_map(folder)
        if unnamed := [name for name in places if name not in named]:
            raise ModelError(
                f"{folder / INDEX} names {len(places) - len(unnamed)} of the {len(places)} tensors in its files, not "
                f"{list_names(unnamed)}: it is stale or cut off; write it again: {REPAIR} {folder} NEW"
            )
    return files


def weight_map(folder: Path) -> Mapping[str, str]:
    """Reads the map of tensor names to file names from the folder's index.

    Raises:
        ModelError: if the file is not an index, or contains something that is not a plain file name.
    """
    names = read_json(folder / INDEX).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(v, str) for v in names.values()):
        raise ModelError(f"{folder / INDEX} has no weight_map; copy or download it again")
    if outside := [name for name in names.values() if Path(name).name != name]:
        raise ModelError(
            f"{folder / INDEX} names {outside[0]!r}, which is not a file name; download it again"
        )
    return names


def _two_forms(folder: Path, used: Sequence[str], left: Sequence[str], indexed: bool) -> str:
    text = f"{folder} contains its weights in two forms: "
    if indexed and SINGLE in left:
        return text + (
            f"{SINGLE} and the {len(used)} shards that {INDEX} names; transformers reads the former and "
            f"vLLM the latter, so delete the stale ones: rm {folder / SINGLE}, or the shards with their index"
        )
    if indexed:
        return text + (
            f"{list_names(left)} in addition to what {INDEX} names; if they are from an earlier save, "
            f"delete them, and if the index is stale, write it again: {REPAIR} {folder} NEW"
        )
    return text + (
        f"{list_names(left)} and {SINGLE}; transformers reads only {SINGLE} and vLLM all, so delete the stale ones"
    )


def _why_no_weights(folder: Path, weights: Sequence[str]) -> str:
    if weights:
        return f"{folder} holds {list_names(weights)} but no {INDEX} that names them; write it: {REPAIR} {folder} NEW"
    known = foreign.explain(folder) or foreign.explain_state(folder)
    return known or f"{folder} has no weights ({SINGLE}, or {INDEX} with its shards)"


def _why_no_config(folder: Path) -> str:
    if (known := foreign.explain(folder)) is not None:
        return known
    inside = sorted(path.parent for path in folder.glob("*/config.json"))
    if inside:
        return f"{folder} contains checkpoints but is not one; name one of its {len(inside)}, such as {inside[-1]}"
    if any(folder.glob("*.safetensors")):
        return f"{folder} has weights but no config.json; copy it from the base that they were trained from"
    return foreign.explain_state(folder) or f"{folder} has no config.json; name the folder of a checkpoint"
