"""What an engine waits for: the times of its states add up to the time in which it had requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.core.capabilities import ReportsWaits, Waits
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    Message,
    Request,
    Sample,
    Sampling,
    TextPart,
)
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.engines.stopwatch import Stopwatch
from ssl4rl_bench.engines.vllm.engine import VllmEngine
from ssl4rl_bench.engines.vllm.feed import Admission, Supply
from ssl4rl_bench.engines.vllm.server import VllmServer


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ssl4rl_bench.engines.stopwatch.time.perf_counter", clock)
    return clock


def request(text: str) -> Request:
    message = Message("user", (TextPart(text),))
    return Request(Sample(text, text, (message,), "", {}, Categories("", "", "")))


def requests(n: int) -> list[Request]:
    return [request(str(number)) for number in range(n)]


def test_a_stopwatch_stands_still_until_its_first_state_and_between_runs(clock: Clock) -> None:
    watch = Stopwatch()
    clock.now += 60  # the model is loaded
    assert watch.waits() == Waits(0.0, 0.0, 0.0) and watch.measures() == {}
    for reason, seconds in (("prompts", 1.0), ("model", 5.0), ("rest", 2.0), (None, 100.0), ("model", 2.0)):
        watch.switch(reason)  # type: ignore[arg-type]
        clock.now += seconds
    assert watch.waits() == Waits(1.0, 7.0, 2.0) and watch.waits().total_s == 10.0
    assert watch.measures() == {
        "waits": {"prompts_s": 1.0, "model_s": 7.0, "rest_s": 2.0},
        "wait_shares": {"prompts": 0.1, "model": 0.7, "rest": 0.2},
    }


def test_reading_a_stopwatch_does_not_change_what_it_counts(clock: Clock) -> None:
    watch = Stopwatch()
    watch.switch("model")
    for _ in range(4):
        clock.now += 0.25
        watch.waits()
    assert watch.waits() == Waits(0.0, 1.0, 0.0)


class HandFeed:
    """A feed whose prompts become ready one by one, one per `collect`, each after a second."""

    ahead, unit_size = 4, 1

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._pending: deque[Request] = deque()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def submit(self, requests: Sequence[Request]) -> None:
        self._pending.extend(requests)

    def collect(self, wait: bool) -> list[tuple[Request, Any]]:
        if not self._pending:
            return []
        if self._seconds == 0:
            out = [(request, {}) for request in self._pending]
            self._pending.clear()
            return out
        self._clock.now += self._seconds * wait
        return [(self._pending.popleft(), {})]

    def drop(self) -> None:
        self._pending.clear()


class HandEngine:
    """A model that answers its oldest request in each step of a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.added: deque[str] = deque()

    def add(self, key: str, *_: object) -> None:
        self.added.append(key)

    def step(self) -> list[Any]:
        self._clock.now += 1.0
        reply = SimpleNamespace(text="A", finish_reason="stop", token_ids=[1])
        done = self.added.popleft()
        return [
            SimpleNamespace(
                finished=True, request_id=done, outputs=[reply], prompt_token_ids=[1], num_cached_tokens=0
            )
        ]

    def abort(self, keys: list[str]) -> None:
        self.added.clear()


def server(clock: Clock, limit: int, seconds: float, group: int = 1) -> VllmServer:
    made = VllmServer.__new__(VllmServer)
    made.video = False
    made.stopwatch = Stopwatch()
    made._admission = Admission(limit, group)
    made._supply = Supply(HandFeed.ahead)
    made._feed = HandFeed(clock, seconds)  # type: ignore[assignment]
    made._engine = HandEngine(clock)  # type: ignore[assignment]
    made._ids = count()
    made._n_prompt_tokens = made._n_cached_tokens = 0
    return made


def answers(made: VllmServer, n: int) -> list[tuple[Request, Completion]]:
    queue = iter(requests(n))
    return list(made.answer(next(queue), queue, Sampling()))


def test_vllm_waits_for_the_model_while_it_is_full_and_then_for_the_last_replies(clock: Clock) -> None:
    made = server(clock, limit=2, seconds=0)
    assert len(answers(made, 6)) == 6
    # Two requests are in flight for the first five steps, then the last one alone.
    assert made.stopwatch.waits() == Waits(prompts_s=0.0, model_s=5.0, rest_s=1.0)


