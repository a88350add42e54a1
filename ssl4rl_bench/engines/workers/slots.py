"""What the scheduler knows about each worker: its state, what it has, and how fast it answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from ssl4rl_bench.engines.workers.messages import WorkUnit

_WINDOW_S = 30.0
"""The time over which a worker's rate is measured, in seconds."""
_MIN_REPORTS = 8
"""The number of reports that are kept even if they are older than the window."""


class State(Enum):
    """The state of a worker."""

    DOWN = "down"
    STARTING = "starting"
    READY = "ready"
    GIVEN_UP = "given up"


@dataclass(slots=True)
class Sent:
    """A unit that a worker has."""

    unit: WorkUnit
    unanswered: set[int]
    """Indices of the requests without an answer."""


@dataclass(slots=True)
class Slot:
    """What the scheduler knows about one worker and its predecessors with the same number."""

    number: int
    state: State = State.DOWN
    capacity: int = 1
    """The number of requests that its engine takes at once."""
    in_flight: dict[int, Sent] = field(default_factory=dict)
    load: int = 0
    """The number of requests in flight."""
    isolated: bool = False
    """Whether it has only one request, because earlier workers died with it."""
    proven: bool = False
    """Whether it has answered since it was started."""
    launched: float = 0.0
    """The time of its last start."""
    given: float | None = None
    """The time at which it got its first requests since then; its engine loads the model after that."""
    n_answered: int = 0
    n_deaths: int = 0
    n_fruitless: int = 0
    """The number of deaths in a row without an answer."""
    _reports: deque[tuple[float, int]] = field(default_factory=deque)
    """Times of reports, and the numbers of answers in them."""
    _earlier_rate: float | None = None
    _latency_s: float = 0.0
    """The mean latency of the answers in the last report, in seconds."""

    def count(self, now: float, n: int, latency_s: float) -> None:
        """Records a report with n answers of this mean latency."""
        self.n_answered += n
        self._latency_s = latency_s
        self._reports.append((now, n))
        while len(self._reports) > _MIN_REPORTS and self._reports[1][0] < now - _WINDOW_S:
            self._reports.popleft()

    def rate(self, now: float) -> float | None:
        """Returns the answers per second; None if they are not known yet.

        They are not known before the time of one answer has passed: an engine that works in batches reports many
        answers at once, perhaps in two parts.
        """
        if len(self._reports) < 2:
            return self._earlier_rate
        first, last = self._reports[0][0], self._reports[-1][0]
        seconds = (now if self.load else last) - first
        n = sum(n for _, n in self._reports) - self._reports[0][1]
        return n / seconds if seconds > self._latency_s else self._earlier_rate

    def rest(self, now: float) -> None:
        """Forgets the reports but not the rate, as no answers are expected for a while."""
        self._earlier_rate = self.rate(now)
        self._reports.clear()
