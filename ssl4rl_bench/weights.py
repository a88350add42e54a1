"""Checkpoints: finding one by name, checking that it is whole, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ssl4rl_bench.errors import ModelError, did_you_mean
from ssl4rl_bench.hashing import sha256_hex, sha256_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_SIDE_FILES = re.compile(
    r"config\.json|generation_config\.json|(video_)?preprocessor_config\.json|processor_config\.json"
    r"|tokenizer\.(json|model)|tokenizer_config\.json|vocab\.(json|txt)|merges\.txt"
    r"|special_tokens_map\.json|added_tokens\.json|chat_template\.(json|jinja)"
)
_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
_MAX_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""
_SAMPLE = 4096
"""Bytes of each tensor that go into the fingerprint."""


@dataclass(frozen=True)
class Model:
    """A checkpoint that was found and is whole."""

    name: str
    """As the user named it."""
    path: Path
    """The folder that holds config.json and the weights."""
    fingerprint: str
    """Hex sha256 of what determines the model's replies; the same wherever the folder lies."""
    revision: str | None
    """40-hex commit, where it came from the hub."""


def bundled_names() -> list[str]:
    """Checkpoints that come with the package."""
    root = _bundled_root()
    return sorted(path.parent.name for path in root.glob("*/config.json"))


def resolve_model(name: str, *, full_digest: bool = False) -> Model:
    """Finds a checkpoint: an existing folder, else a bundled name, else a hub id.

    A hub id is "org/name" or "org/name@revision".

    Args:
        name: see above; `~` is expanded.
        full_digest: read the weights completely for the fingerprint, instead of 4 KiB of each tensor.

    Raises:
        ModelError: when there is no such checkpoint, or it is not whole, or not in safetensors.
    """
    path = Path(name).expanduser()
    revision: str | None = None
    if path.is_file():
        raise ModelError(f"{name} is a file; name the folder that holds it and its config.json")
    if path.is_dir():
        path = path.resolve()
        if path.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", path.name):
            revision = path.name
    elif name in bundled_names():
        path = _bundled_root() / name
    elif (match := _HUB_ID.fullmatch(name)) and not name.startswith("."):
        from ssl4rl_bench.interop import hub

        path, revision = hub.snapshot(match["repo"], match["revision"])
    else:
        names = bundled_names()
        raise ModelError(
            f"no model {name!r}: no such folder, bundled are {', '.join(names) or 'none'}, and a hub id "
            f"has the form org/name and needs the network{did_you_mean(name, names)}"
        )
    return Model(name, path, fingerprint(path, full_digest=full_digest), revision)


def fingerprint(folder: Path, *, full_digest: bool = False) -> str:
    """Sha256 over the sorted list of the files that determine replies.

    Config, tokenizer, processor, chat template and generation config count with their content; of safetensors
    the size, the header and the first 4 KiB of each tensor, or with `full_digest` everything. Header and size
    alone would not do: two checkpoints of one training run have them in common.

    Raises:
        ModelError: as `resolve_model`.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(_why_no_config(folder))
    _read_json(folder / "config.json")
    listing: list[list[str | int]] = [[name, sha256_hex(data)] for name, data in side_files(folder).items()]
    for path in weight_files(folder):
        offsets, start = _tensor_offsets(path)
        size = path.stat().st_size
        digest = hashlib.sha256()
        with path.open("rb") as file:
            if full_digest:
                while block := file.read(1 << 20):
                    digest.update(block)
            else:
                digest.update(file.read(start))
                for begin, end in offsets:
                    file.seek(start + begin)
                    digest.update(file.read(min(end - begin, _SAMPLE)))
        listing.append([path.name, size, "full" if full_digest else "sampled", digest.hexdigest()])
    return sha256_json(sorted(listing, key=lambda item: str(item[0])))


def side_files(folder: Path) -> dict[str, bytes]:
    """Name and content of the files beside the weights that determine replies: config, tokenizer, processor, ..."""
    return {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if _SIDE_FILES.fullmatch(path.name)
    }


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up a checkpoint, sorted.

    Raises:
        ModelError: when there are none, or one that the index names is missing.
    """
    names = {SINGLE} if (folder / SINGLE).is_file() else set()
    if (folder / INDEX).is_file():
        weight_map = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
            raise ModelError(f"{folder / INDEX} has no weight_map; copy or download it again")
        names |= set(weight_map.values())
    outside = [name for name in names if Path(name).name != name]
    missing = sorted(name for name in names if not (folder / name).is_file())
    if outside:
        raise ModelError(
            f"{folder / INDEX} names {outside[0]!r}, which is not a file name; download it again"
        )
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"{folder} lacks {missing[0]}{more}, which its index names; copy or download it again"
        )
    if not names:
        raise ModelError(_why_no_weights(folder))
    return [folder / name for name in sorted(names)]


def _why_no_weights(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    if "adapter_config.json" in names:
        return f"{folder} is a LoRA adapter; merge it into its base (peft: merge_and_unload, save_pretrained)"
    if any(re.fullmatch(r"model_world_size_\d+_rank_\d+\.pt", name) for name in names):
        return (
            f"{folder} holds FSDP shards of verl; merge them: "
            "python -m verl.model_merger merge --backend fsdp --local_dir FOLDER --target_dir NEW"
        )
    if pickled := [name for name in names if name.endswith((".bin", ".pt", ".pth"))]:
        return (
            f"{folder} has only pickled weights ({pickled[0]}), which are never loaded; convert them to "
            "safetensors (transformers: AutoModelForImageTextToText.from_pretrained, then save_pretrained)"
        )
    return f"{folder} has no weights ({SINGLE}, or {INDEX} with its shards)"


def _tensor_offsets(path: Path) -> tuple[list[tuple[int, int]], int]:
    """Begin and end of each tensor's bytes, sorted, and where in the file they count from.

    The format: 8 bytes with the header's length (little-endian), the header (JSON), the tensors' bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head == b"version ":
            raise ModelError(f"{path} is a git-lfs pointer, not weights; run `git lfs pull`")
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(size - 8, _MAX_HEADER):
            raise ModelError(f"{path} is truncated or no safetensors file; copy or download it again")
        text = file.read(length)
    try:
        header = json.loads(text)
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        offsets = sorted(
            (int(begin), int(end)) for begin, end in (entry["data_offsets"] for entry in tensors)
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ModelError(f"{path} has a damaged header; copy or download it again") from None
    start = 8 + length
    wanted = start + max((end for _, end in offsets), default=0)
    if wanted != size:
        state = "truncated" if size < wanted else "too long"
        raise ModelError(
            f"{path} is {state}: {size} bytes, its header says {wanted}; copy or download it again"
        )
    return offsets, start


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; copy or download it again")
    return value


def _why_no_config(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file() or any(folder.glob("model_world_size_*.pt")):
        return _why_no_weights(folder)
    inside = sorted(path.parent for path in folder.glob("*/config.json"))
    if inside:
        return f"{folder} holds checkpoints but is none; name one of its {len(inside)}, such as {inside[-1]}"
    return f"{folder} has no config.json; name the folder of a checkpoint"


def _bundled_root() -> Path:
    return Path(str(resources.files("ssl4rl_bench"))) / "checkpoints"
