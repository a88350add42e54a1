from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import SyntheticTask, options, spec_of

from ssl4rl_bench.core.capabilities import Waits
from ssl4rl_bench.core.errors import EngineError, Interrupted, StoreError, TooManyErrors
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Completion, Request, SampleRecord, Sampling
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run import runner
from ssl4rl_bench.run.journal import Journal, read_journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import Event, RunCounts, execute

TASK = SyntheticTask(n_groups=5, n_rolls=4)
N = 20


class Recording(MockEngine):
    """A mock that notes what it is sent, and can misbehave."""

    def __init__(
        self, *, twice: bool = False, drop: int = 0, die_at: int | None = None, **changes: Any
    ) -> None:
        super().__init__(None, options(**changes))
        self.sent: list[Request] = []
        self.sampling: list[Sampling] = []
        self.closed = False
        self._twice, self._drop, self._die_at = twice, drop, die_at

    def _noted(self, requests: Iterable[Request]) -> Iterator[Request]:
        for request in requests:
            self.sent.append(request)
            yield request

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        self.sampling.append(sampling)
        try:
            for number, answer in enumerate(super().run(self._noted(requests), sampling)):
                if number == self._die_at:
                    raise EngineError("the engine died")
                if number >= self._drop:
                    yield answer
                if self._twice:
                    yield answer[0], Completion("something else", "stop")
        finally:
            self.closed = True


def run(
    path: Path, engine: MockEngine, *, task: SyntheticTask = TASK, repeats: int = 1, **more: Any
) -> RunCounts:
    spec = spec_of(task, engine, repeats)
    with RunDir.create(path, spec) as rundir:
        return execute([task], engine, rundir, spec, **more)


def journal(path: Path, task: SyntheticTask = TASK) -> list[SampleRecord]:
    lines = list(read_journal(path / "journal" / f"{task.name}.jsonl"))
    assert all(isinstance(line, SampleRecord) for line in lines)
    return [line for line in lines if isinstance(line, SampleRecord)]


def places(requests: list[Request]) -> set[tuple[str, int]]:
    return {(request.sample.id, request.repeat) for request in requests}


def test_every_sample_is_asked_once_per_repeat_with_its_seed(tmp_path: Path) -> None:
    engine = Recording()
    outcome = run(tmp_path, engine, repeats=2)
    assert (outcome.n_total, outcome.n_done, outcome.n_resumed, outcome.n_errors) == (2 * N, 2 * N, 0, 0)
    assert len(engine.sent) == len(places(engine.sent)) == 2 * N
    assert all(request.seed == seed_of(request.sample.id, request.repeat) for request in engine.sent)
    assert engine.sampling == [TASK.sampling]
    records = journal(tmp_path)
    assert {(item.id, item.repeat) for item in records} == places(engine.sent)
    assert outcome.n_prompt_tokens == sum(item.n_prompt_tokens for item in records) > 0
    assert outcome.n_completion_tokens == sum(item.n_completion_tokens for item in records) > 0


def test_samples_that_share_an_image_are_sent_side_by_side_otherwise_in_order(tmp_path: Path) -> None:
    engine = Recording()
    run(tmp_path, engine)
    assert [request.sample.group for request in engine.sent] == [g for g in "01234" for _ in range(4)]
    assert [request.sample.roll for request in engine.sent] == [0, 1, 2, 3] * 5


def test_a_finished_run_sends_nothing_again(tmp_path: Path) -> None:
    run(tmp_path, Recording())
    again = Recording()
    outcome = run(tmp_path, again)
    assert again.sent == [] and (outcome.n_done, outcome.n_resumed) == (N, N)
    assert len(journal(tmp_path)) == N


def test_an_engine_learns_how_many_requests_will_follow(tmp_path: Path) -> None:
    class Expecting(Recording):
        expected: tuple[int, ...] = ()

        def expect(self, n_requests: int) -> None:
            self.expected += (n_requests,)

    first = Expecting(die_at=5)
    with pytest.raises(EngineError):
        run(tmp_path, first)
    second = Expecting()
    run(tmp_path, second)
    assert (first.expected, second.expected) == ((N,), (len(second.sent),))
    assert 0 < len(second.sent) < N


def test_images_are_kept_once_each(tmp_path: Path) -> None:
    run(tmp_path, Recording())
    kept = sorted(path.read_bytes() for path in tmp_path.glob("images/*/*"))
    assert kept == [b"image %d" % group for group in range(5)]


