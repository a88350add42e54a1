"""What all engines share: their options, and what becomes of a request that failed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from ssl4rl_bench.core.config import Must, changed, check
from ssl4rl_bench.core.errors import BenchError, EngineError, UsageError
from ssl4rl_bench.core.types import Completion

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES: tuple[str, ...] = get_args(Dtype)
"""Number formats of weights and arithmetic; "auto" is the checkpoint's own."""
TokensField = Literal["max_tokens", "max_completion_tokens"]
"""Names that servers have for the limit on a reply's tokens."""
_Count = Annotated[int, Must("at least 1", lambda n: n >= 1)]
_Timeout = Annotated[float, Must("above 0 seconds", lambda s: 0 < s < math.inf)]
_Delay = Annotated[float, Must("at least 0 seconds", lambda s: 0 <= s < math.inf)]
_Part = Annotated[float, Must("in (0, 1]", lambda share: 0 < share <= 1)]
_Share = Annotated[float, Must("in [0, 1]", lambda share: 0 <= share <= 1)]


@dataclass(frozen=True)
class EngineOptions:
    """How an engine runs. Each engine reads the fields that concern it and ignores the others.

    Raises:
        UsageError: for a value out of range.
    """

    min_pixels: _Count | None = None
    """Images and frames with fewer pixels are enlarged to this many; None: the checkpoint's own limit."""
    max_pixels: _Count | None = None
    """Images and frames with more pixels are shrunk to this many; None: the checkpoint's own limit."""
    dtype: Dtype = "auto"
    """One of `DTYPES`. hf, vllm."""
    attn: str | None = None
    """Attention implementation of transformers: "sdpa", "eager", "flash_attention_2". hf."""
    device_map: str | None = None
    """Where the weights go: None (one device), "auto" (spread over all GPUs), "cpu", "cuda:1". hf."""
    batch_size: _Count = 64
    """Prompts in a forward pass (hf), or at most in flight (vllm)."""
    tensor_parallel_size: _Count = 1
    """GPUs that share one copy of the model. vllm."""
    max_model_len: _Count | None = None
    """Prompt and reply together, in tokens; None: what the checkpoint allows, at most 32,768. hf, vllm."""
    gpu_memory_utilization: _Part | None = None
    """Share of a GPU's memory to take, in (0, 1]; None: vLLM's own default. vllm."""
    concurrency: _Count = 32
    """Requests in flight at a server. openai."""
    base_urls: tuple[str, ...] = ()
    """Servers that share the work; on the command line separated by commas. openai."""
    timeout: _Timeout = 600.0
    """Seconds that a server has for one request. openai."""
    tokens_field: TokensField = "max_tokens"
    """Name of the limit on a reply's tokens: max_tokens, or max_completion_tokens. openai."""
    served_model: str | None = None
    """The model's name at the server; None: ask the server. openai."""
    replies: Path | None = None
    """Recorded replies instead of a model: a file, a run directory, or a folder of TASK.jsonl files. replay."""
    mock: str = "gold"
    """What the mock answers. mock."""
    mock_latency: _Delay = 0.0
    """Seconds that the mock waits before a reply. mock."""
    mock_faults: _Share = 0.0
    """Share of requests that the mock fails, in [0, 1]. mock."""
    seed: int = 0
    """Of the engine as a whole; the seed of a reply comes with its request."""

    def __post_init__(self) -> None:
        check(self)
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise UsageError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")

    @classmethod
    def from_pairs(cls, pairs: Iterable[str], base: EngineOptions | None = None) -> EngineOptions:
        """`base` (or the defaults) changed by texts like "dtype=float32"; "none" empties an optional field.

        Raises:
            UsageError: for an unknown key, or a value of the wrong type or out of range.
        """
        texts: dict[str, str] = {}
        for pair in pairs:
            key, equals, text = (part.strip() for part in pair.partition("="))
            key = key.replace("-", "_")
            if not equals:
                raise UsageError(f"{pair!r} is not of the form key=value")
            if not text and key != "base_urls":
                raise UsageError(f"engine option {key} needs a value")
            texts[key] = text
        return changed(base or cls(), texts, "engine options")


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turns whatever a library raises into an EngineError that begins with `what`; ours are left as they are."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        raise EngineError(f"{what}: {reason(error)}") from error


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
