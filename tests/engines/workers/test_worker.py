"""A worker, called as Ray would: from threads of this process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulation import requests

import ssl4rl_bench
from ssl4rl_bench.core.errors import BenchError, EngineError, ModelError, UsageError
from ssl4rl_bench.core.types import Completion, Request, Sampling
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.engines.workers import worker as module
from ssl4rl_bench.engines.workers.messages import Report, WorkUnit
from ssl4rl_bench.engines.workers.worker import THREADS, Worker

GREEDY = Sampling()


def unit(number: int, n: int = 4) -> WorkUnit:
    return WorkUnit(number, tuple(requests(n)))


def taken(worker: Worker, n: int) -> Report:
    """Waits for n answers and returns one report of them all."""
    report = worker.take(5.0, 0.0)
    while len(report.answers) < n and report.failure is None:
        report.answers += worker.take(5.0, 0.0).answers
    return report


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Worker]]:
    """Makes workers whose engine is the mock or another one, and stops them in the end."""
    for name in THREADS:
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setattr(module, "_use", lambda cores: None)  # this process keeps all its cores
    made: list[Worker] = []

    def start(engine: Any = None, **options: Any) -> Worker:
        if engine is not None:
            monkeypatch.setattr(module, "create", lambda *_: engine)
        worker = Worker("mock", None, replace(EngineOptions(), **options))
        made.append(worker)
        assert worker.start((0,)).failure is None
        return worker

    yield start
    for worker in made:
        worker.stop()


class Engine(MockEngine):
    """A mock whose runs are recorded."""

    def __init__(self, **options: Any) -> None:
        super().__init__(None, replace(EngineOptions(), **options))
        self.runs: list[Sampling] = []
        self.closed = False

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        self.runs.append(sampling)
        return super().run(requests, sampling)

    def close(self) -> None:
        self.closed = True


def test_each_request_is_answered_under_its_unit_and_index(started: Callable[..., Worker]) -> None:
    worker = started(concurrency=3)
    worker.give([unit(7), unit(9, 2)], GREEDY)
    report = taken(worker, 6)
    assert sorted((n, i) for n, i, _ in report.answers) == [(7, 0), (7, 1), (7, 2), (7, 3), (9, 0), (9, 1)]
    assert report.capacity == 3 and all(completion.text for *_, completion in report.answers)


@pytest.mark.slow
def test_an_engine_that_is_busy_takes_new_requests_without_finishing_first(
    started: Callable[..., Worker],
) -> None:
    engine = Engine(mock_latency=0.2, concurrency=32)
    worker = started(engine)
    for number in range(8):
        worker.give([unit(number)], GREEDY)
        time.sleep(0.05)
    taken(worker, 32)
    assert engine.runs == [GREEDY], "one run, which never ended in between"


def test_requests_with_another_sampling_wait_for_the_engine(started: Callable[..., Worker]) -> None:
    engine = Engine(mock_latency=0.02)
    worker = started(engine)
    other = Sampling(max_tokens=3)
    worker.give([unit(1)], GREEDY)
    worker.give([unit(2)], other)
    assert {number for number, *_ in taken(worker, 8).answers} == {1, 2}
    assert engine.runs == [GREEDY, other]


@pytest.mark.slow
def test_answers_are_collected_for_a_while(started: Callable[..., Worker]) -> None:
    worker = started(mock_latency=0.01)
    worker.give([unit(1, 32)], GREEDY)
    assert len(worker.take(5.0, 0.3).answers) == 32


def test_taking_ends_after_its_time(started: Callable[..., Worker]) -> None:
    began = time.monotonic()
    report = started().take(0.05, 10.0)
    assert not report.answers and not report.drained and time.monotonic() - began < 5


@pytest.mark.slow
def test_a_drain_leaves_out_what_is_queued_and_says_when_it_is_over(started: Callable[..., Worker]) -> None:
    worker = started(mock_latency=0.1, concurrency=4)
    worker.give([unit(1, 100)], GREEDY)
    time.sleep(0.05)
    worker.drain()
    reports = [worker.take(5.0, 0.0)]
    while not reports[-1].drained:
        reports.append(worker.take(5.0, 0.0))
    assert 4 <= sum(len(report.answers) for report in reports) < 20
    assert not worker.take(0.05, 0.0).drained, "it is said once"
    worker.give([unit(2)], GREEDY)
    assert len(taken(worker, 4).answers) == 4


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (EngineError("the GPU failed"), EngineError, "the GPU failed"),
        (ModelError("no weights"), ModelError, "no weights"),
        (ValueError("a bug"), EngineError, "ValueError: a bug"),
    ],
)
def test_an_engine_that_fails_is_reported_after_its_answers(
    started: Callable[..., Worker], error: Exception, kind: type[BenchError], text: str
) -> None:
    class Failing(Engine):
        def run(
            self, requests: Iterable[Request], sampling: Sampling
        ) -> Iterator[tuple[Request, Completion]]:
            yield next(super().run(requests, sampling))
            raise error

    worker = started(Failing())
    worker.give([unit(1)], GREEDY)
    reports = [worker.take(5.0, 0.0)]
    while reports[-1].failure is None:
        reports.append(worker.take(5.0, 0.0))
    assert sum(len(report.answers) for report in reports) == 1
    assert type(reports[-1].failure) is kind and str(reports[-1].failure) == text


def test_an_answer_that_comes_twice_counts_once(started: Callable[..., Worker]) -> None:
    class Twice(Engine):
        def run(
            self, requests: Iterable[Request], sampling: Sampling
        ) -> Iterator[tuple[Request, Completion]]:
            for answer in super().run(requests, sampling):
                yield answer
                yield answer

    worker = started(Twice())
    worker.give([unit(1)], GREEDY)
    time.sleep(0.1)
    assert len(taken(worker, 4).answers) == 4


def test_an_engine_that_cannot_be_created_is_a_failure_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_use", lambda cores: None)
    report = Worker("mock", None, replace(EngineOptions(), mock="gould")).start(())
    assert isinstance(report.failure, UsageError) and "gold" in str(report.failure)


def test_another_checkpoint_at_the_same_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_use", lambda cores: None)
    model = resolve_model("tiny-base")
    for changed in (replace(model, fingerprint="0" * 64), replace(model, path=tmp_path / "none")):
        worker = Worker("mock", changed, EngineOptions())
        assert isinstance(worker.start(()).failure, ModelError)
    worker = Worker("mock", model, EngineOptions())
    assert worker.start(()).failure is None
    assert not worker.swap(model), "the mock has no weights"
    worker.stop()


def test_other_weights_are_loaded_by_an_engine_that_can(started: Callable[..., Worker]) -> None:
    class Swapping(Engine):
        def swap(self, model: Any) -> bool:
            self.model = model
            return True

    engine = Swapping()
    worker, model = started(engine), resolve_model("tiny-base")
    assert worker.swap(model) and engine.model is model
    assert not worker.swap(replace(model, fingerprint="0" * 64))
    assert isinstance(worker.take(0.0, 0.0).failure, ModelError)


def test_stopping_frees_the_engine_and_ends_the_thread() -> None:
    engine = Engine()
    worker = Worker("mock", None, EngineOptions())
    worker._engine = engine
    worker._thread = thread = threading.Thread(target=worker._work)
    thread.start()
    worker.stop()
    assert engine.closed and not thread.is_alive()


def test_facts_name_the_machine_and_the_versions() -> None:
    facts = Worker("mock", None, EngineOptions()).facts(["H100"])
    assert facts.pid == os.getpid() and facts.project == ssl4rl_bench.__version__
    assert facts.engine == "1 gold" and facts.gpus == ("H100",) and facts.cores
    assert facts.to_json().keys() == {"host", "pid", "gpus", "engine", "torch"}
    assert "known" in Worker("mock", None, replace(EngineOptions(), mock="x")).facts().engine


def test_a_worker_uses_only_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS:
        monkeypatch.setenv(name, "99")
    seen: list[set[int]] = []

    def work() -> None:
        before = os.sched_getaffinity(0)
        module._use([min(before)])
        seen.append(os.sched_getaffinity(0))
        inner = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        inner.start()
        inner.join()

    thread = threading.Thread(target=work)  # affinity belongs to a thread and those that it starts
    thread.start()
    thread.join()
    assert seen == [{min(os.sched_getaffinity(0))}] * 2
    assert {os.environ[name] for name in THREADS} == {"1"}
