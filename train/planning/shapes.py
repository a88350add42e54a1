"""How many parameters a Qwen2.5-VL has, part by part, from its config.json's values alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.parsing import parse_json


@dataclass(frozen=True, slots=True)
class VisionShape:
    """A vision tower with its merger."""

    depth: int
    hidden: int
    heads: int
    intermediate: int
    out: int
    """What the merger projects to: the language model's hidden size."""
    patch: int = 14
    """Pixels a side."""
    temporal: int = 2
    merge: int = 2
    """Patches a side that become one token."""
    channels: int = 3

    @property
    def pixel_values(self) -> int:
        """Numbers that describe a patch: a row of the processor's `pixel_values`."""
        return self.channels * self.temporal * self.patch**2

    @property
    def token_side(self) -> int:
        """Pixels a side of one token."""
        return self.patch * self.merge


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal weight matrices that LoRA can stand beside."""

    name: str
    """Their modules' names without the number: "layers.self_attn.q_proj"."""
    inputs: int
    outputs: int
    count: int
    vision: bool

    def is_named(self, targets: tuple[str, ...]) -> bool:
        """Whether a name in `targets` is the last one or more parts of this one's, which is how peft reads them."""
        return any(self.name == target or self.name.endswith(f".{target}") for target in targets)


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the parameter counts of a Qwen2.5-VL."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    tied: bool
    """Whether the output head is the embedding."""
    vision: VisionShape

    @property
    def kv(self) -> int:
        """Width of the keys, and of the values."""
        return self.hidden // self.heads * self.kv_heads

    @property
    def layer(self) -> int:
        """Parameters of one decoder layer. Queries, keys and values have biases; the other projections have none."""
        attention = 2 * self.hidden * (self.hidden + self.kv) + self.hidden + 2 * self.kv
        return attention + 3 * self.hidden * self.intermediate + 2 * self.hidden

    @property
    def vision_block(self) -> int:
        """Parameters of one block of the vision tower. All its projections have biases, its norms have none."""
        h, i = self.vision.hidden, self.vision.intermediate
        return (4 * h * h + 4 * h) + (3 * h * i + 2 * i + h) + 2 * h

    def parts(self) -> dict[str, int]:
        """Parameters by part; they add up to `total`."""
        v = self.vision
        merged = v.hidden * v.merge**2
        return {
            "embedding": self.vocab * self.hidden,
            "layers": self.layers * self.layer,
            "final norm": self.hidden,
            "head": 0 if self.tied else self.vocab * self.hidden,
            "vision tower": v.hidden * v.pixel_values + v.depth * self.vision_block,
            "merger": v.hidden + merged * merged + merged + merged * v.out + v.out,
        }

    @property
    def total(self) -> int:
        """All parameters, a tied head counted once."""
        return sum(self.parts().values())

    @property
    def seeing(self) -> int:
        """Parameters of the vision tower and the merger: `model.freeze_vision` leaves them as they are."""
        parts = self.parts()
        return parts["vision tower"] + parts["merger"]

    def linears(self) -> list[Linear]:
        """The weight matrices between layers, without embedding and head."""
        h, kv, i, v = self.hidden, self.kv, self.intermediate, self.vision
        merged = v.hidden * v.merge**2
        text = [
            ("self_attn.q_proj", h, h),
            ("self_attn.k_proj", h, kv),
            ("self_attn.v_proj", h, kv),
            ("self_attn.o_proj", h, h),
            ("mlp.gate_proj", h, i),
            ("mlp.up_proj", h, i),
            ("mlp.down_proj", i, h),
        ]
        seen = [
            ("attn.qkv", v.hidden, 3 * v.hidden),
            ("attn.proj", v.hidden, v.hidden),
            ("mlp.gate_proj", v.hidden, v.intermediate),
            ("mlp.up_proj", v.hidden, v.intermediate),
            ("mlp.down_proj", v.intermediate, v.hidden),
        ]
        return [
            *(Linear(f"layers.{name}", a, b, self.layers, False) for name, a, b in text),
            *(Linear(f"visual.blocks.{name}", a, b, v.depth, True) for name, a, b in seen),
            Linear("visual.patch_embed.proj", v.pixel_values, v.hidden, 1, True),
            Linear("visual.merger.mlp.0", merged, merged, 1, True),
            Linear("visual.merger.mlp.2", merged, v.out, 1, True),
        ]

    def lora(self, rank: int, targets: tuple[str, ...], freeze_vision: bool = False) -> int:
        """Parameters of LoRA adapters: rank * (inputs + outputs) beside each matrix (Hu et al. 2021, 2106.09685).

        Names such as gate_proj mean the vision tower's too, unless `freeze_vision`.
        """
        return sum(
            rank * (linear.inputs + linear.outputs) * linear.count
            for linear in self.linears()
            if linear.is_named(targets) and not (linear.vision and freeze_vision)
        )


_TOWER = {"depth": 32, "hidden": 1280, "heads": 16, "intermediate": 3420}

PUBLISHED: Mapping[str, Shape] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": Shape(
        hidden=2048,
        layers=36,
        heads=16,
        kv_heads=2,
        intermediate=11008,
        vocab=151936,
        tied=True,
        vision=VisionShape(**_TOWER, out=2048),
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": Shape(
        hidden=3584,
        layers=28,
        heads=28,
        kv_heads=4,
        intermediate=18944,
        vocab=152064,
        tied=False,
        vision=VisionShape(**_TOWER, out=3584),
    ),
}
"""Shapes by hub id, from their published config.json: 3,754,622,976 and 8,292,166,656 parameters."""


def from_config(config: Mapping[str, Any], where: str = "config.json") -> Shape:
    """The shape in a config.json's values; the language model's may stand under `text_config` or beside.

    Raises:
        ModelError: if it is no Qwen2.5-VL, or lacks a number.
    """
    kind = config.get("model_type")
    if kind != "qwen2_5_vl":
        raise ModelError(f"{where} is of a {kind}: only Qwen2.5-VL models can be counted")
    text = {**config, **(config.get("text_config") or {})}
    seen = config.get("vision_config") or {}
    try:
        return Shape(
            hidden=int(text["hidden_size"]),
            layers=int(text["num_hidden_layers"]),
            heads=int(text["num_attention_heads"]),
            kv_heads=int(text["num_key_value_heads"]),
            intermediate=int(text["intermediate_size"]),
            vocab=int(text["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            vision=VisionShape(
                depth=int(seen["depth"]),
                hidden=int(seen["hidden_size"]),
                heads=int(seen["num_heads"]),
                intermediate=int(seen["intermediate_size"]),
                out=int(seen["out_hidden_size"]),
                patch=int(seen.get("patch_size", 14)),
                temporal=int(seen.get("temporal_patch_size", 2)),
                merge=int(seen.get("spatial_merge_size", 2)),
                channels=int(seen.get("in_channels", seen.get("in_chans", 3))),
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{where} does not say {error}, so its parameters cannot be counted") from None


def of_folder(folder: Path) -> Shape:
    """The shape of a checkpoint on this machine.

    Raises:
        ModelError: as `from_config`, or if there is no config.json that can be read.
    """
    path = folder / "config.json"
    try:
        config = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): name the folder of a checkpoint") from None
    return from_config(config, str(path))