def test_places_that_are_kept_free_for_a_group_are_no_wait_for_images(clock: Clock) -> None:
    made = server(clock, limit=4, seconds=0, group=2)
    assert len(answers(made, 12)) == 12
    # Four or three requests are in flight until the last two are alone.
    assert made.stopwatch.waits() == Waits(prompts_s=0.0, model_s=10.0, rest_s=2.0)


def test_vllm_waits_for_images_while_it_could_take_more(clock: Clock) -> None:
    made = server(clock, limit=3, seconds=4.0)
    assert len(answers(made, 5)) == 5
    waits = made.stopwatch.waits()
    assert waits.model_s == 0.0 and waits.rest_s == 1.0
    assert waits.prompts_s == clock.now - 100.0 - 1.0 > 4.0


def test_the_time_of_the_caller_counts_in_the_state_it_finds(clock: Clock) -> None:
    made = server(clock, limit=2, seconds=0)
    queue = iter(requests(4))
    for _ in made.answer(next(queue), queue, Sampling()):
        clock.now += 10.0
    assert made.stopwatch.waits().total_s == clock.now - 100.0


def test_a_server_that_is_left_early_stops_its_watch(clock: Clock) -> None:
    made = server(clock, limit=2, seconds=0)
    queue = iter(requests(4))
    replies = made.answer(next(queue), queue, Sampling())
    next(replies)
    replies.close()
    before = made.stopwatch.waits()
    clock.now += 100.0
    assert made.stopwatch.waits() == before


def test_engines_report_their_waits_and_nothing_before_they_start() -> None:
    options: Any = SimpleNamespace(batch_size=2)
    for engine in (HfEngine(None, options), VllmEngine(None, options)):  # type: ignore[arg-type]
        assert isinstance(engine, ReportsWaits)
        assert engine.waits() == Waits(0.0, 0.0, 0.0) and engine.measures() == {}


@pytest.fixture
def hf(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[HfEngine]:
    """An engine that takes 30 s to load, 1 s to prepare a prompt and 5 s to answer a batch of two."""

    def load(self: HfEngine) -> Any:
        if self._network is None:
            clock.now += 30.0
            self._network = SimpleNamespace(prepare=prepare)  # type: ignore[assignment]
        return self._network

    def prepare(messages: object) -> Any:
        clock.now += 1.0
        return None

    class Batches:
        """Answers the two oldest requests in each advance."""

        n_begun, batch_size = 0, 2

        def __init__(self, *_: object) -> None:
            self.items: list[tuple[Request, Any]] = []

        @property
        def n_queued(self) -> int:
            return len(self.items)

        def add(self, items: list[tuple[Request, Any]]) -> None:
            self.items += items

        def advance(self, start_more: bool) -> list[tuple[Request, Completion]]:
            clock.now += 5.0
            done, self.items = self.items[:2], self.items[2:]
            return [(request, Completion("A", "stop")) for request, _ in done]

    monkeypatch.setattr(HfEngine, "_load", load)
    monkeypatch.setattr("ssl4rl_bench.engines.hf.engine.Scheduler", Batches)
    options: Any = SimpleNamespace(batch_size=2)
    yield HfEngine(None, options)  # type: ignore[arg-type]


def test_hf_waits_for_the_model_in_batches_and_for_prompts_between_them(hf: HfEngine, clock: Clock) -> None:
    assert len(list(hf.run(requests(7), Sampling()))) == 7
    clock.now += 50.0  # between two runs
    assert len(list(hf.run(requests(1), Sampling()))) == 1
    assert hf.waits() == Waits(prompts_s=8.0, model_s=25.0, rest_s=0.0)
    assert hf.measures()["wait_shares"] == {"prompts": 0.2424, "model": 0.7576, "rest": 0.0}
    assert clock.now - 100.0 == hf.waits().total_s + 30.0 + 50.0


def test_other_weights_start_another_count(
    hf: HfEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(hf.run(requests(2), Sampling()))
    hf._network = None
    assert hf.swap(None)  # type: ignore[arg-type]
    assert hf.waits() == Waits(0.0, 0.0, 0.0)
