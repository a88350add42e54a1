"""The engine `hf`: prepares requests, runs them on a loaded checkpoint, and yields their replies."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.capabilities import Waits
from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling
from ssl4rl_bench.engines.base import EngineOptions, error_completion, reason, telling
from ssl4rl_bench.engines.hf.scheduling import Scheduler
from ssl4rl_bench.engines.stopwatch import Stopwatch
from ssl4rl_bench.engines.swapping import load_weights, same_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ssl4rl_bench.engines.checkpoints.weights import Model
    from ssl4rl_bench.engines.hf.network import Item, Network, Prepared

_BATCH_SIZE = 64
"""The batch size if the user sets none."""
_WINDOW = 2
"""The number of batches for which requests are pulled, so that those with a common prompt share a batch."""

log = logging.getLogger(__name__)


class HfEngine:
    """Answers prompts in batches, and computes what they have in common once.

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
        self._network: Network | None = None
        self._scheduler: Scheduler | None = None
        self._n_unread = 0
        self._draining = False
        self._stopwatch = Stopwatch()

    @property
    def version(self) -> str:
        dtype = self._options.dtype
        return metadata.version("transformers") + ("" if dtype == "auto" else f"+{dtype}")

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`. Requests are pulled for two batches at a time."""
        self._draining = False
        try:
            yield from self._answer(iter(requests), sampling)
        finally:
            self._stopwatch.switch(None)

    def _answer(self, source: Iterator[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        self._n_unread = 0
        scheduler = self._scheduler = None
        has_more = True
        while True:
            begun = scheduler.n_begun if scheduler else 0
            queued = scheduler.n_queued if scheduler else 0
            if has_more and not queued and not self._draining:
                window = list(islice(source, max(1, _WINDOW * self._batch_size - begun)))
                has_more = bool(window)
                if window:
                    network = self._load()
                    self._stopwatch.switch("prompts")
                    if scheduler is None:
                        scheduler = self._scheduler = Scheduler(network, self._batch_size, sampling)
                    items, failed = _prepare(network, window)
                    scheduler.add(items)
                    yield from failed
            elif scheduler and (begun or (queued and not self._draining)):
                self._stopwatch.switch("model")
                done = scheduler.advance(start_more=not self._draining)
                self._stopwatch.switch("prompts")
                self._batch_size = scheduler.batch_size
                self._n_unread = len(done)
                for pair in done:
                    self._n_unread -= 1
                    yield pair
                has_more = True  # the queue of a worker may have been filled again
            else:
                return

    def score_answers(
        self, asked: Iterable[tuple[Request, Sequence[str]]]
    ) -> Iterator[tuple[Request, list[float] | str]]:
        """Implements `capabilities.ScoresAnswers`. A pass has about as many texts as a batch has replies."""
        source = iter(asked)
        first = next(source, None)
        if first is None:
            return
        network = self._load()
        source = itertools.chain([first], source)
        while window := list(islice(source, max(1, self._batch_size // len(first[1])))):
            texts = {id(request): list(answers) for request, answers in window}
            items, failed = _prepare(network, [request for request, _ in window])
            yield from ((request, completion.error or "") for request, completion in failed)
            yield from _likelihoods(
                network, [(request, prompt, texts[id(request)]) for request, prompt in items]
            )

    def image_attention(
        self, requests: Iterable[Request]
    ) -> Iterator[tuple[Request, NDArray[np.float64] | str]]:
        """Implements `capabilities.ShowsAttention`."""
        source = iter(requests)
        while window := list(islice(source, self._batch_size)):
            network = self._load()
            items, failed = _prepare(network, window)
            yield from ((request, completion.error or "") for request, completion in failed)
            maps = network.image_attention([prompt for _, prompt in items])
            yield from zip((request for request, _ in items), maps, strict=True)

    @property
    def capacity(self) -> int:
        """Implements `capabilities.HasCapacity`."""
        return _WINDOW * self._batch_size

    def drain(self) -> int:
        """Starts no further request; returns how many replies of the current batch are not yielded yet."""
        self._draining = True
        return self._n_unread + (self._scheduler.n_begun if self._scheduler else 0)

    def waits(self) -> Waits:
        """Implements `capabilities.ReportsWaits`. Prompts are prepared between steps, while the model is idle."""
        return self._stopwatch.waits()

    def measures(self) -> dict[str, Any]:
        """Implements `capabilities.Measures`: what the engine waited for."""
        return self._stopwatch.measures()

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Implements `types.Engine.stream`. Closing the iterator ends the generation."""
        yield from self._load().stream(messages, self._options.seed, sampling)

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
            self._network.weights_changed()
        self._model = model
        self._stopwatch = Stopwatch()
        return True

    def close(self) -> None:
        """Implements `types.Engine.close`: unloads the model."""
        self._scheduler = None
        if self._network is not None:
            network, self._network = self._network, None
            network.unload()

    def _load(self) -> Network:
        if self._network is None:
            from ssl4rl_bench.engines.hf.load import load

            log.info("loading %s with transformers", self._model.name)
            with telling(f"transformers cannot load {self._model.name}"):
                self._network = load(self._model, self._options)
        return self._network


def _likelihoods(
    network: Network, asked: Sequence[tuple[Request, Prepared, list[str]]]
) -> Iterator[tuple[Request, list[float] | str]]:
    """Yields the log-likelihoods of texts. What fails is divided until the request that fails is alone."""
    try:
        results = network.likelihoods([(prompt, texts) for _, prompt, texts in asked])
    except Exception as error:  # a prompt may fail for any reason
        if len(asked) > 1:
            half = len(asked) // 2
            yield from _likelihoods(network, asked[:half])
            yield from _likelihoods(network, asked[half:])
        elif asked:
            yield asked[0][0], reason(error)
        return
    yield from zip((request for request, _, _ in asked), results, strict=True)


def _prepare(
    network: Network, requests: Sequence[Request]
) -> tuple[list[Item], list[tuple[Request, Completion]]]:
    """Prepares the prompts; a prompt that cannot be built fails only its own request."""
    items: list[Item] = []
    failed = []
    for request in requests:
        try:
            items.append((request, network.prepare(request.sample.messages)))
        except ModelError:
            raise
        except Exception as error:  # any library may reject a prompt
            failed.append((request, error_completion(reason(error))))
    return items, failed
