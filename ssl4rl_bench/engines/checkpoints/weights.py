"""Resolves the name of a checkpoint to a folder, checks that it is complete, and computes its fingerprint."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError, did_you_mean
from ssl4rl_bench.core.identity import sha256_hex, sha256_json
from ssl4rl_bench.core.names import hub_id
from ssl4rl_bench.engines import templates
from ssl4rl_bench.engines.checkpoints.completeness import check_complete
from ssl4rl_bench.engines.checkpoints.files import read_config, read_json, read_weights
from ssl4rl_bench.engines.checkpoints.served import TEMPLATE_FILES, chat_template

_SIDE_FILES = re.compile(
    r"config\.json|generation_config\.json|(\w+_)?preprocessor_config\.json|processor_config\.json"
    r"|audio_tokenizer_config\.json|tokenizer[\w.]*\.json|special_tokens_map\.json|added_tokens\.json"
    r"|vocab(ulary)?\.(json|txt)|merges\.txt|tekken\.json|[\w.-]+\.(model|spm|bpe|tiktoken|vocab|model\.v\d+)"
    r"|chat_template\.json|[\w.-]+\.jinja"
    r"|params\.json|(hf_)?quant(ize)?_config\.json"
)
_SIDE_FOLDERS = re.compile(r"additional_chat_templates|[\w.-]*tokenizer[\w.-]*")
_NO_DEFAULTS = frozenset(
    {"eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version"}
    | {"_from_model_config", "use_cache", "cache_implementation", "return_dict_in_generate"}
)
"""Keys of a generation_config.json that are not sampling defaults."""
_SAMPLE = 4096
"""The number of bytes of each tensor that go into the fingerprint."""


@dataclass(frozen=True)
class Model:
    """A resolved, complete checkpoint."""

    name: str
    """The name that the user gave."""
    path: Path
    """The folder that holds config.json and the weights."""
    fingerprint: str
    """The hex sha256 of everything that determines the model's replies; does not depend on the path."""
    revision: str | None
    """The 40-hex commit of a checkpoint from the hub, else None."""


def bundled_names() -> list[str]:
    """Returns the names of the checkpoints that come with the package."""
    root = _bundled_root()
    return sorted(path.parent.name for path in root.glob("*/config.json"))


def resolve_model(name: str, *, chat: bool = False) -> Model:
    """Resolves a checkpoint: an existing folder, else a bundled name, else a hub id.

    A hub id is "org/name" or "org/name@revision".

    Args:
        name: the folder, bundled name or hub id; `~` is expanded.
        chat: require a chat template, because the model is going to be prompted.

    Raises:
        ModelError: if there is no such checkpoint, it is incomplete, not in safetensors, stored in two forms
            or does not match its config.json (see `checkpoints.files.read_weights` and
            `completeness.check_complete`),
            or it has no chat template.
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
    elif (on_hub := hub_id(name)) is not None:
        from ssl4rl_bench.engines import hub

        path, revision = hub.snapshot(*on_hub)
    else:
        names = bundled_names()
        raise ModelError(
            f"no model {name!r}: no such folder, the bundled checkpoints are {', '.join(names) or 'none'}, and a hub "
            f"id has the form org/name and needs the network{did_you_mean(name, names)}"
        )
    model = Model(name, path, fingerprint(path), revision)
    if chat:
        require_chat_template(path)
    return model


def fingerprint(folder: Path, *, full_digest: bool = False) -> str:
    """Computes the sha256 of the sorted list of files that determine replies, by scheme `scheme.SCHEME`.

    Config, tokenizer, processor, chat templates and generation config enter with their whole content.
    Safetensors files enter with their size, header and the first 4 KiB of each tensor, or completely with
    `full_digest`. Header and size alone would not suffice, since they are equal for all checkpoints of one
    training run.

    Raises:
        ModelError: see `resolve_model`.
    """
    config = read_config(folder)
    files = read_weights(folder)
    check_complete(folder, config, {name: tensor for file in files for name, tensor in file.tensors.items()})
    listing: list[list[str | int]] = [[name, sha256_hex(data)] for name, data in side_files(folder).items()]
    for file in files:
        digest = hashlib.sha256()
        with file.path.open("rb") as content:
            if full_digest:
                while block := content.read(1 << 20):
                    digest.update(block)
            else:
                digest.update(content.read(file.start))
                for tensor in sorted(file.tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
                    content.seek(tensor.begin)
                    digest.update(content.read(min(tensor.size, _SAMPLE)))
        size = file.path.stat().st_size
        listing.append([file.path.name, size, "full" if full_digest else "sampled", digest.hexdigest()])
    return sha256_json(sorted(listing, key=lambda item: str(item[0])))


def side_files(folder: Path) -> dict[str, bytes]:
    """Maps relative paths to contents for the files other than weights that determine replies.

    These are config, tokenizer and so on, also in the sub-folders that loaders read: additional chat
    templates, and a processor's further tokenizers.
    """
    inside = [path for path in folder.iterdir() if path.is_dir() and _SIDE_FOLDERS.fullmatch(path.name)]
    paths = [path for place in (folder, *inside) for path in place.iterdir() if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(paths)
        if _SIDE_FILES.fullmatch(path.name)
    }


def require_chat_template(folder: Path) -> None:
    """Checks that a checkpoint has a chat template, in any of the usual files, that renders typical prompts.

    Raises:
        ModelError: if there is none, with the name of the missing file, or if it exceeds the limits of
            `templates.TemplateGuard`.
    """
    template = chat_template(folder) or ""
    other = folder / "additional_chat_templates" / "default.jinja"
    if not template.strip() and other.is_file():
        template = other.read_text("utf-8", "replace")
    if template.strip():
        templates.guard(template, str(folder)).check_usual()
        return
    for name in TEMPLATE_FILES:
        if (folder / name).is_file():
            read_json(folder / name)  # if the file is damaged, that error is more helpful
    raise ModelError(
        f"{folder} has no chat template, neither in chat_template.jinja nor in tokenizer_config.json, so no prompt "
        "can be made; copy chat_template.jinja (or chat_template.json) from the base that it was trained from"
    )


def unused_defaults(folder: Path) -> dict[str, Any]:
    """Returns the settings in generation_config.json that other programs apply and no engine here does.

    Excludes the tokens that end a reply, which are applied, and settings that are null or false.
    """
    path = folder / "generation_config.json"
    values = read_json(path) if path.is_file() else {}
    return {
        key: value for key, value in values.items() if key not in _NO_DEFAULTS and value not in (None, False)
    }


def _bundled_root() -> Path:
    return Path(str(resources.files("ssl4rl_bench"))) / "checkpoints"
