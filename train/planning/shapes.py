"""Computes the parameter counts of a Qwen2.5-VL by part, from the values in its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.parsing import parse_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VisionShape:
    """The shape of a vision tower and its merger; fields are keys of `vision_config`."""

    depth: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    out_hidden_size: int
    """Output size of the merger: the language model's hidden size."""
    patch_size: int = 14
    """Side of a patch in pixels."""
    temporal_patch_size: int = 2
    spatial_merge_size: int = 2
    """Side, in patches, of the square that is merged into one token."""
    in_channels: int = 3

    @property
    def pixel_values(self) -> int:
        """Numbers per patch, that is, per row of the processor's `pixel_values`."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True, slots=True)
class Linear:
    """A group of weight matrices of the same shape, to which LoRA can add adapters."""

    name: str
    """Name of the modules without the layer's number: "layers.self_attn.q_proj"."""
    inputs: int
    outputs: int
    count: int
    bias: bool

    @property
    def vision(self) -> bool:
        """Whether the matrices belong to the vision tower or the merger."""
        return self.name.startswith("visual.")

    @property
    def weights(self) -> int:
        """Weights in all of the matrices, without biases."""
        return self.inputs * self.outputs * self.count

    def is_named(self, targets: tuple[str, ...]) -> bool:
        """Whether a target equals the last parts of the name, which is how peft matches `targets`."""
        return any(self.name == target or self.name.endswith(f".{target}") for target in targets)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The values that determine a Qwen2.5-VL's parameter counts; fields are keys of `text_config`."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool
    """Whether the output head shares its weights with the embedding."""
    vision: VisionShape

    @property
    def kv(self) -> int:
        """Width of the keys, which is also that of the values."""
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads

    @property
    def embedding(self) -> int:
        """Parameters of the embedding, which are as many as those of an output head."""
        return self.vocab_size * self.hidden_size

    def parts(self) -> dict[str, int]:
        """Returns the parameters by part, which add up to `total`.

        Each layer and each vision block has two norms without biases.
        """
        h, v = self.hidden_size, self.vision

        def inside(part: str) -> int:
            of_part = [one for one in self.linears() if one.name.startswith(part)]
            return sum(one.weights + one.bias * one.outputs * one.count for one in of_part)

        return {
            "embedding": self.embedding,
            "layers": inside("layers.") + self.num_hidden_layers * 2 * h,
            "final norm": h,
            "head": 0 if self.tie_word_embeddings else self.embedding,
            "patch embedding": inside("visual.patch_embed."),
            "vision blocks": inside("visual.blocks.") + v.depth * 2 * v.hidden_size,
            "merger": inside("visual.merger.") + v.hidden_size,
        }

    @property
    def total(self) -> int:
        """The number of parameters, where a tied head is counted once."""
        return sum(self.parts().values())

    @property
    def seeing(self) -> int:
        """Parameters of the vision tower and the merger, which `model.freeze_vision` does not train."""
        parts = self.parts()
        return parts["patch embedding"] + parts["vision blocks"] + parts["merger"]

    def linears(self) -> list[Linear]:
        """Returns the weight matrices of the linear layers, without embedding and head."""
        h, kv, i, v = self.hidden_size, self.kv, self.intermediate_size, self.vision
        seen, wide, merged = v.hidden_size, v.intermediate_size, v.hidden_size * v.spatial_merge_size**2
        layers, blocks = self.num_hidden_layers, v.depth
        return [
            Linear("layers.self_attn.q_proj", h, h, layers, True),
            Linear("layers.self_attn.k_proj", h, kv, layers, True),
            Linear("layers.self_attn.v_proj", h, kv, layers, True),
            Linear("layers.self_attn.o_proj", h, h, layers, False),
            Linear("layers.mlp.gate_proj", h, i, layers, False),
            Linear("layers.mlp.up_proj", h, i, layers, False),
            Linear("layers.mlp.down_proj", i, h, layers, False),
            Linear("visual.blocks.attn.qkv", seen, 3 * seen, blocks, True),
            Linear("visual.blocks.attn.proj", seen, seen, blocks, True),
            Linear("visual.blocks.mlp.gate_proj", seen, wide, blocks, True),
            Linear("visual.blocks.mlp.up_proj", seen, wide, blocks, True),
            Linear("visual.blocks.mlp.down_proj", wide, seen, blocks, True),
            Linear("visual.patch_embed.proj", v.pixel_values, seen, 1, False),
            Linear("visual.merger.mlp.0", merged, merged, 1, True),
            Linear("visual.merger.mlp.2", merged, v.out_hidden_size, 1, True),
        ]


_TOWER = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420}

PUBLISHED: Mapping[str, ModelShape] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": ModelShape(
        hidden_size=2048,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=2,
        intermediate_size=11008,
        vocab_size=151936,
        tie_word_embeddings=True,
        vision=VisionShape(**_TOWER, out_hidden_size=2048),
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": ModelShape(
        hidden_size=3584,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        intermediate_size=18944,
        vocab_size=152064,
        tie_word_embeddings=False,
        vision=VisionShape(**_TOWER, out_hidden_size=3584),
    ),
}
"""Shapes by hub id, from their published config.json: 3,754,622,976 and 8,292,166,656 parameters."""


def of_folder(folder: Path) -> ModelShape:
    """Reads the shape of a checkpoint on this machine.

    Raises:
        ModelError: it is not a Qwen2.5-VL, or its config.json cannot be read or lacks a number.
    """
    path = folder / "config.json"
    try:
        config = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): name the folder of a checkpoint") from None
    kind = config.get("model_type")
    if kind != "qwen2_5_vl":
        raise ModelError(
            f"{path} belongs to a {kind}: only the parameters of Qwen2.5-VL models can be counted"
        )
    # The language model's values are under `text_config` or at the top level; the latter decides on a tied
    # head.
    text = {**config, **(config.get("text_config") or {})}
    tied = {**text, **config}.get("tie_word_embeddings", False)
    seen = config.get("vision_config") or {}
    try:
        vision = _filled(VisionShape, {"in_channels": seen.get("in_chans", 3), **seen})
        return _filled(ModelShape, text, vision=vision, tie_word_embeddings=bool(tied))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} does not say {error}, so its parameters cannot be counted") from None


def _filled(cls: type[T], values: Mapping[str, Any], **others: Any) -> T:
    """Makes a dataclass from the numbers of a config.json with the names of its fields.

    Raises:
        KeyError: a number is missing.
    """
    numbers = {
        f.name: int(values[f.name])
        for f in fields(cls)  # type: ignore[arg-type]
        if f.name not in others and (f.name in values or f.default is MISSING)
    }
    return cls(**numbers, **others)
