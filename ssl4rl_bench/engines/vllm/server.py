"""A running vLLM instance: keeps it supplied with prompts and yields its replies."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import EngineError, ModelError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling, VideoPart, parts_of
from ssl4rl_bench.engines.base import EngineOptions, error_completion, reason, telling
from ssl4rl_bench.engines.inputs import Prompter
from ssl4rl_bench.engines.stopwatch import Reason, Stopwatch
from ssl4rl_bench.engines.vllm import adapter, forced
from ssl4rl_bench.engines.vllm.arguments import (
    ENVIRONMENT,
    arguments,
    check_names,
    children_deaf_to_interrupts,
    given,
    quiet,
)
from ssl4rl_bench.engines.vllm.feed import Admission, Feed, Prepared, Supply, ThreadFeed
from ssl4rl_bench.engines.vllm.renderers import ProcessFeed, default_processes

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

_GROUPS = 8
"""On a GPU, prompts are added when one in this many of the requests in flight has ended (`Admission`)."""


class VllmServer:
    """A running vLLM instance.

    Args:
        video: whether prompts may have videos.
        n_expected: the number of requests that will be made, None if unknown.
    """

    def __init__(self, model: Model, options: EngineOptions, video: bool, n_expected: int | None) -> None:
        for key, value in ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        self.video = video
        self.running: dict[str, tuple[Request, float]] = {}
        """The requests in flight and the times at which they were added, by vLLM's request id."""
        self.draining = False
        """Whether to stop adding requests."""
        self._ids = count()
        self._n_prompt_tokens = self._n_cached_tokens = 0
        self.stopwatch = Stopwatch()
        with quiet():
            import torch

            self._set_num_threads = torch.set_num_threads  # vLLM patches this function; close() restores it
            on_cpu = adapter.on_cpu()
            check_names(given(options.vllm), adapter.argument_names())
            if on_cpu and options.tensor_parallel_size == 1:
                os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            prompter = Prompter(model.path, options)
            config = adapter.make_config(
                arguments(model, options, prompter, video=video, on_cpu=on_cpu, n_expected=n_expected)
            )
            n_processes = default_processes(on_cpu) if options.renderers is None else options.renderers
            n_running = adapter.max_running(config)
            self._admission = Admission(n_running, 1 if on_cpu else max(1, n_running // _GROUPS))
            ahead = max(2, n_running // 8, 2 * self._admission.group)
            feed: Feed | None = None
            with children_deaf_to_interrupts():
                try:
                    if n_processes:  # before the engine, so that they start while it does
                        decode = adapter.Wire().decode
                        feed = ProcessFeed(n_processes, (config, model.path, options), decode, ahead=ahead)
                    self._engine = adapter.LocalEngine(config)
                except BaseException:
                    if feed is not None:
                        feed.close()
                    raise
        self._render = self._engine.renderer(prompter)
        self._tokenize = lambda text: prompter.processor.tokenizer(text, add_special_tokens=False)[
            "input_ids"
        ]
        self._feed: Feed = feed or ThreadFeed(self._render, ahead)
        self._supply = Supply(self._feed.ahead)
        self._n_processes = n_processes

    def answer(
        self, held: Request | None, queue: Iterator[Request], sampling: Sampling
    ) -> Generator[tuple[Request, Completion], None, Request | None]:
        """Answers `held` and the requests in `queue`; returns the first one that needs another server."""
        feed = self._feed
        ready: deque[tuple[Request, Prepared]] = deque()
        running = self.running = {}
        self.draining = False
        self.stopwatch.switch("prompts")
        try:
            while True:
                if self.draining:
                    held = None
                    feed.drop()
                    ready.clear()
                elif held is None:  # the queue of a worker may have been filled again
                    held = next(queue, None)
                held = self._pull(held, queue, len(ready))
                prepared = feed.collect(wait=not running and not ready)
                self._supply.add(len(prepared), adapter.n_bytes(prompt for _, prompt in prepared))
                ready += prepared
                for _ in range(self._admission.count(len(running), len(ready), feed.pending)):
                    request, prompt = ready.popleft()
                    try:
                        key = self._add(prompt, sampling, request.seed)
                    except (ModelError, EngineError):
                        raise
                    except Exception as error:  # a prompt that vLLM rejects fails only its own request
                        yield request, error_completion(reason(error))
                    else:
                        if key is None:
                            yield request, error_completion(str(prompt))
                        else:
                            running[key] = request, time.perf_counter()
                self.stopwatch.switch(self._limited_by(held))
                if running:
                    for output in self._step():
                        if output.finished:
                            request, since = running.pop(output.request_id)
                            yield request, self._completion(output, time.perf_counter() - since)
                elif not (ready or feed.pending or (held and self._takes(held))):
                    return held
        except (GeneratorExit, KeyboardInterrupt):
            self._engine.abort(list(running))
            raise
        finally:
            self.stopwatch.switch(None)
            feed.drop()

    def likelihoods(self, asked: Iterable[tuple[Request, Sequence[str]]]) -> Iterator[forced.Scored]:
        """Yields log-likelihoods of texts (`forced.likelihoods`)."""
        return forced.likelihoods(self._engine, self._render, self._tokenize, self._admission.limit, asked)

    def _limited_by(self, held: Request | None) -> Reason:
        """Returns why no more requests are in flight, after all prompts that are ready were added."""
        if self._admission.is_full(len(self.running)):
            return "model"
        return "prompts" if self._feed.pending or (held and self._takes(held)) else "rest"

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
            if not finished and key is not None:
                self._engine.abort([key])

    @property
    def capacity(self) -> int:
        """The number of requests in the engine, in preparation and ready."""
        return self._admission.limit + self._feed.ahead

    def measures(self) -> dict[str, Any]:
        """Returns vLLM's settings, how many prompt tokens its prefix cache supplied, and what it waited for."""
        return {
            **self._engine.limits,
            "renderers": self._n_processes,
            "n_prompt_tokens": self._n_prompt_tokens,
            "n_cached_prompt_tokens": self._n_cached_tokens,
            **self.stopwatch.measures(),
        }

    def close(self) -> None:
        """Stops vLLM and all processes."""
        import torch

        self._feed.close()
        self._engine.close()
        torch.set_num_threads = self._set_num_threads

    def _pull(self, held: Request | None, queue: Iterator[Request], n_ready: int) -> Request | None:
        """Submits requests until enough are in preparation or ready; returns the next one."""
        while held and self._takes(held) and self._supply.wants(self._feed.pending + n_ready):
            unit = [held]
            images = _images(held)
            held = next(queue, None)
            while held and len(unit) < self._feed.unit_size and self._takes(held) and _images(held) == images:
                unit.append(held)
                held = next(queue, None)
            self._feed.submit(unit)
        return held

    def _takes(self, request: Request) -> bool:
        return self.video or not has_video(request.sample.messages)

    def _add(self, prompt: Prepared, sampling: Sampling, seed: int, delta: bool = False) -> str | None:
        """Adds a request to the engine and returns its key; None if its prompt could not be prepared."""
        if isinstance(prompt, ModelError):
            raise prompt
        if isinstance(prompt, str):
            return None
        key = str(next(self._ids))
        self._engine.add(key, prompt, sampling, seed, delta)
        return key

    def _step(self) -> list[Any]:
        with telling("vLLM stopped"):
            return self._engine.step()

    def _completion(self, output: Any, latency: float) -> Completion:
        reply = output.outputs[0]
        if reply.finish_reason not in ("stop", "length"):
            return error_completion(f"vLLM ended the request: {reply.finish_reason}", latency)
        n_prompt_tokens = len(output.prompt_token_ids)
        self._n_prompt_tokens += n_prompt_tokens
        self._n_cached_tokens += adapter.cached_tokens(output)
        return Completion(
            text=reply.text,
            finish_reason=reply.finish_reason,
            n_prompt_tokens=n_prompt_tokens,
            n_completion_tokens=len(reply.token_ids),
            latency_s=latency,
        )


def _images(request: Request) -> tuple[str, ...]:
    return tuple(image.sha256 for image in request.sample.images)


def has_video(messages: Sequence[Message]) -> bool:
    """Returns whether any of the messages has a video."""
    return any(parts_of(messages, VideoPart))
