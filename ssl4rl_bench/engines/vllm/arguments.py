"""How vLLM is started: its arguments, its environment, its output and its signals."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.inputs import Prompter, text_config

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

_MAX_ITEMS = {"image": 64, "video": 8}
"""The maximum number of items in one prompt. vLLM requires limits; a high limit for images costs nothing."""
_CPU_RUNNING = 128
"""The number of requests in flight on a CPU; 64 are 28% slower on `scenes`. On a GPU, vLLM chooses."""
SHORT = 2_000
"""Up to this many requests, a GPU answers them sooner without compiling the model first."""
_GIB = 1 << 30
_HOW_FAST = frozenset(
    {
        "async_scheduling",
        "block_size",
        "compilation_config",
        "cudagraph_capture_sizes",
        "distributed_executor_backend",
        "enable_chunked_prefill",
        "enable_prefix_caching",
        "enforce_eager",
        "kv_cache_memory_bytes",
        "load_format",
        "long_prefill_token_threshold",
        "max_cudagraph_capture_size",
        "max_long_partial_prefills",
        "max_num_batched_tokens",
        "max_num_partial_prefills",
        "max_num_seqs",
        "max_parallel_loading_workers",
        "mm_encoder_tp_mode",
        "mm_processor_cache_gb",
        "mm_processor_cache_type",
        "mm_shm_cache_max_object_size_mb",
        "numa_bind",
        "optimization_level",
        "performance_mode",
        "pipeline_parallel_size",
        "scheduling_policy",
        "stream_interval",
    }
)
"""Engine arguments that do not change replies, apart from rounding."""
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",  # at WARNING, it prints a line for each image on a CPU
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # forking a process that has threads or uses CUDA is unsafe
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Environment variables that are set unless the user has set them."""


def arguments(
    model: Model,
    options: EngineOptions,
    prompter: Prompter,
    *,
    video: bool,
    on_cpu: bool,
    n_expected: int | None = None,
) -> dict[str, Any]:
    """Returns the keyword arguments of vLLM's `EngineArgs`.

    Args:
        video: whether prompts may have videos.
        n_expected: the number of requests that will be made, None if unknown.
    """
    made: dict[str, Any] = {
        "model": str(model.path),
        "dtype": "float32" if options.dtype == "auto" and on_cpu else options.dtype,
        "max_model_len": prompter.context,
        "limit_mm_per_prompt": _MAX_ITEMS if video else _MAX_ITEMS | {"video": 0},
        "mm_processor_kwargs": prompter.limits or None,
        "mm_processor_cache_gb": 1,
        "tensor_parallel_size": options.tensor_parallel_size,
        "seed": options.seed,
        "trust_remote_code": False,
        "use_tqdm_on_load": False,
    }
    if options.batch_size is not None or on_cpu:
        made["max_num_seqs"] = options.batch_size or _CPU_RUNNING
    if options.gpu_memory_utilization is not None:
        made["gpu_memory_utilization"] = options.gpu_memory_utilization
    if on_cpu:
        made |= {
            "enforce_eager": True,
            "block_size": 32,  # vLLM's 128 is too coarse for the rolls of one question to share a prefix
            "max_num_batched_tokens": 4096,
        }
        if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
            made["kv_cache_memory_bytes"] = max(_GIB, 2 * prompter.context * _kv_bytes(model))
    elif n_expected is not None:
        made["enforce_eager"] = n_expected <= SHORT
    return made | given(options.vllm)


def given(pairs: Iterable[str]) -> dict[str, Any]:
    """Returns the arguments of `--set vllm.KEY=VALUE`, given as "KEY=VALUE". Values are JSON, or else text."""
    made = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        try:
            made[key] = json.loads(text)
        except ValueError:
            made[key] = {"True": True, "False": False, "None": None}.get(text, text)
    return made


def reply_arguments(pairs: Iterable[str]) -> dict[str, Any]:
    """Returns the arguments of `given` that can change replies by more than rounding."""
    return {key: value for key, value in given(pairs).items() if key not in _HOW_FAST}


def check_names(names: Iterable[str], known: list[str]) -> None:
    """Raises UsageError for an argument that the installed vLLM does not have."""
    for name in names:
        if name not in known:
            raise UsageError(
                f"this version of vLLM has no engine argument {name!r}{did_you_mean(name, known)}"
            )


def _kv_bytes(model: Model) -> int:
    """Returns an upper bound on the bytes of the KV cache per token: keys and values in float32."""
    config = text_config(model.path)
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    return int(2 * 4 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * head_dim)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences warnings while vLLM starts, unless the user has set VLLM_LOGGING_LEVEL."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        if os.environ.get("VLLM_LOGGING_LEVEL") == ENVIRONMENT["VLLM_LOGGING_LEVEL"]:
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextmanager
def children_deaf_to_interrupts() -> Iterator[None]:
    """Makes processes that are started inside ignore Ctrl-C, so that only this process handles it.

    They inherit this thread's signal mask, which blocks SIGINT. Meanwhile another thread receives the signal.
    """
    resource_tracker.ensure_running()  # before the signal is blocked: its start unblocks it in this thread
    over = threading.Event()
    threading.Thread(target=over.wait, name="takes-interrupts", daemon=True).start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        over.set()
