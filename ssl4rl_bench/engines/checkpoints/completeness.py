"""Checks, from file headers alone, that a checkpoint holds the tensors that its config.json requires."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.architecture import (
    EMBEDDING,
    HEAD,
    VISION,
    Expected,
    expected,
    is_buffer,
)
from ssl4rl_bench.engines.checkpoints.files import INDEX, REPAIR, weight_map
from ssl4rl_bench.engines.checkpoints.tensors import FLOATS, Tensor, list_names, same_values

WRAPPERS: Mapping[str, str] = {
    "module.": "DataParallel, DDP or DeepSpeed",
    "_orig_mod.": "torch.compile",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
    "base_model.model.": "PEFT",
    "base_layer.": "PEFT",
}
"""Maps parts that training wrappers add to tensor names, at the start or in the middle, to the wrapper."""
_LORA = re.compile(r"\.(lora_|modules_to_save\.|base_layer\.)")
_HEADS = re.compile(r"(^|\.)(v_head|value_head|score|classifier|reward_head|summary)\.")
"""Modules that trainers and reward models add in addition to the language model's head."""


@dataclass(frozen=True, slots=True)
class _Differences:
    missing: Sequence[str]
    """Expected tensors that are absent, by their current (canonical) names."""
    extra: Sequence[str]
    """Unexpected tensors, by their names in the files."""
    twice: Sequence[str]
    """Tensors that occur under both their legacy and their current names."""
    reshaped: Mapping[str, tuple[Tensor, tuple[int, ...]]]
    """Tensors of a wrong shape, by their names in the files, with the shape that the config requires."""


