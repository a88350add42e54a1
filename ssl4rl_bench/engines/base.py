"""What all engines share: `EngineOptions`, and helpers that turn failures into completions and messages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from ssl4rl_bench.core.config import Must, changed, check_constraints
from ssl4rl_bench.core.errors import BenchError, EngineError, UsageError
from ssl4rl_bench.core.types import Completion

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES: tuple[str, ...] = get_args(Dtype)
"""Number formats of weights and arithmetic; "auto" is the format of the checkpoint."""
TokensField = Literal["max_tokens", "max_completion_tokens"]
"""Names that servers use for the limit on a reply's tokens."""
_Count = Annotated[int, Must("at least 1", lambda n: n >= 1)]
_Whole = Annotated[int, Must("at least 0", lambda n: n >= 0)]
_Timeout = Annotated[float, Must("above 0 seconds", lambda s: 0 < s < math.inf)]
_Delay = Annotated[float, Must("at least 0 seconds", lambda s: 0 <= s < math.inf)]
_FIXED = ("model", "tokenizer", "trust_remote_code", "disable_log_stats", "use_tqdm_on_load")
"""Arguments of vLLM's engine that cannot be set."""
_Part = Annotated[float, Must("in (0, 1]", lambda share: 0 < share <= 1)]
_Share = Annotated[float, Must("in [0, 1]", lambda share: 0 <= share <= 1)]


@dataclass(frozen=True)
class EngineOptions:
    """Options of all engines. Each engine reads the fields that apply to it and ignores the others.

    Raises:
        UsageError: for a value out of range.
    """

    min_pixels: _Count | None = None
    """Images and frames with fewer pixels are enlarged to this many; None uses the checkpoint's limit."""
    max_pixels: _Count | None = None
    """Images and frames with more pixels are shrunk to this many; None uses the checkpoint's limit."""
    dtype: Dtype = "auto"
    """The number format of weights and arithmetic, one of `DTYPES`. hf, vllm."""
    attn: str | None = None
    """The attention implementation of transformers: "sdpa", "eager" or "flash_attention_2". hf."""
    device_map: str | None = None
    """Where the weights are placed: None (one device), "auto" (spread over all GPUs), "cpu", "cuda:1". hf."""
    batch_size: _Count | None = None
    """The maximum number of replies in progress (hf; None: 64) or in flight (vllm; None: 128 on a CPU, vLLM's
    default on a GPU)."""
    tensor_parallel_size: _Count = 1
    """The number of GPUs that share one copy of the model. vllm."""
    max_model_len: _Count | None = None
    """The limit on prompt plus reply in tokens; None uses the checkpoint's, at most 32,768. hf, vllm."""
    gpu_memory_utilization: _Part | None = None
    """The share of a GPU's memory to use, in (0, 1]; None uses vLLM's default. vllm."""
    renderers: _Whole | None = None
    """The number of processes that prepare prompts; 0 prepares them in a thread. None: three fewer than there
    are cores, at most 8; none if the model runs on CPUs. vllm."""
    vllm: tuple[str, ...] = ()
    """Other arguments of vLLM's engine, as "KEY=VALUE"; on the command line vllm.KEY=VALUE. vllm."""
    concurrency: _Count = 32
    """The maximum number of requests in flight per server. openai."""
    base_urls: tuple[str, ...] = ()
    """The servers that share the work, separated by commas on the command line. openai."""
    timeout: _Timeout = 600.0
    """The time that a server has to answer one request, in seconds. openai."""
    tokens_field: TokensField = "max_tokens"
    """The request field that limits a reply's tokens: max_tokens or max_completion_tokens. openai."""
    served_model: str | None = None
    """The model's name at the server; None asks the server. openai."""
    replies: Path | None = None
    """Recorded replies to use: a file, a run directory, or a folder of TASK.jsonl files. replay."""
    mock: str = "gold"
    """How the mock answers, such as "gold", "random" or "constant:B". mock."""
    mock_latency: _Delay = 0.0
    """The mean time that the mock waits before a reply, in seconds. mock."""
    mock_faults: _Share = 0.0
    """The share of requests that fail, in [0, 1]. mock."""
    workers: _Count = 1
    """The number of engines that share the requests, in processes that Ray starts; 1 uses no Ray. hf, vllm, mock."""
    ray_address: str | None = None
    """The Ray cluster that runs the workers, as HOST:PORT; None starts Ray on this machine. With one worker too."""
    margin: bool = True
    """Whether the likelihoods of the answers to probes are measured, for the forced-choice margin. hf, vllm."""
    seed: int = 0
    """The seed of the engine as a whole; each request carries the seed of its reply."""

    def __post_init__(self) -> None:
        check_constraints(self)
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise UsageError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
        for pair in self.vllm:
            key, equals, text = pair.partition("=")
            if not equals:
                raise UsageError(f"vllm={pair} names no argument: write vllm.KEY=VALUE")
            if key in {option.name for option in fields(self)}:
                raise UsageError(f"vllm.{key} is an engine option: write --set {key}={text}")
            if key in _FIXED:
                raise UsageError(f"vllm.{key} cannot be set: leave it out")

    @classmethod
    def from_pairs(cls, pairs: Iterable[str], base: EngineOptions | None = None) -> EngineOptions:
        """Returns `base` (or the defaults) updated from strings such as "dtype=float32".

        The value "none" sets an optional field to None. "vllm.KEY=VALUE" adds to `vllm`.

        Raises:
            UsageError: for an unknown key, or a value of the wrong type or out of range.
        """
        base = base or cls()
        texts: dict[str, str] = {}
        for_vllm: dict[str, str] = dict(pair.split("=", 1) for pair in base.vllm)
        for pair in pairs:
            key, equals, text = (part.strip() for part in pair.partition("="))
            key = key.replace("-", "_")
            if not equals:
                raise UsageError(f"{pair!r} is not of the form key=value")
            if not text and key not in ("base_urls", "vllm"):
                raise UsageError(f"engine option {key} needs a value")
            if key == "vllm":
                for_vllm = {}
                if text:
                    raise UsageError(f"vllm={text} names no argument: write vllm.KEY=VALUE")
            elif key.startswith("vllm."):
                for_vllm[key.removeprefix("vllm.")] = text
            else:
                texts[key] = text
        return replace(
            changed(base, texts, "engine options"),
            vllm=tuple(f"{key}={text}" for key, text in for_vllm.items()),
        )