def test_a_drain_finishes_what_is_in_flight_and_resumes(tmp_path: Path) -> None:
    stop = threading.Event()
    first = Recording(mock_latency=1e-4, concurrency=4)

    def stop_after_five(event: Event) -> None:
        if event.so_far.n_done == 5:
            stop.set()

    with pytest.raises(
        Interrupted, match=rf"of {N} requests have a reply.*run the same command again"
    ) as caught:
        run(tmp_path, first, on_event=stop_after_five, stop=stop)
    assert caught.value.exit_code == 130
    assert 5 <= len(first.sent) <= 5 + 4
    assert {(item.id, item.repeat) for item in journal(tmp_path)} == places(first.sent)
    assert not (tmp_path / "result.json").exists()

    second = Recording()
    outcome = run(tmp_path, second)
    assert outcome.n_resumed == len(first.sent) and outcome.n_done == N
    assert not places(first.sent) & places(second.sent)
    assert len(journal(tmp_path)) == N


def test_a_stop_that_comes_too_late_stops_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    outcome = run(tmp_path, Recording(), on_event=lambda e: e.so_far.n_done == N and stop.set(), stop=stop)
    assert outcome.n_done == N and stop.is_set()


def test_a_stop_before_the_start_sends_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    engine = Recording()
    with pytest.raises(Interrupted):
        run(tmp_path, engine, stop=stop)
    assert engine.sent == []


def test_failures_are_kept_counted_and_retried(tmp_path: Path) -> None:
    faulty = Recording(mock_faults=0.3)
    with pytest.raises(
        TooManyErrors, match=r"of 20 requests failed, more than --max-error-rate 0.01 allows"
    ) as caught:
        run(tmp_path, faulty)
    assert caught.value.exit_code == 1 and "a fault of the mock engine" in str(caught.value)
    failed = {(item.id, item.repeat) for item in journal(tmp_path) if item.error}
    assert 0 < len(failed) < N and len(journal(tmp_path)) == N

    well = Recording()
    outcome = run(tmp_path, well)
    assert places(well.sent) == failed
    assert (outcome.n_done, outcome.n_resumed, outcome.n_errors) == (N, N - len(failed), 0)


def test_failures_within_the_rate_are_an_outcome(tmp_path: Path) -> None:
    outcome = run(tmp_path, Recording(mock_faults=0.3), max_error_rate=0.9)
    assert outcome.n_errors > 0 and outcome.n_done + outcome.n_errors == N


def test_a_dead_engine_stops_the_run_early(tmp_path: Path) -> None:
    task = SyntheticTask(n_groups=100)
    engine = Recording(mock_faults=1.0)
    with pytest.raises(TooManyErrors, match="the last 50 requests all failed"):
        run(tmp_path, engine, task=task, max_error_rate=1.0)
    assert len(journal(tmp_path, task)) == runner.DEAD_AFTER == len(engine.sent) and engine.closed


def test_records_of_another_key_are_stale(tmp_path: Path) -> None:
    run(tmp_path, Recording())
    path = tmp_path / "journal" / f"{TASK.name}.jsonl"
    old = [replace(item, key="of another checkpoint", text="stale") for item in journal(tmp_path)]
    path.unlink()
    with Journal(path) as writer:
        for item in old:
            writer.append(item)
    engine = Recording()
    outcome = run(tmp_path, engine)
    assert len(engine.sent) == N and (outcome.n_stale, outcome.n_resumed) == (N, 0)
    assert "ignored 20 records" in (tmp_path / "log.txt").read_text()


def test_a_damaged_line_is_asked_again_and_reported(tmp_path: Path) -> None:
    run(tmp_path, Recording())
    path = tmp_path / "journal" / f"{TASK.name}.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[6] = lines[6].replace(b"<answer>", b"<Answer>")
    path.write_bytes(b"\n".join(lines)[:-40])
    engine = Recording()
    outcome = run(tmp_path, engine)
    assert len(engine.sent) == 2 and outcome.n_corrupt == 1 and outcome.n_resumed == N - 2
    log = (tmp_path / "log.txt").read_text()
    assert "line 7 is damaged" in log and "cut off an incomplete last line" in log


def test_an_incomplete_run_has_no_result(tmp_path: Path) -> None:
    run(tmp_path, Recording())
    (tmp_path / "result.json").write_text("{}")
    run(tmp_path, Recording())
    assert (tmp_path / "result.json").exists()
    (tmp_path / "journal" / f"{TASK.name}.jsonl").write_bytes(b"")
    with pytest.raises(EngineError):
        run(tmp_path, Recording(die_at=3))
    assert not (tmp_path / "result.json").exists()


def test_a_second_yield_of_a_request_is_ignored(tmp_path: Path) -> None:
    outcome = run(tmp_path, Recording(twice=True))
    assert outcome.n_done == N and len(journal(tmp_path)) == N
    assert all(item.text != "something else" for item in journal(tmp_path))


def test_an_engine_that_leaves_requests_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="left 3 of 20 requests unanswered"):
        run(tmp_path, Recording(drop=3))
    assert len(journal(tmp_path)) == N - 3
    assert run(tmp_path, Recording()).n_resumed == N - 3


