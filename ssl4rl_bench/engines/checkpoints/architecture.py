"""Derives the tensors that a checkpoint of the Qwen-VL families must hold from its config.json.

Names and shapes are those of transformers' Qwen2VLForConditionalGeneration,
Qwen2_5_VLForConditionalGeneration and Qwen3VLForConditionalGeneration, and the defaults are those of their
config classes. A test compares them with models that transformers builds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.tensors import TensorShape

HEAD = "lm_head.weight"
EMBEDDING = "model.language_model.embed_tokens.weight"
VISION = "model.visual."
TEXT = "model.language_model."
_BUFFER = re.compile(r"(.*\.)?rotary_(pos_)?emb\.(inv_freq|cos_cached|sin_cached)")
"""Buffers computed from the config. Old releases of transformers saved them; no engine reads them."""
_MOST = 10_000
"""The maximum plausible number of layers; a larger number means a damaged config."""

_QWEN2_TEXT = {
    "num_attention_heads": 64,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
}
_QWEN3_TEXT = {
    "num_attention_heads": 32,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "vocab_size": 151936,
}

Config = Mapping[str, Any]
Shapes = Iterator[tuple[str, TensorShape]]
Norm = Callable[[str, int], Shapes]
"""A function that yields a norm's tensors, given its name and size."""
Layers = Mapping[str, tuple[int, int]]
"""Maps names of linear layers to their numbers of inputs and outputs."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The tensors that a config.json requires."""

    shapes: Mapping[str, TensorShape]
    """Maps each tensor's name to its shape; includes the head even if it is tied."""
    tied: bool
    """Whether the head shares the embedding's weights, so that it need not be saved."""
    legacy: bool
    """Whether the names from before transformers 4.52 are also valid: `visual.*` and `model.*`."""

    def canonical(self, name: str) -> str:
        """Converts a legacy name to the name in `shapes`; other names are returned unchanged.

        This is the conversion mapping of transformers for Qwen2VLForConditionalGeneration.
        """
        if not self.legacy or name.startswith((VISION, TEXT)):
            return name
        for old, new in (("visual.", VISION), ("model.", TEXT)):
            if name.startswith(old):
                return new + name.removeprefix(old)
        return name

    def knows(self, name: str) -> bool:
        """Whether a tensor of this name belongs to the model."""
        return self.canonical(name) in self.shapes

    def tail(self, name: str) -> str:
        """Returns the longest suffix of a name, split at dots, that is a known name; else the name itself."""
        parts = name.split(".")
        tails = (".".join(parts[i:]) for i in range(len(parts)))
        return next(filter(self.knows, tails), name)


def is_buffer(name: str) -> bool:
    """Whether a tensor is a buffer that engines compute themselves (rotary frequencies)."""
    return _BUFFER.fullmatch(name) is not None


def expected(config: Config) -> Expected | None:
    """Returns the tensors that a config.json requires.

    Returns None for other families, for quantized weights, and for a config without sizes. In these cases
    only the library that loads the checkpoint can detect problems.

    Raises:
        ModelError: if a size in the config is not a positive integer.
    """
    family = _FAMILIES.get(str(config.get("model_type")))
    vision, text = config.get("vision_config"), config.get("text_config")
    text = text if isinstance(text, Mapping) else config
    if family is None or config.get("quantization_config") or "hidden_size" not in text:
        return None
    vision = vision if isinstance(vision, Mapping) else {}
    tied = bool(config.get("tie_word_embeddings"))
    if family is not _qwen3_vl:  # the Qwen2 config classes also read the inner flag of older releases
        tied = tied or bool(text.get("tie_word_embeddings"))
    return Expected(dict(family(text, vision)), tied, legacy=family is not _qwen3_vl)


def _qwen2_vl(text: Config, vision: Config) -> Shapes:
    hidden = _number(vision, "embed_dim", 1280)
    inner = hidden * _number(vision, "mlp_ratio", 4)
    yield VISION + "patch_embed.proj.weight", _patches(vision, hidden, 14)
    yield from _blocks(vision, 32, hidden, _affine, {"fc1": (hidden, inner), "fc2": (inner, hidden)})
    yield from _affine(VISION + "merger.ln_q", hidden)
    yield from _merger_mlp(vision, hidden, _number(vision, "hidden_size", 3584))
    yield from _qwen2_text(text)


