"""Simulates runs on workers with a made-up clock: the real scheduler, and workers that are a few numbers."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    EncodedImage,
    ImagePart,
    Message,
    Request,
    Sample,
    TextPart,
)
from ssl4rl_bench.engines.workers.messages import WorkUnit
from ssl4rl_bench.engines.workers.scheduler import WorkScheduler
from ssl4rl_bench.engines.workers.slots import State

LONGEST_S = 1e6
ROUND_TRIP_S = 0.02
"""The time between two reports of a worker."""


def requests(n: int, copies: int = 4) -> list[Request]:
    """Makes requests, of which `copies` in a row show the same image."""
    made = []
    for i in range(n):
        image = EncodedImage(b"", f"image {i // copies}")
        messages = (Message("user", (ImagePart(image), TextPart(f"question {i}"))),)
        made.append(
            Request(Sample(str(i), str(i // copies), messages, "A", {"A": "a"}, Categories("", "", "")))
        )
    return made


@dataclass
class SimulatedWorker:
    """Answers a request after `latency_s` seconds, with up to `concurrency` requests at once."""

    latency_s: float = 1.0
    concurrency: int = 16
    start_s: float = 0.0
    """The time that its engine takes to start, from its first request."""
    queue: deque[tuple[int, int]] = field(default_factory=deque)
    running: list[tuple[float, int, int]] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)
    warm_at: float | None = None

    def give(self, now: float, units: Sequence[WorkUnit]) -> None:
        if self.warm_at is None:
            self.warm_at = now + self.start_s
        self.queue += [(unit.number, i) for unit in units for i in range(len(unit.requests))]
        self._begin(now)

    def _begin(self, now: float) -> None:
        assert self.warm_at is not None
        while self.queue and len(self.running) < self.concurrency:
            number, index = self.queue.popleft()
            heapq.heappush(self.running, (max(now, self.warm_at) + self.latency_s, number, index))

    def advance(self, now: float) -> None:
        """Finishes what is due; a free place takes the next request at once."""
        while self.running and self.running[0][0] <= now:
            due, number, index = heapq.heappop(self.running)
            self.done.append((number, index))
            self._begin(due)

    @property
    def has(self) -> list[tuple[int, int]]:
        return [*self.queue, *((number, index) for _, number, index in self.running)]


class Simulation:
    """Runs a scheduler on simulated workers.

    Args:
        make: makes the worker of a number.
        poison: ids of requests that kill the worker that begins them.
        faults: (time, worker) at which a worker dies, in order of time.
        hopeless: numbers of workers that cannot start.
    """

    def __init__(
        self,
        make: Callable[[int], SimulatedWorker],
        n_workers: int,
        *,
        poison: frozenset[str] = frozenset(),
        faults: Sequence[tuple[float, int]] = (),
        hopeless: frozenset[int] = frozenset(),
    ) -> None:
        self.scheduler = WorkScheduler(n_workers)
        self.make, self.poison, self.hopeless = make, poison, hopeless
        self.faults = deque(sorted(faults))
        self.workers: dict[int, SimulatedWorker] = {}
        self.sent: dict[int, WorkUnit] = {}
        self.now = 0.0
        self.seconds = 0.0
        self.answers: Counter[str] = Counter()
        self.errors: dict[str, str] = {}
        self.by: Counter[int] = Counter()
        self.most_load: Counter[int] = Counter()
        self.n_starts = 0
        self.late: list[tuple[int, list[tuple[int, int]]]] = []
        """What dead workers would have answered; delivered late, it must be ignored."""

    def run(self, asked: Sequence[Request]) -> None:
        scheduler = self.scheduler
        scheduler.begin(iter(asked), self.now)
        began = self.now
        for _ in count():
            if scheduler.finished or scheduler.lost:
                break
            assert self.now < LONGEST_S, "the run does not end"
            self._start()
            for number, units in scheduler.assign(self.now).items():
                self.sent |= {unit.number: unit for unit in units}
                self.workers[number].give(self.now, units)
                self.most_load[number] = max(self.most_load[number], scheduler.slots[number].load)
            self._wait()
        self.seconds = self.now - began

    def _start(self) -> None:
        for number in self.scheduler.to_start(self.now):
            self.n_starts += 1
            if number in self.hopeless:
                self._fail(number, hopeless=True)
                continue
            self.workers[number] = worker = self.make(number)
            self.scheduler.ready(number, worker.concurrency)

    def _wait(self) -> None:
        """Passes the time until something happens, and reports it."""
        dues = [worker.running[0][0] for worker in self.workers.values() if worker.running]
        dues += [self.faults[0][0]] if self.faults else []
        if dues:
            self.now = max(self.now, min(dues)) + ROUND_TRIP_S
        while self.faults and self.faults[0][0] <= self.now:
            _, number = self.faults.popleft()
            if number in self.workers:
                self._fail(number)
        for number, worker in list(self.workers.items()):
            if any(self._id(place) in self.poison for place in worker.has if place not in worker.queue):
                self._fail(number)
                continue
            worker.advance(self.now)
            if worker.done:
                self._answer(number, worker.done, worker.latency_s)
                worker.done = []
        for number, places in self.late:
            assert not self.scheduler.answer(
                number, self.now, [(*p, Completion("late", "stop")) for p in places], 1
            )
        self.late = []

    def _answer(self, number: int, places: list[tuple[int, int]], latency_s: float) -> None:
        completions = [(*place, Completion("x", "stop", latency_s=latency_s)) for place in places]
        capacity = self.workers[number].concurrency
        for request, _ in self.scheduler.answer(number, self.now, completions, capacity):
            self.answers[request.sample.id] += 1
            self.by[number] += 1
        assert not self.scheduler.answer(number, self.now, completions, capacity), "an answer counts once"

    def _fail(self, number: int, hopeless: bool = False) -> None:
        worker = self.workers.pop(number, None)
        for request, completion in self.scheduler.died(number, self.now, "killed", hopeless=hopeless):
            assert request.sample.id not in self.errors and completion.error is not None
            self.errors[request.sample.id] = completion.error
        if worker is not None and self.scheduler.slots[number].state is not State.GIVEN_UP:
            self.late.append((number, worker.has))

    def _id(self, place: tuple[int, int]) -> str:
        number, index = place
        return self.sent[number].requests[index].sample.id

    @property
    def outcomes(self) -> Counter[str]:
        """How many completions each request got."""
        return self.answers + Counter(self.errors.keys())
