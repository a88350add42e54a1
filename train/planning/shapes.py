"""Computes the parameter counts of a Qwen2.5-VL or Qwen3-VL by part, from the values in its config.json.

The tensors themselves are those that `engines.checkpoints.architecture` requires of a checkpoint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.checkpoints.architecture import EMBEDDING, HEAD, TEXT, VISION, expected
from ssl4rl_bench.engines.checkpoints.tensors import TensorShape

T = TypeVar("T")

QWEN25, QWEN3 = "qwen2_5_vl", "qwen3_vl"
FAMILIES: Mapping[str, str] = {QWEN25: "Qwen2.5-VL", QWEN3: "Qwen3-VL"}
"""Names of the families whose parameters can be counted, by `model_type`."""
_POSITIONS = VISION + "pos_embed."
_LAYER_NUMBER = re.compile(r"\.\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class VisionShape:
    """The shape of a vision tower and its mergers; fields are keys of `vision_config`."""

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
    num_position_embeddings: int = 0
    """Learned positions of Qwen3-VL; 0 for Qwen2.5-VL, which has none."""
    deepstack_visual_indexes: tuple[int, ...] = ()
    """Blocks of Qwen3-VL whose outputs have mergers of their own; empty for Qwen2.5-VL."""

    @property
    def pixel_values(self) -> int:
        """Numbers per patch, that is, per row of the processor's `pixel_values`."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def token_side(self) -> int:
        """Side of an image token in pixels."""
        return self.patch_size * self.spatial_merge_size


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
        """Whether the matrices belong to the vision tower or the mergers."""
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
    """The values that determine a model's parameter counts; fields are keys of `text_config`."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool
    """Whether the output head shares its weights with the embedding."""
    vision: VisionShape
    family: str = QWEN25
    """`model_type`, one of `FAMILIES`."""
    head_dim: int = 0
    """Width of an attention head; 0 for hidden_size / num_attention_heads, as in Qwen2.5-VL."""

    @property
    def head_width(self) -> int:
        """Width of an attention head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def queries(self) -> int:
        """Width of the queries of all heads, which is also that of the result of attention."""
        return self.head_width * self.num_attention_heads

    @property
    def kv(self) -> int:
        """Width of the keys, which is also that of the values."""
        return self.head_width * self.num_key_value_heads

    @property
    def norms_heads(self) -> bool:
        """Whether queries and keys are normalised."""
        return self.family == QWEN3

    @property
    def embedding(self) -> int:
        """Parameters of the embedding, which are as many as those of an output head."""
        return self.vocab_size * self.hidden_size

    def config(self) -> dict[str, Any]:
        """Returns the part of a config.json that determines the names and shapes of the weights."""
        text = asdict(self)
        vision = text.pop("vision")
        tied, family = text.pop("tie_word_embeddings"), text.pop("family")
        if not self.head_dim:
            del text["head_dim"]
        if family == QWEN25:
            del vision["num_position_embeddings"], vision["deepstack_visual_indexes"]
        return {
            "model_type": family,
            "text_config": text,
            "vision_config": vision,
            "tie_word_embeddings": tied,
        }

    def parts(self) -> dict[str, int]:
        """Returns the parameters by part, which add up to `total`."""

        def inside(*prefixes: str) -> int:
            shapes = _tensors(self)
            return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(prefixes))

        return {
            "embedding": self.embedding,
            "layers": inside(f"{TEXT}layers."),
            "final norm": inside(f"{TEXT}norm."),
            "head": 0 if self.tie_word_embeddings else self.embedding,
            "patch embedding": inside(f"{VISION}patch_embed.", _POSITIONS),
            "vision blocks": inside(f"{VISION}blocks."),
            "merger": inside(f"{VISION}merger.", f"{VISION}deepstack_merger_list."),
        }

    @property
    def total(self) -> int:
        """The number of parameters, where a tied head is counted once."""
        return sum(self.parts().values())

    @property
    def seeing(self) -> int:
        """Parameters of the vision tower and the mergers, which `model.freeze_vision` does not train."""
        parts = self.parts()
        return parts["patch embedding"] + parts["vision blocks"] + parts["merger"]

    def linears(self) -> list[Linear]:
        """Returns the weight matrices of the linear layers, without embeddings and head."""
        groups: dict[Linear, int] = {}
        shapes = _tensors(self)
        for name, shape in shapes.items():
            module = name.removesuffix(".weight")
            if len(shape) < 2 or name in (EMBEDDING, HEAD) or name.startswith(_POSITIONS):
                continue
            short = module.removeprefix(TEXT) if name.startswith(TEXT) else module.removeprefix("model.")
            bias = f"{module}.bias" in shapes
            one = Linear(_LAYER_NUMBER.sub("", short), math.prod(shape[1:]), shape[0], 1, bias)
            groups[one] = groups.get(one, 0) + 1
        return [Linear(o.name, o.inputs, o.outputs, count, o.bias) for o, count in groups.items()]


