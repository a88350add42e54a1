"""An engine without a model: made-up replies, for trying things out and for tests.

`gold` answers right, `random` draws one of the choices, `constant:B` always says B. A reply depends only on
the sample, the repeat and `EngineOptions.seed`.
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
    """Replies after `mock_latency` seconds, give or take a half; `concurrency` requests wait at a time."""

    name = "mock"

    def __init__(self, model: Model | None, options: EngineOptions) -> None:
        """The model is ignored.

        Raises:
            UsageError: there is no such behaviour.
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
        """Names the behaviour and, where it counts, the seed: to a mock, these are its weights."""
        seed = f" seed {self._options.seed}" if self._kind == "random" else ""
        return f"1 {self._options.mock}{seed}"

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """As `types.Engine.run`; out of order where there is a latency."""
        order = count()
        in_flight: list[tuple[float, int, Request, Completion]] = []
        self._in_flight = in_flight
        for request in requests:
            completion = self._complete(request)
            due = time.monotonic() + completion.latency_s
            heapq.heappush(in_flight, (due, next(order), request, completion))
            if completion.latency_s == 0 or len(in_flight) >= self._options.concurrency:
                yield _first(in_flight)
        while in_flight:
            yield _first(in_flight)

    def drain(self) -> int:
        """How many requests were pulled and not answered yet."""
        return len(self._in_flight)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """A made-up reply, word by word. Without a sample there is no gold answer: "A" stands for it."""
        for word in _reply(self._constant or "A").split(" "):
            yield f"{word} "

    def close(self) -> None:
        """Nothing to free."""

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