def test_an_engine_that_dies_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the engine died"):
        run(tmp_path, Recording(die_at=7))
    assert len(journal(tmp_path)) == 7


def test_a_full_disk_loses_nothing_and_stops_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, append, count = Recording(), Journal.append, 0

    def nearly_full(self: Journal, record: SampleRecord) -> None:
        nonlocal count
        count += 1
        if count > 8:
            raise StoreError("cannot write: the disk is full")
        append(self, record)

    monkeypatch.setattr(Journal, "append", nearly_full)
    with pytest.raises(StoreError):
        run(tmp_path, engine)
    assert engine.closed and len(journal(tmp_path)) == 8


def test_an_error_is_kept_without_secrets_and_never_without_words(tmp_path: Path) -> None:
    class Odd(MockEngine):
        def run(
            self, requests: Iterable[Request], sampling: Sampling
        ) -> Iterator[tuple[Request, Completion]]:
            for number, request in enumerate(requests):
                text = "bad key sk-abcdef123456" if number % 2 else None
                yield request, Completion("half a reply", "error", error=text)

    run(tmp_path, Odd(None, options()), max_error_rate=1.0)
    assert {item.error for item in journal(tmp_path)} == {"bad key [redacted]", "unknown error"}
    assert {item.text for item in journal(tmp_path)} == {""}


def test_events_tell_the_plan_and_each_reply(tmp_path: Path) -> None:
    events: list[Event] = []
    run(tmp_path, Recording(), on_event=events.append)
    assert (events[0].sample, events[0].record, events[0].n_done) == (None, None, 0)
    assert [event.n_done for event in events] == list(range(N + 1)) == [e.so_far.n_done for e in events]
    assert all(event.n_total == N and event.task == TASK.name for event in events)
    assert all(e.sample and e.record and e.sample.id == e.record.id for e in events[1:])
    events.clear()
    run(tmp_path, Recording(), on_event=events.append)
    assert [(e.n_done, e.so_far.n_resumed) for e in events] == [(N, N)]


class Slow(Recording):
    """An engine that takes a minute to start and then 5 s for each of two requests at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, latency: float = 5.0) -> None:
        super().__init__()
        self.now, self._latency = 1000.0, latency
        monkeypatch.setattr("ssl4rl_bench.run.runner.time.monotonic", lambda: self.now)

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        self.now += 60.0
        for number, (request, completion) in enumerate(super().run(requests, sampling)):
            self.now += 5.0 * (number % 2 == 0)
            yield request, replace(completion, latency_s=self._latency)


def test_the_time_of_a_run_begins_when_the_first_answered_request_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    run(tmp_path, Slow(monkeypatch), on_event=events.append)
    assert [event.so_far.seconds for event in events] == [0.0, *(5.0 * (n // 2 + 1) for n in range(N))]


def test_a_recorded_latency_does_not_make_a_run_older_than_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    run(tmp_path, Slow(monkeypatch, latency=4000.0), on_event=events.append)
    assert events[1].so_far.seconds == 65.0


def test_events_tell_what_the_engine_waits_for(tmp_path: Path) -> None:
    class Waiting(Recording):
        n_asked = 0

        def waits(self) -> Waits:
            self.n_asked += 1
            return Waits(float(self.n_asked), 0.0, 0.0)

    events: list[Event] = []
    run(tmp_path / "a", Waiting(), on_event=events.append)
    assert [event.waits for event in events] == [Waits(float(n + 1), 0.0, 0.0) for n in range(N + 1)]
    events.clear()
    run(tmp_path / "b", Recording(), on_event=events.append)
    assert {event.waits for event in events} == {None}
    silent = Waiting()
    run(tmp_path / "c", silent)
    assert silent.n_asked == 0


def test_several_tasks_each_with_its_sampling(tmp_path: Path) -> None:
    other = SyntheticTask(n_groups=2, name="ssl4rl_other", sampling=Sampling(temperature=0.7, max_tokens=5))
    engine = Recording()
    spec = spec_of(TASK, engine)
    spec = replace(spec, tasks={**spec.tasks, **spec_of(other, engine).tasks})
    with RunDir.create(tmp_path, spec) as rundir:
        outcome = execute([TASK, other], engine, rundir, spec)
    assert outcome.n_total == N + 8 and engine.sampling == [TASK.sampling, other.sampling]
    assert len(journal(tmp_path)) == N and len(journal(tmp_path, other)) == 8


def test_latency_overlaps_and_replies_come_out_of_order(tmp_path: Path) -> None:
    run(tmp_path, Recording(mock_latency=0.002, concurrency=8))
    order = [item.id for item in journal(tmp_path)]
    assert sorted(order) == sorted(sample.id for sample in TASK.samples)
    assert order != [request.sample.id for request in _sent_in_order(tmp_path / "b")]


def _sent_in_order(path: Path) -> list[Request]:
    engine = Recording()
    run(path, engine)
    return engine.sent