@lru_cache(maxsize=32)
def _tensors(shape: ModelShape) -> Mapping[str, TensorShape]:
    """Returns the names and shapes of all weights, including the head even if it is tied."""
    wanted = expected(shape.config())
    if wanted is None:
        raise ModelError(f"the parameters of a {shape.family} cannot be counted")
    return wanted.shapes


_TOWER: dict[str, Any] = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420}
_QWEN3_VISION: dict[str, Any] = {"patch_size": 16, "num_position_embeddings": 2304, "num_heads": 16}
_QWEN3_TEXT: dict[str, Any] = {
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 151936,
    "family": QWEN3,
    "head_dim": 128,
}

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
    "Qwen/Qwen3-VL-4B-Instruct": ModelShape(
        **_QWEN3_TEXT,
        hidden_size=2560,
        intermediate_size=9728,
        tie_word_embeddings=True,
        vision=VisionShape(
            **_QWEN3_VISION,
            depth=24,
            hidden_size=1024,
            intermediate_size=4096,
            out_hidden_size=2560,
            deepstack_visual_indexes=(5, 11, 17),
        ),
    ),
    "Qwen/Qwen3-VL-8B-Instruct": ModelShape(
        **_QWEN3_TEXT,
        hidden_size=4096,
        intermediate_size=12288,
        tie_word_embeddings=False,
        vision=VisionShape(
            **_QWEN3_VISION,
            depth=27,
            hidden_size=1152,
            intermediate_size=4304,
            out_hidden_size=4096,
            deepstack_visual_indexes=(8, 16, 24),
        ),
    ),
}
"""Shapes by hub id, from their published config.json."""

_DEFAULTS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    QWEN25: ({}, {}),
    QWEN3: (
        {"head_dim": 128},
        {"patch_size": 16, "num_position_embeddings": 2304, "deepstack_visual_indexes": (8, 16, 24)},
    ),
}
"""Values of the text and the vision config that transformers' config classes have for a config.json without them."""


def of_folder(folder: Path) -> ModelShape:
    """Reads the shape of a checkpoint on this machine.

    Raises:
        ModelError: it is not a Qwen2.5-VL or Qwen3-VL, or its config.json cannot be read or lacks a number.
    """
    path = folder / "config.json"
    try:
        config = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): name the folder of a checkpoint") from None
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ModelError(
            f"{path} belongs to a {kind}: only the parameters of {' and '.join(FAMILIES.values())} models can "
            "be counted"
        )
    of_text, of_vision = _DEFAULTS[kind]
    # The language model's values are under `text_config` or at the top level; the latter decides on a tied
    # head, and for Qwen3-VL alone.
    text = {**of_text, **config, **(config.get("text_config") or {})}
    tied = {**(text if kind == QWEN25 else {}), **config}.get("tie_word_embeddings", False)
    seen = {**of_vision, **(config.get("vision_config") or {})}
    try:
        deep = tuple(map(int, seen.pop("deepstack_visual_indexes", ()))) if kind == QWEN3 else ()
        vision = _filled(
            VisionShape, {"in_channels": seen.get("in_chans", 3), **seen}, deepstack_visual_indexes=deep
        )
        return _filled(ModelShape, text, vision=vision, family=kind, tie_word_embeddings=bool(tied))
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
