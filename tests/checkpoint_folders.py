"""Makes checkpoint folders by editing tiny-base: complete ones in many forms, and broken ones."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

TINY = Path(__file__).parent.parent / "ssl4rl_bench" / "checkpoints" / "tiny-base"
INDEX = "model.safetensors.index.json"


class Raw(NamedTuple):
    """A tensor as it is stored in a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


Tensors = dict[str, Raw]


def load(path: Path = TINY / "model.safetensors") -> Tensors:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            data = content[8 + length + begin : 8 + length + end]
            out[name] = Raw(entry["dtype"], tuple(entry["shape"]), data)
    return out


def to_file(path: Path, tensors: Mapping[str, Raw]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, raw in tensors.items():
        offsets = [end, end + len(raw.data)]
        header[name] = {"dtype": raw.dtype, "shape": list(raw.shape), "data_offsets": offsets}
        end = offsets[1]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(raw.data for raw in tensors.values()))


def to_shards(folder: Path, tensors: Tensors, n: int = 2) -> dict[str, str]:
    """Writes n shards and their index; returns the index's weight_map."""
    names = list(tensors)
    weight_map = {}
    for i in range(n):
        place = f"model-{i + 1:05d}-of-{n:05d}.safetensors"
        part = names[i::n]
        to_file(folder / place, {name: tensors[name] for name in part})
        weight_map |= dict.fromkeys(part, place)
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return weight_map


def make(folder: Path, tensors: Tensors | None = None, config: Mapping[str, Any] | None = None) -> Path:
    """Copies tiny-base with these weights and with changes to config.json, where None deletes a key."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.safetensors", "README.md", "ssl4rl.json"))
    to_file(folder / "model.safetensors", load() if tensors is None else tensors)
    change(folder, config or {})
    return folder


def change(folder: Path, changes: Mapping[str, Any], name: str = "config.json") -> None:
    path = folder / name
    values = json.loads(path.read_text()) if path.is_file() else {}
    for key, value in changes.items():
        values[key] = value
        if value is None:
            del values[key]
    path.write_text(json.dumps(values))


def renamed(how: Callable[[str], str]) -> Tensors:
    return {how(name): raw for name, raw in load().items()}


def without(*parts: str) -> Tensors:
    """Returns tiny-base's tensors except those whose names contain one of these parts."""
    return {name: raw for name, raw in load().items() if not any(part in name for part in parts)}


def present_name(name: str) -> str:
    """Returns the name that transformers uses since 4.52 for a legacy name."""
    if name.startswith("visual."):
        return f"model.{name}"
    return name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name


def as_float(tensors: Tensors, dtype: str) -> Tensors:
    """Converts BF16 tensors to F32 or F16."""
    import numpy as np

    out = {}
    for name, raw in tensors.items():
        wide = (np.frombuffer(raw.data, "<u2").astype("<u4") << 16).view("<f4")
        out[name] = Raw(dtype, raw.shape, wide.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes())
    return out


# Complete checkpoints


def single(place: Path) -> None:
    make(place)


def present_names(place: Path) -> None:
    make(place, renamed(present_name))


def mixed_names(place: Path) -> None:
    make(place, renamed(lambda name: present_name(name) if "visual" in name else name))


