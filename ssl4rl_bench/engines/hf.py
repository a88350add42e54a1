"""The reference engine: runs `generate` of transformers in this process, one batch at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import EngineError, ModelError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling, Waits
from ssl4rl_bench.engines import positions
from ssl4rl_bench.engines.allocator import keep_freed_memory
from ssl4rl_bench.engines.base import EngineOptions, error_completion, reason, telling
from ssl4rl_bench.engines.draws import draws
from ssl4rl_bench.engines.inputs import Prompter, too_long
from ssl4rl_bench.engines.loading import load_network
from ssl4rl_bench.engines.stopwatch import Stopwatch
from ssl4rl_bench.engines.swapping import load_weights, same_kind

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

_PER_TOKEN = frozenset({"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"})
_BATCH_SIZE = 64
"""The batch size if the user sets none."""
_WINDOW = 2
"""The number of batches for which requests are sorted together, so that similar lengths share a batch."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prompt:
    features: dict[str, Any]
    """The output of the processor: tensors with a batch size of 1."""
    n_tokens: int
    seed: int


class HfEngine:
    """Answers prompts in batches of similar length.

    With a temperature above 0, each request has its own random generator, so a reply does not depend on which
    requests share its batch. The checkpoint's sampling defaults (repetition penalty and so on) are ignored.
    A batch that does not fit into the GPU's memory is halved.

    Args:
        model: the checkpoint.
        options: `batch_size`, `dtype` ("auto" is the checkpoint's on a GPU and float32 on a CPU), `attn`,
            `device_map`, `min_pixels`, `max_pixels`, `max_model_len`.
    """

    name = "hf"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self._model = model
        self._options = options
        self._batch_size = options.batch_size or _BATCH_SIZE
        self._network: _Network | None = None
        self._n_running = 0
        self._draining = False
        self._stopwatch = Stopwatch()

    @property
    def version(self) -> str:
        dtype = self._options.dtype
        return metadata.version("transformers") + ("" if dtype == "auto" else f"+{dtype}")

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`. Requests are pulled two batches at a time."""
        queue = iter(requests)
        self._draining = False
        try:
            while window := list(islice(queue, _WINDOW * self._batch_size)):
                yield from self._answer_window(self._load(), window, sampling)
        finally:
            self._stopwatch.switch(None)

    def _answer_window(
        self, network: _Network, window: list[Request], sampling: Sampling
    ) -> Iterator[tuple[Request, Completion]]:
        """Prepares some requests, and answers them in batches of similar length."""
        self._stopwatch.switch("prompts")
        ready: list[tuple[Request, _Prompt]] = []
        for request in window:
            try:
                ready.append((request, network.prepare(request.sample.messages, request.seed)))
            except ModelError:
                raise
            except Exception as error:  # a prompt that cannot be built fails only its own request
                yield request, error_completion(reason(error))
        ready.sort(key=lambda item: item[1].n_tokens, reverse=True)
        while ready and not self._draining:
            batch, ready = ready[: self._batch_size], ready[self._batch_size :]
            self._n_running = len(batch)
            self._stopwatch.switch("model")
            completions = self._answer(network, [prompt for _, prompt in batch], sampling)
            self._stopwatch.switch("prompts")
            for (request, _), completion in zip(batch, completions, strict=True):
                self._n_running -= 1
                yield request, completion

    def _answer(self, network: _Network, prompts: list[_Prompt], sampling: Sampling) -> list[Completion]:
        import torch

        started = time.perf_counter()
        try:
            return network.answer(prompts, sampling)
        except torch.AcceleratorError as error:
            raise EngineError(
                f"the GPU failed, and the process must be restarted: {reason(error)}"
            ) from error
        except Exception as error:  # one bad prompt must not fail its whole batch: find it by halving
            if len(prompts) == 1:
                return [error_completion(reason(error), time.perf_counter() - started)]
            half = len(prompts) // 2
            if isinstance(error, torch.OutOfMemoryError):
                self._batch_size = min(self._batch_size, half)
                log.info("a batch of %d does not fit into memory; continuing with %d", len(prompts), half)
        network.free_cache()
        return [
            *self._answer(network, prompts[:half], sampling),
            *self._answer(network, prompts[half:], sampling),
        ]

    @property
    def capacity(self) -> int:
        """Implements `types.HasCapacity`."""
        return _WINDOW * self._batch_size

    def drain(self) -> int:
        """Starts no further batch; returns how many replies of the current batch are not yielded yet."""
        self._draining = True
        return self._n_running

    def waits(self) -> Waits:
        """Implements `types.ReportsWaits`. Prompts are prepared between batches, while the model is idle."""
        return self._stopwatch.waits()

    def measures(self) -> dict[str, Any]:
        """Implements `types.Measures`: what the engine waited for."""
        return self._stopwatch.measures()

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Implements `types.Engine.stream`. Closing the iterator ends the generation."""
        network = self._load()
        yield from network.stream(network.prepare(messages, self._options.seed), sampling)

    def swap(self, model: Model) -> bool:
        """Replaces the weights by those of another checkpoint and returns whether that was possible.

        Returns False, and changes nothing, if the checkpoints differ in more than their weights. After an
        exception the engine must be closed.
        """
        if self._network is not None:
            if not same_kind(self._model.path, model.path):
                return False
            with telling(f"transformers cannot load {model.name}"):
                load_weights(self._network.model, model.path)
        self._model = model
        self._stopwatch = Stopwatch()
        return True

    def close(self) -> None:
        """Implements `types.Engine.close`: unloads the model."""
        if self._network is not None:
            network, self._network = self._network, None
            network.unload()

    def _load(self) -> _Network:
        if self._network is None:
            log.info("loading %s with transformers", self._model.name)
            with telling(f"transformers cannot load {self._model.name}"):
                self._network = _Network(self._model, self._options)
        return self._network


class _Network:
    """A loaded checkpoint with its processor."""

    def __init__(self, model: Model, options: EngineOptions) -> None:
        import torch
        from transformers import GenerationConfig
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        on_cpu = options.device_map == "cpu" or not torch.cuda.is_available()
        if on_cpu:
            keep_freed_memory()
        dtype = "float32" if options.dtype == "auto" and on_cpu else options.dtype
        self.prompter = Prompter(model.path, options)
        self.tokenizer: Any = self.prompter.processor.tokenizer
        self.model: Any = load_network(
            model.path, dtype=dtype, attn_implementation=options.attn, device_map=options.device_map
        ).eval()
        if options.device_map is None and not on_cpu:
            self.model.to("cuda")
        positions.repair_positions(self.model)
        self.eos = _token_ids(self.model.generation_config.eos_token_id)
        self.eos |= _token_ids(self.tokenizer.eos_token_id)
        pad = self.tokenizer.pad_token_id
        self.pad: int = pad if pad is not None else min(self.eos, default=0)
        # generate() takes settings that a call omits from here, so the checkpoint's defaults must be gone.
        self.model.generation_config = GenerationConfig(
            eos_token_id=sorted(self.eos) or None, pad_token_id=self.pad, do_sample=False
        )

    def prepare(self, messages: Sequence[Message], seed: int) -> _Prompt:
        """Renders and tokenizes one prompt and preprocesses its images.

        Raises:
            UsageError: for a prompt that leaves no room for a reply.
        """
        rendered = self.prompter.render(messages)
        inputs: dict[str, Any] = {}
        if rendered.images:
            inputs["images"] = rendered.images
        if rendered.videos:
            inputs["videos"] = [frames for frames, _ in rendered.videos]
            inputs["video_metadata"] = [about for _, about in rendered.videos]
            inputs["do_sample_frames"] = False
        if inputs:
            inputs |= self.prompter.limits
        features = dict(
            self.prompter.processor(
                text=[rendered.text], return_tensors="pt", add_special_tokens=False, **inputs
            )
        )
        n_tokens = int(features["input_ids"].shape[1])
        if n_tokens >= self.prompter.context:
            raise too_long(n_tokens, self.prompter.context)
        return _Prompt(features, n_tokens, seed)

    def answer(self, prompts: list[_Prompt], sampling: Sampling) -> list[Completion]:
        """Returns one completion per prompt, in order."""
        started = time.perf_counter()
        width = max(prompt.n_tokens for prompt in prompts)
        rows = self._generate(prompts, sampling)[:, width:].tolist()
        latency = time.perf_counter() - started
        return [
            self._completion(
                prompt, row[: min(sampling.max_tokens, self.prompter.context - prompt.n_tokens)], latency
            )
            for prompt, row in zip(prompts, rows, strict=True)
        ]

    def _completion(self, prompt: _Prompt, row: list[int], latency: float) -> Completion:
        end = next((i for i, token in enumerate(row) if token in self.eos), None)
        text = self.tokenizer.decode(row[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Completion(
            text=text.rstrip("\ufffd"),  # the last character may be cut in the middle; vLLM drops it too
            finish_reason="length" if end is None else "stop",
            n_prompt_tokens=prompt.n_tokens,
            n_completion_tokens=len(row) if end is None else end + 1,
            latency_s=latency,
        )

    def stream(self, prompt: _Prompt, sampling: Sampling) -> Iterator[str]:
        """Yields the reply in pieces; a thread generates it."""
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(
            self.tokenizer, skip_prompt=True, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        stop = threading.Event()
        failures: list[Exception] = []

        def generate() -> None:
            try:
                self._generate([prompt], sampling, streamer=streamer, stopping_criteria=[_StopWhen(stop)])
            except Exception as error:  # raised again in the thread that reads the pieces
                failures.append(error)
                streamer.end()

        thread = threading.Thread(target=generate, name="hf-generate", daemon=True)
        thread.start()
        try:
            yield from (piece for piece in streamer if piece)
        finally:
            stop.set()
            thread.join()
        if failures:
            raise EngineError(f"generation failed: {reason(failures[0])}") from failures[0]

    def _generate(self, prompts: list[_Prompt], sampling: Sampling, **more: Any) -> Any:
        import torch

        room = self.prompter.context - min(prompt.n_tokens for prompt in prompts)
        with torch.inference_mode():
            return self.model.generate(
                **self._collate(prompts),
                max_new_tokens=min(sampling.max_tokens, room),
                logits_processor=draws(sampling, [prompt.seed for prompt in prompts]),
                **more,
            )

    def _collate(self, prompts: list[_Prompt]) -> dict[str, Any]:
        """Builds one batch: pads per-token tensors on the left and concatenates the others."""
        import torch

        width = max(prompt.n_tokens for prompt in prompts)
        batch: dict[str, Any] = {}
        for key in dict.fromkeys(key for prompt in prompts for key in prompt.features):
            tensors = [torch.as_tensor(p.features[key]) for p in prompts if key in p.features]
            if key in _PER_TOKEN:
                fill = self.pad if key == "input_ids" else 0
                tensors = [
                    torch.nn.functional.pad(tensor, (width - tensor.shape[1], 0), value=fill)
                    for tensor in tensors
                ]
            joined = torch.cat(tensors)
            if joined.is_floating_point() and key.startswith("pixel_values"):
                joined = joined.to(self.model.dtype)
            batch[key] = joined.to(self.model.device)
        return batch

    def free_cache(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def unload(self) -> None:
        import gc

        self.model = self.prompter.processor = self.tokenizer = None
        gc.collect()
        self.free_cache()


class _StopWhen:
    """Ends a generation when the event is set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        return torch.full((input_ids.shape[0],), self._event.is_set(), device=input_ids.device)


def _token_ids(value: int | list[int] | None) -> set[int]:
    return set() if value is None else {value} if isinstance(value, int) else set(value)
