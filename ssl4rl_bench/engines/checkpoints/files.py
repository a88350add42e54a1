"""Which files of a folder are its weights. A folder that holds them in two forms is refused.

transformers reads `model.safetensors` where it is there, and else what the index names; vLLM reads what the index
names, and without one every safetensors file. Only a folder in which both read the same is a checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.checkpoints import foreign
from ssl4rl_bench.engines.checkpoints.tensors import TensorFile, read_header, shown

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_SHARD = re.compile(r"(pytorch_)?model[\w.-]*\.safetensors|consolidated.*|.*-\d+-of-\d+\.safetensors")
"""Names that a checkpoint's weights have, or had before they were saved anew."""
REPAIR = "python -m ssl4rl_bench.repair"
"""The command that rewrites a folder's weights; see `repair`."""


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object.

    Raises:
        ModelError: it is not there, or holds something else.
    """
    try:
        value = parse_json(path.read_bytes())
    except (OSError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; copy or download it again")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint's config.json.

    Raises:
        ModelError: there is none; says what the folder is instead, if that is known.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(_why_no_config(folder))
    return read_json(folder / "config.json")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up a checkpoint, sorted.

    Raises:
        ModelError: there are none, one that the index names is missing, the weights are there in two forms, or an
            adapter lies beside them.
    """
    single = [SINGLE] if (folder / SINGLE).is_file() else []
    indexed = sorted(set(weight_map(folder).values())) if (folder / INDEX).is_file() else []
    missing = [name for name in indexed if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"{folder} lacks {missing[0]}{more}, which its index names; copy or download it again"
            + (f", or delete the index if {SINGLE} is what was saved last" if single else "")
        )
    present = sorted(path.name for path in folder.glob("*.safetensors") if path.is_file())
    adapters = [*folder.glob("adapter_config.json"), *folder.glob("adapter_model.*")]
    weights = [name for name in present if not name.startswith("adapter_")]
    if weights and adapters:
        raise ModelError(
            f"{folder} holds full weights and an adapter ({adapters[0].name}), and engines disagree on which counts; "
            f"if it is merged into the weights, move it aside: mkdir {folder}/adapter && mv {folder}/adapter_* "
            f"{folder}/adapter, and else merge it first (peft: merge_and_unload, then save_pretrained)"
        )
    used = indexed or single
    if not used:
        raise ModelError(_why_no_weights(folder, weights))
    if (folder / "params.json").is_file():  # Mistral publishes its own form beside transformers'
        weights = [name for name in weights if not name.startswith("consolidated")]
    if indexed:  # then engines read no file of another kind of name
        weights = [name for name in weights if _SHARD.fullmatch(name)]
    if left := [name for name in weights if name not in used]:
        raise ModelError(_two_forms(folder, used, left, bool(indexed)))
    return [folder / name for name in used]


def read_weights(folder: Path) -> list[TensorFile]:
    """The headers of a checkpoint's weight files, in the files' order.

    Raises:
        ModelError: as `weight_files` and `tensors.read_header`; a tensor is in two files, or not in the index.
    """
    files = [read_header(path) for path in weight_files(folder)]
    places: dict[str, Path] = {}
    for file in files:
        for name in file.tensors:
            if name in places:
                raise ModelError(
                    f"{folder} holds {shown([name])} twice, in {places[name].name} and {file.path.name}; "
                    "delete the file that is left from an earlier save, or save the checkpoint again"
                )
            places[name] = file.path
    if (folder / INDEX).is_file():
        named = weight_map(folder)
        if unnamed := [name for name in places if name not in named]:
            raise ModelError(
                f"{folder / INDEX} names {len(places) - len(unnamed)} of the {len(places)} tensors in its files, not "
                f"{shown(unnamed)}: it is stale or cut; write it anew: {REPAIR} {folder} NEW"
            )
    return files


def weight_map(folder: Path) -> Mapping[str, str]:
    """Tensor name to file name, of the folder's index.

    Raises:
        ModelError: it is no index, or names something that is no file name.
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
    text = f"{folder} holds its weights in two forms: "
    if indexed and SINGLE in left:
        return text + (
            f"{SINGLE} beside the {len(used)} shards that {INDEX} names; transformers reads the one and vLLM the "
            f"other, so delete what is stale: rm {folder / SINGLE}, or the shards with their index"
        )
    if indexed:
        return text + (
            f"{shown(left)} beside what {INDEX} names; if they are left from an earlier save, "
            f"delete them, and if the index is stale, write it anew: {REPAIR} {folder} NEW"
        )
    return text + (
        f"{shown(left)} beside {SINGLE}; transformers reads {SINGLE} alone and vLLM all, so delete what is stale"
    )


def _why_no_weights(folder: Path, weights: Sequence[str]) -> str:
    if weights:
        return (
            f"{folder} holds {shown(weights)} but no {INDEX} that names them; write it: {REPAIR} {folder} NEW"
        )
    known = foreign.explain(folder) or foreign.explain_state(folder)
    return known or f"{folder} has no weights ({SINGLE}, or {INDEX} with its shards)"


def _why_no_config(folder: Path) -> str:
    if (known := foreign.explain(folder)) is not None:
        return known
    inside = sorted(path.parent for path in folder.glob("*/config.json"))
    if inside:
        return f"{folder} holds checkpoints but is none; name one of its {len(inside)}, such as {inside[-1]}"
    if any(folder.glob("*.safetensors")):
        return f"{folder} has weights but no config.json; copy it from the base that they were trained from"
    return foreign.explain_state(folder) or f"{folder} has no config.json; name the folder of a checkpoint"