def as_pairs(options: Mapping[str, Any]) -> Iterator[str]:
    """Yields engine options in the form of `--set` values, KEY=VALUE (`EngineOptions.from_pairs`)."""
    for key, value in options.items():
        if isinstance(value, str) or not isinstance(value, Iterable):
            text = "none" if value is None else str(value)
        else:
            text = ",".join(map(str, value))
        yield f"{key}={text}"


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Wraps any exception of a library in an EngineError that begins with `what`.

    Exceptions of this project (BenchError) pass through unchanged.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:  # a library may raise any exception
        raise EngineError(f"{what}: {reason(error)}") from error


def no_reply(reasoning: str, cut: bool) -> str:
    """Returns the error message for a completion that has reasoning but no reply.

    Args:
        cut: whether the completion hit the token limit.
    """
    why = " before it hit the token limit; allow more with --max-tokens" if cut else ""
    return f"the model gave {len(reasoning.strip())} characters of reasoning and no reply{why}"


def error_completion(message: str, latency_s: float = 0.0) -> Completion:
    """Returns the completion of a failed request, with `message` joined into one line as its error."""
    return Completion(
        text="",
        finish_reason="error",
        latency_s=latency_s,
        error=" ".join(message.split()) or "unknown error",
    )


def reason(error: BaseException) -> str:
    """Describes an exception on one line: the message of a BenchError, else the type and the first line.

    If the first line ends in a colon, the second line is appended, since the first is useless by itself.
    """
    if isinstance(error, BenchError):
        return str(error)
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