def flat_config(place: Path) -> None:
    make(place)
    config = json.loads((place / "config.json").read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    flat = {**text, **config, "rope_theta": rope["rope_theta"]}
    flat["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    (place / "config.json").write_text(json.dumps(flat))


def torch_dtype(place: Path) -> None:
    make(place, config={"dtype": None, "torch_dtype": "bfloat16"})


def float32(place: Path) -> None:
    make(place, as_float(load(), "F32"), {"dtype": "float32"})


def float16(place: Path) -> None:
    make(place, as_float(load(), "F16"), {"dtype": "float16"})


def equal_head(place: Path) -> None:
    tensors = load()
    make(place, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})


def untied_with_head(place: Path) -> None:
    tensors = load()
    make(place, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})
    change(place, {"tie_word_embeddings": False})
    config = json.loads((place / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = False
    (place / "config.json").write_text(json.dumps(config))


def tied_by_text_config_alone(place: Path) -> None:
    make(place, config={"tie_word_embeddings": None})


def shards(place: Path) -> None:
    make(place)
    (place / "model.safetensors").unlink()
    to_shards(place, load(), 3)


def index_of_one(place: Path) -> None:
    make(place)
    index = {"weight_map": dict.fromkeys(load(), "model.safetensors")}
    (place / INDEX).write_text(json.dumps(index))


def trainer_folder(place: Path) -> None:
    make(place)
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        (place / name).write_bytes(b"{}")
    (place / "global_step500").mkdir()
    (place / "global_step500" / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"x")
    (place / "latest").write_text("global_step500")
    (place / "zero_to_fp32.py").write_text("")


def adapter_subfolder(place: Path) -> None:
    make(place)
    (place / "adapter").mkdir()
    (place / "adapter" / "adapter_config.json").write_text("{}")
    to_file(place / "adapter" / "adapter_model.safetensors", dict(list(load().items())[:1]))


def hub_snapshot(place: Path) -> None:
    blobs = make(place.parent / "blobs")
    commit = place / "snapshots" / ("0123456789" * 4)
    commit.mkdir(parents=True)
    for path in blobs.iterdir():
        (commit / path.name).symlink_to(path)


def pickled_beside(place: Path) -> None:
    make(place)
    (place / "pytorch_model.bin").write_bytes(b"x")


def other_file_beside_index(place: Path) -> None:
    shards(place)
    to_file(place / "vision_tower.safetensors", dict(list(load().items())[:1]))


def tied_head_in_index_alone(place: Path) -> None:
    shards(place)
    index = json.loads((place / INDEX).read_text())
    index["weight_map"]["lm_head.weight"] = "model-00002-of-00003.safetensors"
    (place / INDEX).write_text(json.dumps(index))


def old_buffers(place: Path) -> None:
    table = Raw("F32", (2,), b"\0" * 8)
    names = ("model.layers.0.self_attn.rotary_emb.inv_freq", "visual.rotary_pos_emb.inv_freq")
    make(place, load() | dict.fromkeys(names, table))


def template_in_tokenizer_config(place: Path) -> None:
    make(place)
    template = (place / "chat_template.jinja").read_text()
    (place / "chat_template.jinja").unlink()
    change(place, {"chat_template": template}, "tokenizer_config.json")


def named_templates_in_tokenizer_config(place: Path) -> None:
    make(place)
    template = (place / "chat_template.jinja").read_text()
    (place / "chat_template.jinja").unlink()
    named = [{"name": "default", "template": template}, {"name": "tools", "template": "x"}]
    change(place, {"chat_template": named}, "tokenizer_config.json")


def template_in_json(place: Path) -> None:
    make(place)
    template = (place / "chat_template.jinja").read_text()
    (place / "chat_template.jinja").unlink()
    change(place, {"chat_template": template}, "chat_template.json")


GOOD: dict[str, Callable[[Path], None]] = {
    made.__name__: made
    for made in (
        single,
        present_names,
        mixed_names,
        flat_config,
        torch_dtype,
        float32,
        float16,
        equal_head,
        untied_with_head,
        tied_by_text_config_alone,
        shards,
        index_of_one,
        trainer_folder,
        adapter_subfolder,
        hub_snapshot,
        pickled_beside,
        old_buffers,
        other_file_beside_index,
        tied_head_in_index_alone,
        template_in_tokenizer_config,
        named_templates_in_tokenizer_config,
        template_in_json,
    )
}
"""Functions that make complete checkpoints, by name."""


def folder_of(place: Path) -> Path:
    """Returns the folder of a checkpoint; in a hub snapshot, that of the commit."""
    return next(place.glob("snapshots/*"), place)


# Broken checkpoints


def untied_without_head(place: Path) -> None:
    make(place, config={"tie_word_embeddings": False})
    config = json.loads((place / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = False
    (place / "config.json").write_text(json.dumps(config))


def half_index(place: Path) -> None:
    """Keeps every second tensor in the index, so that it still names each shard."""
    shards(place)
    index = json.loads((place / INDEX).read_text())
    index["weight_map"] = dict(list(index["weight_map"].items())[::2])
    (place / INDEX).write_text(json.dumps(index))


def index_of_half_the_shards(place: Path) -> None:
    make(place)
    (place / "model.safetensors").unlink()
    weight_map = to_shards(place, load(), 2)
    first = {name: file for name, file in weight_map.items() if "00001-of" in file}
    (place / INDEX).write_text(json.dumps({"weight_map": first}))


def half_index_and_half_the_files(place: Path) -> None:
    index_of_half_the_shards(place)
    (place / "model-00002-of-00002.safetensors").unlink()


def half_saved_with_index(place: Path) -> None:
    shards(place)
    path = place / "model-00002-of-00003.safetensors"
    to_file(path, dict(list(load(path).items())[:10]))


def index_of_more(place: Path) -> None:
    shards(place)
    index = json.loads((place / INDEX).read_text())
    index["weight_map"]["model.layers.5.mlp.up_proj.weight"] = "model-00002-of-00003.safetensors"
    (place / INDEX).write_text(json.dumps(index))


def single_beside_shards(place: Path) -> None:
    shards(place)
    to_file(place / "model.safetensors", load())


def shards_without_index(place: Path) -> None:
    shards(place)
    (place / INDEX).unlink()


def index_without_shards(place: Path) -> None:
    shards(place)
    for path in place.glob("model-*.safetensors"):
        path.unlink()


def index_without_shards_beside_single(place: Path) -> None:
    index_without_shards(place)
    to_file(place / "model.safetensors", load())


def shards_of_two_saves(place: Path) -> None:
    """Makes the shards that remain after two saves with different shard sizes."""
    shards(place)
    kept = (place / INDEX).read_bytes()
    to_shards(place, load(), 2)
    (place / INDEX).write_bytes(kept)


def single_and_other_shards(place: Path) -> None:
    make(place)
    to_shards(place, load(), 2)
    (place / INDEX).unlink()


def adapter_beside(place: Path) -> None:
    make(place)
    (place / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    to_file(place / "adapter_model.safetensors", dict(list(load().items())[:1]))


def adapter_config_beside(place: Path) -> None:
    make(place)
    (place / "adapter_config.json").write_text("{}")


def adapter_weights_beside(place: Path) -> None:
    shards(place)
    (place / "adapter_model.bin").write_bytes(b"x")


def value_head(place: Path) -> None:
    raw = Raw("BF16", (1, 192), b"\0" * 384)
    make(place, load() | {"v_head.summary.weight": raw, "v_head.summary.bias": Raw("BF16", (1,), b"\0\0")})


def unknown_extra(place: Path) -> None:
    make(place, load() | {"model.layers.5.mlp.up_proj.weight": load()["model.layers.0.mlp.up_proj.weight"]})


def zero3(place: Path) -> None:
    make(place, {name: Raw(raw.dtype, (0,), b"") for name, raw in load().items()})


def zero3_in_part(place: Path) -> None:
    tensors = load()
    tensors["model.layers.2.mlp.up_proj.weight"] = Raw("BF16", (0,), b"")
    make(place, tensors)


def other_shapes(place: Path) -> None:
    make(place)
    config = json.loads((place / "config.json").read_text())
    config["text_config"]["vocab_size"] = 900
    (place / "config.json").write_text(json.dumps(config))


def unequal_head(place: Path) -> None:
    tensors = load()
    data = bytearray(tensors["model.embed_tokens.weight"].data)
    data[::2] = bytes(byte ^ 1 for byte in data[::2])
    make(place, tensors | {"lm_head.weight": Raw("BF16", (865, 192), bytes(data))})


def both_names(place: Path) -> None:
    make(place, load() | renamed(present_name))


def integers(place: Path) -> None:
    tensors = load()
    name = "model.layers.2.mlp.up_proj.weight"
    tensors[name] = Raw("I16", tensors[name].shape, tensors[name].data)
    make(place, tensors)


def no_template(place: Path) -> None:
    make(place)
    (place / "chat_template.jinja").unlink()


def empty_template(place: Path) -> None:
    no_template(place)
    change(place, {"chat_template": ""}, "tokenizer_config.json")


def named_template_without_default(place: Path) -> None:
    no_template(place)
    change(place, {"chat_template": [{"name": "tools", "template": "x"}]}, "tokenizer_config.json")


def _of(tensors: Callable[[], Tensors]) -> Callable[[Path], None]:
    return lambda place: make(place, tensors()) and None


BROKEN: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "no vision tower": (
        _of(lambda: without("visual.")),
        ("lacks 54 of the 116 tensors", "model.visual.patch_embed.proj.weight", "vision tower", "save"),
    ),
    "one MLP weight missing": (
        _of(lambda: without("layers.2.mlp.up_proj")),
        (
            "lacks 1 of the 116",
            "model.language_model.layers.2.mlp.up_proj.weight",
            "incompletely",
            "save_pretrained",
        ),
    ),
    "one layer's MLP missing": (
        _of(lambda: without("layers.2.mlp")),
        ("lacks 3 of the 116", "layers.2.mlp.down_proj"),
    ),
    "no embedding": (_of(lambda: without("embed_tokens")), ("lacks 1 of", "embedding")),
    "no final norm": (
        _of(lambda: without("model.norm.")),
        ("lacks 1 of the 116", "model.language_model.norm.weight"),
    ),
    "prefix module.": (
        _of(lambda: renamed(lambda name: f"module.{name}")),
        ("lacks 116 of the 116", "'module.'", "python -m ssl4rl_bench.repair"),
    ),
    "prefix base_model.model.": (
        _of(lambda: renamed(lambda name: f"base_model.model.{name}")),
        ("lacks 116 of the 116", "'base_model.model.'", "python -m ssl4rl_bench.repair"),
    ),
    "prefix _orig_mod.": (
        _of(lambda: renamed(lambda name: f"_orig_mod.{name}")),
        ("'_orig_mod.'", "python -m ssl4rl_bench.repair"),
    ),
    "two prefixes": (
        _of(lambda: renamed(lambda name: f"module._orig_mod.{present_name(name)}")),
        ("'module.'", "python -m ssl4rl_bench.repair"),
    ),
    "an unknown prefix": (
        _of(lambda: renamed(lambda name: f"actor.policy.{name}")),
        ("lacks 116", "'actor.policy.'", "python -m ssl4rl_bench.repair"),
    ),
    "FSDP's infix": (
        _of(lambda: renamed(lambda name: name.replace("layers.", "_fsdp_wrapped_module.layers."))),
        ("'_fsdp_wrapped_module.'", "python -m ssl4rl_bench.repair"),
    ),
    "of the inner module": (
        _of(lambda: renamed(lambda name: present_name(name).removeprefix("model."))),
        ("lacks 62", "'model.'", "python -m ssl4rl_bench.repair"),
    ),
    "an unmerged adapter": (
        _of(
            lambda: renamed(
                lambda name: f"base_model.model.{name}".replace(
                    "q_proj.weight", "q_proj.lora_A.default.weight"
                )
            )
        ),
        ("not merged", "merge_and_unload"),
    ),
    "other names": (
        _of(lambda: renamed(lambda name: name.replace("layers", "h"))),
        ("lacks", "holds", "h.0"),
    ),
    "untied without a head": (
        untied_without_head,
        ("lacks 1 of the 117", "lm_head.weight", "tie_word_embeddings"),
    ),
    "an index of half the tensors": (half_index, ("names 58 of the 116", "stale", "ssl4rl_bench.repair")),
    "an index of half the shards": (
        index_of_half_the_shards,
        ("two forms", "model-00002", "ssl4rl_bench.repair"),
    ),
    "half an index and half the files": (
        half_index_and_half_the_files,
        ("lacks 58 of the 116", "incompletely"),
    ),
    "an index of more than the files": (
        index_of_more,
        ("names 1 tensor more", "layers.5", "ssl4rl_bench.repair"),
    ),
    "a shard of another save": (half_saved_with_index, ("lacks 29 of the 116", "its index names them")),
    "a single file beside shards": (single_beside_shards, ("two forms", "model.safetensors", "delete")),
    "shards without an index": (
        shards_without_index,
        ("no model.safetensors.index.json", "ssl4rl_bench.repair"),
    ),
    "an index without shards": (index_without_shards, ("lacks model-00001", "index names")),
    "an index without shards beside a single file": (
        index_without_shards_beside_single,
        ("lacks model-00001", "index names"),
    ),
    "shards of two saves": (shards_of_two_saves, ("two forms", "of-00002", "delete")),
    "a single file and other shards": (single_and_other_shards, ("two forms", "delete")),
    "an adapter beside": (adapter_beside, ("an adapter", "mkdir", "merge")),
    "an adapter's config beside": (adapter_config_beside, ("an adapter", "mkdir")),
    "an adapter's weights beside": (adapter_weights_beside, ("an adapter", "mkdir")),
    "a value head": (value_head, ("2 tensors", "v_head.summary.weight", "value", "ssl4rl_bench.repair")),
    "an extra tensor": (unknown_extra, ("1 tensor that", "does not ask for", "layers.5", "--only-known")),
    "partitions of ZeRO-3": (zero3, ("116 empty tensors", "ZeRO-3", "zero_to_fp32.py")),
    "one partition of ZeRO-3": (zero3_in_part, ("1 empty tensor ", "ZeRO-3")),
    "another config": (other_shapes, ("another shape", "[865, 192], not [900, 192]", "config.json")),
    "a tied head that differs": (unequal_head, ("tie_word_embeddings", "differs", "--drop lm_head.weight")),
    "both kinds of names": (both_names, ("two names",)),
    "integers": (integers, ("I16", "quantization")),
}
"""Functions that make broken checkpoints, with parts of the error message, by kind of damage."""

BROKEN_TEMPLATES: dict[str, Callable[[Path], None]] = {
    made.__name__: made for made in (no_template, empty_template, named_template_without_default)
}