def _qwen2_5_vl(text: Config, vision: Config) -> Shapes:
    hidden = _number(vision, "hidden_size", 3584)
    inner = _number(vision, "intermediate_size", 3420)
    gated = {"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)}
    yield VISION + "patch_embed.proj.weight", _patches(vision, hidden, 14)
    yield from _blocks(vision, 32, hidden, _scale, gated)
    yield from _scale(VISION + "merger.ln_q", hidden)
    yield from _merger_mlp(vision, hidden, _number(vision, "out_hidden_size", 3584))
    yield from _qwen2_text(text)


def _qwen3_vl(text: Config, vision: Config) -> Shapes:
    hidden = _number(vision, "hidden_size", 1152)
    inner = _number(vision, "intermediate_size", 4304)
    out = _number(vision, "out_hidden_size", 3584)
    merged = hidden * _number(vision, "spatial_merge_size", 2) ** 2
    yield VISION + "patch_embed.proj.weight", _patches(vision, hidden, 16)
    yield VISION + "patch_embed.proj.bias", (hidden,)
    yield VISION + "pos_embed.weight", (_number(vision, "num_position_embeddings", 2304), hidden)
    mlp = {"linear_fc1": (hidden, inner), "linear_fc2": (inner, hidden)}
    yield from _blocks(vision, 27, hidden, _affine, mlp)
    deep = vision.get("deepstack_visual_indexes", (8, 16, 24))
    if not isinstance(deep, list | tuple):
        raise ModelError(f"config.json: deepstack_visual_indexes is {deep!r}, not a list of layers")
    mergers = [("merger", hidden), *((f"deepstack_merger_list.{i}", merged) for i in range(len(deep)))]
    for name, normed in mergers:
        yield from _affine(f"{VISION}{name}.norm", normed)
        yield from _linear(f"{VISION}{name}.linear_fc1", merged, merged)
        yield from _linear(f"{VISION}{name}.linear_fc2", merged, out)
    biased = ("q_proj", "k_proj", "v_proj", "o_proj") if text.get("attention_bias") else ()
    yield from _text({**_QWEN3_TEXT, **text}, _number(text, "head_dim", 128), biased, normed=True)


def _qwen2_text(text: Config) -> Shapes:
    text = {**_QWEN2_TEXT, **text}
    head_dim = _number(text, "hidden_size") // _number(text, "num_attention_heads")
    yield from _text(text, head_dim, ("q_proj", "k_proj", "v_proj"), normed=False)


def _text(text: Config, head_dim: int, biased: tuple[str, ...], *, normed: bool) -> Shapes:
    """Yields the tensors of a decoder with its embedding, final norm and head.

    Args:
        text: the text config, with the defaults of the config class filled in.
        biased: the attention projections that have a bias.
        normed: whether queries and keys are normalised.
    """
    hidden, inner = _number(text, "hidden_size"), _number(text, "intermediate_size")
    words, heads = _number(text, "vocab_size"), _number(text, "num_attention_heads")
    keys = heads if text["num_key_value_heads"] is None else _number(text, "num_key_value_heads")
    wide, narrow = heads * head_dim, keys * head_dim
    yield EMBEDDING, (words, hidden)
    for i in range(_count(text, "num_hidden_layers")):
        layer = f"{TEXT}layers.{i}"
        attention = (("q_proj", hidden, wide), ("k_proj", hidden, narrow), ("v_proj", hidden, narrow))
        for name, inputs, outputs in (*attention, ("o_proj", wide, hidden)):
            yield from _linear(f"{layer}.self_attn.{name}", inputs, outputs, bias=name in biased)
        for name in ("q_norm", "k_norm") if normed else ():
            yield from _scale(f"{layer}.self_attn.{name}", head_dim)
        for name in ("gate_proj", "up_proj"):
            yield from _linear(f"{layer}.mlp.{name}", hidden, inner, bias=False)
        yield from _linear(f"{layer}.mlp.down_proj", inner, hidden, bias=False)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield from _scale(f"{layer}.{name}", hidden)
    yield TEXT + "norm.weight", (hidden,)
    yield HEAD, (words, hidden)


def _blocks(vision: Config, depth: int, hidden: int, norm: Norm, mlp: Layers) -> Shapes:
    """Yields the tensors of the vision tower's blocks: two norms, attention, and the layers of `mlp`.

    `depth` is the number of blocks if the config does not give it.
    """
    for i in range(_count(vision, "depth", depth)):
        block = f"{VISION}blocks.{i}"
        for name in ("norm1", "norm2"):
            yield from norm(f"{block}.{name}", hidden)
        yield from _linear(f"{block}.attn.qkv", hidden, 3 * hidden)
        yield from _linear(f"{block}.attn.proj", hidden, hidden)
        for name, (inputs, outputs) in mlp.items():
            yield from _linear(f"{block}.mlp.{name}", inputs, outputs)


def _merger_mlp(vision: Config, hidden: int, out: int) -> Shapes:
    merged = hidden * _number(vision, "spatial_merge_size", 2) ** 2
    yield from _linear(VISION + "merger.mlp.0", merged, merged)
    yield from _linear(VISION + "merger.mlp.2", merged, out)


def _patches(vision: Config, hidden: int, side: int) -> TensorShape:
    side = _number(vision, "patch_size", side)
    frames = _number(vision, "temporal_patch_size", 2)
    return (hidden, _number(vision, "in_channels", 3), frames, side, side)


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _scale(name: str, size: int) -> Shapes:
    yield f"{name}.weight", (size,)


def _affine(name: str, size: int) -> Shapes:
    yield from _scale(name, size)
    yield f"{name}.bias", (size,)


def _count(part: Config, key: str, default: int | None = None) -> int:
    number = _number(part, key, default)
    if number > _MOST:
        raise ModelError(f"config.json: {key} is {number}, more than any model has")
    return number


def _number(part: Config, key: str, default: int | None = None) -> int:
    value = part.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"config.json: {key} is {value!r}, not a whole number above 0")
    return value


_FAMILIES: Mapping[str, Callable[[Config, Config], Shapes]] = {
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
}
"""Maps `model_type` to a function that yields the family's tensors from the text and the vision config."""
