"""What all engines share: their options, and what becomes of a request that failed."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import BenchError, UsageError, did_you_mean
from ssl4rl_bench.core.types import Completion

DTYPES: tuple[str, ...] = ("auto", "float32", "bfloat16", "float16")
"""Number formats of weights and arithmetic; "auto" is the checkpoint's own."""
TOKEN_FIELDS: tuple[str, ...] = ("max_tokens", "max_completion_tokens")
"""Names that servers have for the limit on a reply's tokens."""


@dataclass(frozen=True)
class EngineOptions:
    """How an engine runs. Each engine reads the fields that concern it and ignores the others.

    Raises:
        UsageError: for a value out of range.
    """

    min_pixels: int | None = None
    """Images and frames with fewer pixels are enlarged to this many; None: the checkpoint's own limit."""
    max_pixels: int | None = None
    """Images and frames with more pixels are shrunk to this many; None: the checkpoint's own limit."""
    dtype: str = "auto"
    """One of `DTYPES`. hf, vllm."""
    attn: str | None = None
    """Attention implementation of transformers: "sdpa", "eager", "flash_attention_2". hf."""
    device_map: str | None = None
    """Where the weights go: None (one device), "auto" (spread over all GPUs), "cpu", "cuda:1". hf."""
    batch_size: int = 64
    """Prompts in a forward pass (hf), or at most in flight (vllm)."""
    tensor_parallel_size: int = 1
    """GPUs that share one copy of the model. vllm."""
    max_model_len: int | None = None
    """Prompt and reply together, in tokens; None: what the checkpoint allows, at most 32,768. hf, vllm."""
    gpu_memory_utilization: float | None = None
    """Share of a GPU's memory to take, in (0, 1]; None: vLLM's own default. vllm."""
    concurrency: int = 32
    """Requests in flight at a server. openai."""
    base_urls: tuple[str, ...] = ()
    """Servers that share the work; on the command line separated by commas. openai."""
    timeout: float = 600.0
    """Seconds that a server has for one request. openai."""
    tokens_field: str = "max_tokens"
    """Name of the limit on a reply's tokens: max_tokens, or max_completion_tokens. openai."""
    served_model: str | None = None
    """The model's name at the server; None: ask the server. openai."""
    replies: Path | None = None
    """Recorded replies instead of a model: a file, a run directory, or a folder of TASK.jsonl files. replay."""
    mock: str = "gold"
    """What the mock answers. mock."""
    mock_latency: float = 0.0
    """Seconds that the mock waits before a reply. mock."""
    mock_faults: float = 0.0
    """Share of requests that the mock fails, in [0, 1]. mock."""
    seed: int = 0
    """Of the engine as a whole; the seed of a reply comes with its request."""

    def __post_init__(self) -> None:
        for name in (
            "min_pixels",
            "max_pixels",
            "batch_size",
            "tensor_parallel_size",
            "max_model_len",
            "concurrency",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise UsageError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
        if self.dtype not in DTYPES:
            raise UsageError(
                f"no dtype {self.dtype!r} (known: {', '.join(DTYPES)}){did_you_mean(self.dtype, DTYPES)}"
            )
        if self.gpu_memory_utilization is not None and not 0 < self.gpu_memory_utilization <= 1:
            raise UsageError(f"gpu_memory_utilization must be in (0, 1], not {self.gpu_memory_utilization}")
        if not 0 < self.timeout < math.inf:
            raise UsageError(f"timeout must be above 0 seconds, not {self.timeout}")
        if self.tokens_field not in TOKEN_FIELDS:
            raise UsageError(
                f"no tokens_field {self.tokens_field!r} (known: {', '.join(TOKEN_FIELDS)})"
                f"{did_you_mean(self.tokens_field, TOKEN_FIELDS)}"
            )
        if not 0 <= self.mock_latency < math.inf:
            raise UsageError(f"mock_latency must be at least 0 seconds, not {self.mock_latency}")
        if not 0 <= self.mock_faults <= 1:
            raise UsageError(f"mock_faults must be in [0, 1], not {self.mock_faults}")

    @classmethod
    def from_pairs(cls, pairs: Iterable[str], base: EngineOptions | None = None) -> EngineOptions:
        """`base` (or the defaults) changed by texts like "dtype=float32"; "none" empties an optional field.

        Raises:
            UsageError: for an unknown key, or a value of the wrong type or out of range.
        """
        kinds = typing.get_type_hints(cls)
        changes: dict[str, Any] = {}
        for pair in pairs:
            key, equals, text = pair.partition("=")
            key = key.strip().replace("-", "_")
            if not equals:
                raise UsageError(f"{pair!r} is not of the form key=value")
            if key not in kinds:
                raise UsageError(
                    f"no engine option {key!r} (known: {', '.join(kinds)}){did_you_mean(key, kinds)}"
                )
            changes[key] = _parse(key, text.strip(), kinds[key])
        return dataclasses.replace(base or cls(), **changes)


def _parse(key: str, text: str, kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        if text.lower() == "none":
            return None
        kind = next(arg for arg in typing.get_args(kind) if arg is not type(None))
    if typing.get_origin(kind) is tuple:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    if not text:
        raise UsageError(f"engine option {key} needs a value")
    try:
        return kind(text)
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}[kind]
        raise UsageError(f"engine option {key} must be {wanted}, not {text!r}") from None


def no_reply(reasoning: str, cut: bool) -> str:
    """Says that a model's reply is reasoning alone.

    Args:
        cut: whether it hit the token limit.
    """
    why = " before it hit the token limit; allow more with --max-tokens" if cut else ""
    return f"the model gave {len(reasoning.strip())} characters of reasoning and no reply{why}"


def error_completion(message: str, latency_s: float = 0.0) -> Completion:
    """The completion of a request that failed for the reason that `message` tells, on one line."""
    return Completion(
        text="",
        finish_reason="error",
        latency_s=latency_s,
        error=" ".join(message.split()) or "unknown error",
    )


def reason(error: BaseException) -> str:
    """What went wrong, on one line: our own errors' message, else the kind of error and its first line.

    A first line that ends in a colon says nothing by itself; the next one is added.
    """
    if isinstance(error, BenchError):
        return str(error)
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
