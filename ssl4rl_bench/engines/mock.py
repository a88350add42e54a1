"""An engine without a model that makes up replies, for tests and for trying things out.

`gold` gives the right answer, `random` draws one of the choices, and `constant:B` always answers B. A reply
depends only on the sample, the repeat and `EngineOptions.seed`.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling

if TYPE_CHECKING:
    from ssl4rl_bench.engines.base import EngineOptions
    from ssl4rl_bench.engines.checkpoints.weights import Model

BEHAVIOURS = ("gold", "random", "constant:B")


class MockEngine:
    """Replies after 0.5 to 1.5 times `mock_latency` seconds, with up to `concurrency` requests in flight."""

    name = "mock"

    def __init__(self, model: Model | None, options: EngineOptions) -> None:
        """Reads the options; the model is ignored.

        Raises:
            UsageError: for an unknown behaviour.
        """
        self._kind, _, self._constant = options.mock.partition(":")
        if options.mock not in ("gold", "random") and not (self._kind == "constant" and self._constant):
            raise UsageError(
                f"no mock behaviour {options.mock!r} (known: {', '.join(BEHAVIOURS)})"
                f"{did_you_mean(options.mock, BEHAVIOURS)}"
            )
        self._options = options
        self._in_flight: list[tuple[float, int, Request, Completion]] = []

    @property
    def version(self) -> str:
        """The behaviour and, if replies depend on it, the seed; they play the role of a model's weights."""
        seed = f" seed {self._options.seed}" if self._kind == "random" else ""
        return f"1 {self._options.mock}{seed}"

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`; replies come out of order if there is a latency."""
        order, queue = count(), iter(requests)
        in_flight: list[tuple[float, int, Request, Completion]] = []
        self._in_flight = in_flight
        while True:
            while len(in_flight) < self._options.concurrency and (request := next(queue, None)) is not None:
                completion = self._complete(request)
                due = time.monotonic() + completion.latency_s
                heapq.heappush(in_flight, (due, next(order), request, completion))
                if completion.latency_s == 0:
                    yield _first(in_flight)
            if not in_flight:
                return
            yield _first(in_flight)

    def drain(self) -> int:
        """Returns the number of requests that were pulled and are not answered yet."""
        return len(self._in_flight)

    @property
    def capacity(self) -> int:
        """Implements `capabilities.HasCapacity`."""
        return self._options.concurrency

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Yields a made-up reply word by word; without a sample, "A" stands in for the gold answer."""
        for word in _reply(self._constant or "A").split(" "):
            yield f"{word} "

    def close(self) -> None:
        """Does nothing: there is nothing to free."""

    def _complete(self, request: Request) -> Completion:
        options, sample = self._options, request.sample

        def draw(purpose: str) -> float:
            return seed_of(sample.id, request.repeat, options.seed, purpose) / 2**63

        latency = options.mock_latency * (0.5 + draw("latency")) if options.mock_latency else 0.0
        if options.mock_faults and draw("fault") < options.mock_faults:
            return Completion("", "error", latency_s=latency, error="a fault of the mock engine")
        if self._kind == "gold":
            answer = sample.target
        elif self._kind == "random":
            letters = list(sample.choices) or list("ABCD")
            answer = letters[int(draw("answer") * len(letters))]
        else:
            answer = self._constant
        text = _reply(answer)
        return Completion(
            text=text,
            finish_reason="stop",
            n_prompt_tokens=len(sample.text().split()),
            n_completion_tokens=len(text.split()),
            latency_s=latency,
        )


def _reply(answer: str) -> str:
    return f"<think>The mock engine does not look at the image.</think> <answer>{answer}</answer>"


def _first(in_flight: list[tuple[float, int, Request, Completion]]) -> tuple[Request, Completion]:
    if (wait := in_flight[0][0] - time.monotonic()) > 0:
        time.sleep(wait)
    _, _, request, completion = heapq.heappop(in_flight)
    return request, completion
