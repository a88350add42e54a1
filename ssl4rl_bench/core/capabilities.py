"""What an engine or a task may be able to do besides the members of its protocol. Callers ask with `isinstance`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ssl4rl_bench.core.types import Completion, Request, Sample, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class ChecksTasks(Protocol):
    """An engine that can check before the first request whether it can answer the tasks."""

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """Raises UsageError or DataError if it cannot."""
        ...


@runtime_checkable
class Drains(Protocol):
    """An engine that can stop starting requests."""

    def drain(self) -> int:
        """Stops starting requests and returns the number of requests in flight."""
        ...


@runtime_checkable
class Expects(Protocol):
    """An engine that starts differently for few requests than for many."""

    def expect(self, n_requests: int) -> None:
        """Tells the engine, before its first request, how many will follow."""
        ...


@runtime_checkable
class HasCapacity(Protocol):
    """An engine that knows how many requests it takes at once."""

    @property
    def capacity(self) -> int:
        """The number of requests that it pulls before one is answered. May change when the engine starts."""
        ...


@runtime_checkable
class HasMetrics(Protocol):
    """A task with metrics of another program, which are shown under its names beside the aggregates."""

    @property
    def corpus_only(self) -> bool:
        """Whether replies have no scores of their own, so that there are no aggregates."""
        ...

    def metrics(
        self, replies: Sequence[tuple[Sample, int, Completion]], aggregates: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Computes the metrics by name.

        Args:
            replies: all replies, each with its sample and the number of its repeat.
            aggregates: the "aggregates" of result.json.

        Returns:
            `value` (None if there is none), `n` documents, `higher_is_better`, `of` ("samples", or "corpus" if
            replies have no scores), `ci95` or None; `cell` [aggregation, level, name] if a cell of the
            aggregates has the same value; `bootstrap` as `task.lmms.captions` describes it.
        """
        ...


@runtime_checkable
class Measures(Protocol):
    """An engine that reports how it ran."""

    def measures(self) -> dict[str, Any]:
        """Returns settings and counts as JSON values, which are recorded in exec.json; empty if it did not run."""
        ...


@dataclass(frozen=True, slots=True)
class Waits:
    """What limited an engine, in seconds since its model was loaded; times without any request do not count."""

    prompts_s: float
    """The model could have taken more requests, but their prompts, mostly images, were not ready."""
    model_s: float
    """The model had as many requests as it takes at a time."""
    rest_s: float
    """The model had fewer requests than it takes, because only the last ones were left."""

    @property
    def total_s(self) -> float:
        """The sum of all times."""
        return self.prompts_s + self.model_s + self.rest_s


@runtime_checkable
class ReportsWaits(Protocol):
    """An engine that reports what it waits for."""

    def waits(self) -> Waits:
        """Returns the times since the engine was created; all are 0 before its first request."""
        ...


@runtime_checkable
class ScoresAnswers(Protocol):
    """An engine that knows how likely a text is as the beginning of a reply."""

    def score_answers(
        self, asked: Iterable[tuple[Request, Sequence[str]]]
    ) -> Iterator[tuple[Request, list[float] | str]]:
        """Yields the log-likelihoods in nats of the texts as the beginning of the reply, in any order.

        The log-likelihood of a text is the sum over its tokens, at temperature 1, without an end of the reply.

        Args:
            asked: requests with non-empty texts. Repeats and seeds have no effect.

        Yields:
            A request with one number per text, or with the message of the error that failed it.
        """
        ...


@runtime_checkable
class ShowsAttention(Protocol):
    """An engine that knows where in an image a model looks."""

    def image_attention(
        self, requests: Iterable[Request]
    ) -> Iterator[tuple[Request, NDArray[np.float64] | str]]:
        """Yields the attention of the last token of each prompt to its image, in any order.

        Yields:
            A request with an array of shape (layers, rows, columns) of the image's tokens, the mean over heads; or
            with the message of the error that failed it.
        """
        ...


@runtime_checkable
class Swaps(Protocol):
    """An engine that may be able to load other weights without a restart."""

    def swap(self, model: Any) -> bool:
        """Loads the weights of another `Model`. Returns False if it cannot; the caller must then close it."""
        ...


@runtime_checkable
class Serves(Protocol):
    """An engine that talks to a server, which reports the name of its model."""

    @property
    def served_model(self) -> str:
        """The name of the model at the server."""
        ...