def check_complete(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Checks that the tensors are those that the config requires, if that is known (`architecture.expected`).

    Raises:
        ModelError: if tensors are missing, superfluous, empty, or have the wrong shape or number format, or
            if a tied head differs from the embedding. The message gives their number, the first names, the
            likely cause and a remedy.
    """
    if "transformers_weights" in config:
        raise ModelError(
            f"{folder / 'config.json'} names a file of weights itself (transformers_weights), which only "
            "transformers reads; name that file model.safetensors and remove the key"
        )
    wanted = expected(config)
    if wanted is None:
        return
    named = weight_map(folder) if (folder / INDEX).is_file() else {}
    problem = _problem(folder, wanted, tensors, named)
    if problem is not None:
        raise ModelError(f"{folder} {problem}")


def strip_wrappers(name: str) -> str:
    """Returns a tensor's name without the parts that training wrappers add to it."""
    for part in WRAPPERS:
        while name.startswith(part):
            name = name.removeprefix(part)
        name = name.replace(f".{part}", ".")
    return name


def is_extra_head(name: str) -> bool:
    """Whether a tensor is part of a value, reward or classification head."""
    return _HEADS.search(name) is not None


def _problem(
    folder: Path, wanted: Expected, tensors: Mapping[str, Tensor], named: Mapping[str, str]
) -> str | None:
    differences = _differences(wanted, tensors)
    empty = [name for name, (tensor, shape) in differences.reshaped.items() if not tensor.size and shape]
    if empty:
        return (
            f"holds {_n(empty, 'empty tensor')} ({list_names(empty)}): DeepSpeed ZeRO-3 saved its partitions without "
            "gathering them; save again with stage3_gather_16bit_weights_on_model_save, or convert the trainer's "
            "state: python zero_to_fp32.py STATE NEW --safe_serialization"
        )
    if differences.missing:
        return _why_missing(folder, wanted, differences, {wanted.canonical(name) for name in named})
    if differences.twice:
        return (
            f"holds {_n(differences.twice)} under two names each ({list_names(differences.twice)}), and engines "
            "disagree on which counts; save the model again"
        )
    if differences.reshaped:
        name, (tensor, shape) = next(iter(differences.reshaped.items()))
        return (
            f"holds {_n(differences.reshaped)} of another shape than its config.json asks for (first "
            f"{list_names([name])}: {list(tensor.shape)}, not {list(shape)}): they belong to different models; copy "
            "the config.json that was saved with these weights"
        )
    if differences.extra:
        names = list_names(differences.extra)
        what = f"holds {_n(differences.extra)} that its config.json does not ask for ({names})"
        if all(map(is_extra_head, differences.extra)):
            return f"{what}: a trainer's value or reward head; leave it out: {REPAIR} {folder} NEW"
        return (
            f"{what}, which transformers ignores and vLLM refuses; copy the config.json that was saved with them, or "
            f"leave them out: {REPAIR} {folder} NEW --only-known"
        )
    absent = [name for name in named if name not in tensors and not is_buffer(name)]
    if absent and not (wanted.tied and absent == [HEAD]):
        return (
            f"has an index that names {_n(absent)} more than its files contain ({list_names(absent)}): it "
            f"belongs to another save; write it again: {REPAIR} {folder} NEW"
        )
    return _wrong_format(folder, wanted, tensors)


def _differences(wanted: Expected, tensors: Mapping[str, Tensor]) -> _Differences:
    names = {name: wanted.canonical(name) for name in tensors if not is_buffer(name)}
    counts = Counter(names.values())
    optional = {HEAD} if wanted.tied else set()
    shapes = wanted.shapes
    return _Differences(
        missing=[name for name in shapes if name not in counts and name not in optional],
        extra=[name for name, canonical in names.items() if canonical not in shapes],
        twice=[name for name in shapes if counts[name] > 1],
        reshaped={
            name: (tensors[name], shapes[canonical])
            for name, canonical in names.items()
            if canonical in shapes and tensors[name].shape != shapes[canonical]
        },
    )


def _why_missing(folder: Path, wanted: Expected, differences: _Differences, named: Collection[str]) -> str:
    n_wanted = len(wanted.shapes) - wanted.tied
    text = (
        f"lacks {len(differences.missing)} of the {n_wanted} tensors that its config.json asks for "
        f"({list_names(differences.missing)})"
    )
    if any(map(_LORA.search, differences.extra)):
        return (
            f"{text}: an adapter (PEFT) is not merged into them; save it again where it was trained, after "
            "model = model.merge_and_unload()"
        )
    if (wrapper := _wrapper(wanted, differences.extra)) is not None:
        return f"{text}: {wrapper}; rename them: {REPAIR} {folder} NEW"
    if differences.extra:
        return (
            f"{text} and holds {len(differences.extra)} others ({list_names(differences.extra)}): its config.json "
            "belongs to another model, or its names to another library; save it with save_pretrained of transformers"
        )
    if any(name in named for name in differences.missing):
        return (
            f"{text}: its index names them, but its files belong to another save; copy or download it again"
        )
    return f"{text}: {_half_saved(wanted, differences.missing)}"


def _wrapper(wanted: Expected, extra: Sequence[str]) -> str | None:
    """Explains how the names were changed, if undoing the change makes most of them known; else None."""
    stripped = [name for name in extra if wanted.knows(strip_wrappers(name))]
    if 2 * len(stripped) > len(extra):
        part = next(part for part in WRAPPERS if f".{part}" in f".{stripped[0]}")
        return f"{len(stripped)} names have the part {part!r} of a wrapper ({WRAPPERS[part]})"
    if extra and all(wanted.knows(f"model.{name}") for name in extra):
        return "the names lack 'model.', as if an inner module had been saved"
    prefixes = Counter(name.removesuffix(wanted.tail(name)) for name in extra)
    prefixes.pop("", None)
    if prefixes:
        prefix, n = prefixes.most_common(1)[0]
        if 2 * n > len(extra):
            return f"{n} names have the prefix {list_names([prefix])!r}"
    return None


def _half_saved(wanted: Expected, missing: Sequence[str]) -> str:
    again = "save it again with save_pretrained, or copy or download it again"
    vision = [name for name in wanted.shapes if name.startswith(VISION)]
    if set(vision) <= set(missing):
        return (
            "the vision tower is missing, as when only the language model was saved or merged; save the whole "
            "model, or add the base's vision tensors"
        )
    if list(missing) == [HEAD]:
        return (
            "the head is missing, and the config does not tie it to the embedding; if the model was trained tied, "
            f"set tie_word_embeddings to true in config.json, otherwise {again}"
        )
    if list(missing) == [EMBEDDING]:
        return f"the embedding is missing; {again}"
    return f"the checkpoint was saved or copied incompletely; {again}"


def _n(tensors: Collection[str], what: str = "tensor") -> str:
    return f"{len(tensors)} {what}{'' if len(tensors) == 1 else 's'}"


def _wrong_format(folder: Path, wanted: Expected, tensors: Mapping[str, Tensor]) -> str | None:
    strange = [name for name, tensor in tensors.items() if tensor.dtype not in FLOATS and not is_buffer(name)]
    if strange:
        kinds = sorted({tensors[name].dtype for name in strange})
        return (
            f"holds {_n(strange)} as {list_names(kinds)} ({list_names(strange)}), but its config.json "
            "names no quantization; copy the config.json that was saved with them"
        )
    by_name = {wanted.canonical(name): tensor for name, tensor in tensors.items()}
    if wanted.tied and HEAD in by_name and not same_values(by_name[HEAD], by_name[EMBEDDING]):
        return (
            f"ties its head to the embedding in config.json (tie_word_embeddings), but holds a {HEAD} that differs "
            "from it; set tie_word_embeddings to false if that head was trained, otherwise leave it out: "
            f"{REPAIR} {folder} NEW --drop {HEAD}"
        )
    return None
