"""Decides which worker gets which requests, and what happens to the requests of a worker that dies.

Plain computation: it neither waits nor reads a clock, so tests simulate whole runs with it.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Iterator

from ssl4rl_bench.core.types import Completion, Request
from ssl4rl_bench.engines.base import error_completion
from ssl4rl_bench.engines.workers.messages import WorkUnit
from ssl4rl_bench.engines.workers.slots import Sent, Slot, State

MAX_UNIT = 8
"""The largest number of requests in a unit. More would make the end of a run coarser."""
MAX_DEATHS = 3
"""A request with which this many workers died gets an error; in its last try it is alone with its worker."""
MAX_FRUITLESS = 3
"""A worker that dies this many times in a row without an answer is not replaced again."""
_LEAD_S = 0.5
"""A worker has requests waiting for this time, in seconds, so that its engine never waits for the driver."""


class WorkScheduler:
    """The state of a run on several workers.

    The driver calls `to_start`, `assign`, `answer` and `died` in a loop until `finished`; all times are seconds of
    one clock. Each request gets exactly one completion: late answers of lost workers are ignored.

    Args:
        n_workers: the number of workers.
    """

    def __init__(self, n_workers: int) -> None:
        self.slots = [Slot(number) for number in range(n_workers)]
        self.first_reason: str | None = None
        """Why the first worker died."""
        self.n_resent = 0
        """The number of requests that were sent again."""
        self.draining = False
        self._number = 0
        self._source: Iterator[Request] = iter(())
        self._held: Request | None = None
        self._next: WorkUnit | None = None
        self._again: deque[WorkUnit] = deque()
        self._suspects: deque[WorkUnit] = deque()
        """Units of one request with which all but one of `MAX_DEATHS` workers have died."""
        self.n_expected = 0
        """The number of requests without an answer of this run and of those to come, if it is known."""
        self._start_s = self._load_s = 0.0
        """The time from the start of a worker, and from its first requests, to its first answer, in seconds."""

    def begin(self, requests: Iterable[Request], now: float) -> None:
        """Starts another run on the same workers. Requests of the last one that are still in flight are forgotten."""
        self._source = iter(requests)
        self._held = next(self._source, None)
        self._next = None
        self._again.clear()
        self._suspects.clear()
        self.draining = False
        for slot in self.slots:
            slot.in_flight.clear()
            slot.load, slot.isolated = 0, False
            slot.rest(now)

    @property
    def n_in_flight(self) -> int:
        """The number of requests that workers have."""
        return sum(slot.load for slot in self.slots)

    @property
    def finished(self) -> bool:
        """Whether nothing remains to be sent or answered."""
        return self.n_in_flight == 0 and (self.draining or not self._has_unsent)

    @property
    def lost(self) -> bool:
        """Whether no worker is left, and none may be started."""
        return all(slot.state is State.GIVEN_UP for slot in self.slots)

    @property
    def _has_unsent(self) -> bool:
        return bool(self._next or self._held or self._again or self._suspects)

    def to_start(self, now: float) -> list[int]:
        """Returns the workers to start now, and takes them for starting.

        Near the end of a run, a worker is not replaced if the others are done before it could answer.
        """
        if self.draining or not self._has_unsent:
            return []
        down = [slot for slot in self.slots if slot.state is State.DOWN]
        if down and not self._is_worth_starting(now):
            return []
        for slot in down:
            slot.state, slot.launched = State.STARTING, now
        return [slot.number for slot in down]

    def _is_worth_starting(self, now: float) -> bool:
        rates = self._rates(now)
        n_left = self._n_left()
        if n_left is None or not any(slot.proven and slot.number in rates for slot in self.slots):
            return True
        return max(n_left, self.n_expected) / sum(rates.values()) > self._start_s

    def ready(self, number: int, capacity: int) -> None:
        """Records that a worker can take requests."""
        slot = self.slots[number]
        slot.state, slot.capacity, slot.proven, slot.given = State.READY, max(1, capacity), False, None

    def assign(self, now: float) -> dict[int, list[WorkUnit]]:
        """Returns the units to send now, by worker, and takes them for sent."""
        given: dict[int, list[WorkUnit]] = {}
        if self.draining:
            return given
        rates, n_left = self._rates(now), self._n_left()
        while (unit := self._peek()) is not None:
            slot = self._choose(len(unit.requests), rates, n_left)
            if slot is None:
                return given
            slot.given = now if slot.given is None else slot.given
            given.setdefault(slot.number, []).append(self._send(slot, unit))
            self._next = None
        for slot in self.slots:
            if self._suspects and slot.state is State.READY and not slot.load:
                given[slot.number] = [self._send(slot, self._suspects.popleft())]
                slot.isolated = True
        return given

    def answer(
        self, number: int, now: float, answers: Iterable[tuple[int, int, Completion]], capacity: int
    ) -> list[tuple[Request, Completion]]:
        """Records the answers of a worker; returns those that are new."""
        slot = self.slots[number]
        slot.capacity = max(1, capacity)
        new = []
        for unit_number, index, completion in answers:
            sent = slot.in_flight.get(unit_number)
            if sent is None or index not in sent.unanswered:
                continue
            sent.unanswered.remove(index)
            if not sent.unanswered:
                del slot.in_flight[unit_number]
            new.append((sent.unit.requests[index], completion))
        if new:
            slot.load -= len(new)
            self.n_expected = max(0, self.n_expected - len(new))
            slot.isolated = slot.isolated and slot.load > 0
            slot.count(now, len(new), sum(completion.latency_s for _, completion in new) / len(new))
            if not slot.proven:
                slot.proven = True
                self._start_s = now - slot.launched
                self._load_s = now - slot.given if slot.given is not None else 0.0
        return new

    def died(
        self, number: int, now: float, reason: str, *, hopeless: bool = False
    ) -> list[tuple[Request, Completion]]:
        """Records the death of a worker and plans to send its requests again.

        Args:
            hopeless: whether its successors would die of the same cause before they answer anything.

        Returns:
            The requests that get an error, because too many workers died with them.
        """
        slot = self.slots[number]
        slot.n_deaths += 1
        slot.n_fruitless = 0 if slot.proven else slot.n_fruitless + (MAX_FRUITLESS if hopeless else 1)
        slot.state = State.GIVEN_UP if slot.n_fruitless >= MAX_FRUITLESS else State.DOWN
        self.first_reason = self.first_reason or reason
        failed: list[tuple[Request, Completion]] = []
        if not self.draining:
            for sent in slot.in_flight.values():
                failed += self._recover(sent, slot.isolated, reason)
        slot.in_flight.clear()
        slot.load, slot.isolated, slot.proven = 0, False, False
        slot.rest(now)
        return failed

    def drain(self) -> int:
        """Sends nothing more; returns the number of requests in flight."""
        self.draining = True
        return self.n_in_flight

    def dropped(self, number: int) -> None:
        """Records that a worker will not answer what it still has, after a drain."""
        slot = self.slots[number]
        slot.in_flight.clear()
        slot.load, slot.isolated = 0, False

    def _recover(self, sent: Sent, isolated: bool, reason: str) -> list[tuple[Request, Completion]]:
        requests = tuple(sent.unit.requests[index] for index in sorted(sent.unanswered))
        n_deaths = sent.unit.n_deaths + 1
        if isolated:
            message = f"{n_deaths} workers died while they had this request, at last: {reason}"
            return [(request, error_completion(message)) for request in requests]
        self.n_resent += len(requests)
        if n_deaths < MAX_DEATHS - 1:
            self._again.append(WorkUnit(0, requests, n_deaths))
        else:
            self._suspects += (WorkUnit(0, (request,), n_deaths) for request in requests)
        return []

    def _n_left(self) -> int | None:
        """Returns the number of requests without an answer; None if the source does not know how many it has."""
        if self._held is None:
            coming = 0
        else:
            coming = operator.length_hint(self._source, -1)
            if coming < 0:
                return None
            coming += 1
        units = [*self._again, *self._suspects, *([self._next] if self._next else [])]
        return coming + sum(len(unit.requests) for unit in units) + self.n_in_flight

    def _peek(self) -> WorkUnit | None:
        """Returns the next unit; None if only suspects are left."""
        if self._next is None and self._again:
            self._next = self._again.popleft()
        if self._next is None and self._held is not None:
            requests = [self._held]
            images = _images(self._held)
            self._held = next(self._source, None)
            while images and self._held and len(requests) < MAX_UNIT and _images(self._held) == images:
                requests.append(self._held)
                self._held = next(self._source, None)
            self._next = WorkUnit(0, tuple(requests))
        return self._next

    def _send(self, slot: Slot, unit: WorkUnit) -> WorkUnit:
        self._number += 1
        unit.number = self._number
        slot.in_flight[unit.number] = Sent(unit, set(range(len(unit.requests))))
        slot.load += len(unit.requests)
        return unit

    def _rates(self, now: float) -> dict[int, float]:
        """Returns the answers per second that are expected of the workers that can take requests.

        A worker whose rate is unknown counts as an average one. It is left out if it is still loading its model
        while others answer.
        """
        ready = [slot for slot in self.slots if slot.state is State.READY]
        known = {slot.number: rate for slot in ready if (rate := slot.rate(now))}
        average = sum(known.values()) / len(known) if known else 1.0
        some_proven = any(slot.proven for slot in ready)
        return {
            slot.number: known.get(slot.number, average)
            for slot in ready
            if slot.proven or not some_proven or not slot.load
        }

    def _choose(self, n: int, rates: dict[int, float], n_left: int | None) -> Slot | None:
        """Returns the worker that gets the next unit of n requests; None if it must wait.

        It is the one that would be done first among those that may have more. A worker may have what its engine
        takes at once and some more, but no more than its share, by rates, of all that is left. If a unit does
        not fit into any share, it goes to the worker that would be done first, or waits for it.
        """
        candidates = [self.slots[number] for number in rates if not self.slots[number].isolated]
        some_proven = any(slot.proven for slot in candidates)
        if some_proven:
            n_to_come = None if n_left is None else max(n_left, self.n_expected)
            late = n_to_come is not None and n_to_come <= self._load_s * sum(rates.values())
            candidates = [slot for slot in candidates if slot.proven or not (slot.load or late)]
        if not candidates:
            return None
        ends = {slot.number: (slot.load + n) / rates[slot.number] for slot in candidates}
        first = min(ends.values())
        total = sum(rates[slot.number] for slot in candidates)
        if not some_proven:  # at the beginning, those that come a little later get as much
            total *= 1 + sum(slot.state is State.STARTING for slot in self.slots) / len(candidates)
        chosen: Slot | None = None
        for slot in candidates:
            rate, load = rates[slot.number], slot.load
            lead = max(slot.capacity // 2, min(4 * slot.capacity, round(rate * _LEAD_S)), 1)
            if load and load + n > slot.capacity + lead:
                continue
            if n_left is not None:
                share = n_left * rate / total
                if load + n > share and (load >= share or ends[slot.number] > first):
                    continue
            if chosen is None or ends[slot.number] < ends[chosen.number]:
                chosen = slot
        return chosen


def _images(request: Request) -> tuple[str, ...]:
    return tuple(image.sha256 for image in request.sample.images)
