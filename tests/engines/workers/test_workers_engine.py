"""The engine on workers, which are threads of this process in place of Ray's."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
from simulation import requests
from synthetic import SyntheticTask, options, spec_of

from ssl4rl_bench.core.capabilities import ChecksTasks, Drains, Expects, Measures, Swaps
from ssl4rl_bench.core.errors import EngineError, Interrupted, MissingDependency, ModelError, UsageError
from ssl4rl_bench.core.types import Engine, Sampling
from ssl4rl_bench.engines import create
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.engines.workers import worker as worker_module
from ssl4rl_bench.engines.workers.engine import WorkersEngine
from ssl4rl_bench.engines.workers.messages import Died, Event, Facts, Ready, Reported, WorkUnit
from ssl4rl_bench.engines.workers.worker import Worker
from ssl4rl_bench.evaluation import EvaluationPlan, Evaluator, engine_for, load_tasks, subjects_of
from ssl4rl_bench.evaluation import spec_of as run_spec
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import execute

GREEDY = Sampling()


class ThreadPool:
    """Implements `Pool` with workers in this process. `kill_at` names the numbers of answers at which one dies."""

    def __init__(
        self, options: EngineOptions, kill_at: Sequence[int] = (), failure: Exception | None = None
    ) -> None:
        self.options, self.failure = options, failure
        self.kill_at = sorted(kill_at)
        self.workers: dict[int, Worker] = {}
        self.started: set[int] = set()
        self.n_launched = self.n_answered = 0
        self.closed = self.drained = False
        self.swaps: list[Any] = []

    def launch(self, worker: int) -> None:
        self.n_launched += 1
        self.workers[worker] = Worker("mock", None, self.options)
        self.started.discard(worker)

    def give(self, worker: int, units: Sequence[WorkUnit], sampling: Sampling) -> None:
        self.workers[worker].give(units, sampling)

    def events(self, timeout_s: float) -> list[Event]:
        events: list[Event] = []
        for number, worker in list(self.workers.items()):
            if number not in self.started:
                self.started.add(number)
                report = worker.start(())
                report.failure = report.failure or self.failure  # type: ignore[assignment]  # a BenchError
                events.append(Ready(number, report))
            elif self.kill_at and self.n_answered >= self.kill_at[0]:
                self.kill_at.pop(0)
                self.kill(number)
                events.append(Died(number, "killed by the test"))
            else:
                report = worker.take(0.005, 0.0)
                self.n_answered += len(report.answers)
                events.append(Reported(number, report))
        return events

    def drain(self) -> None:
        self.drained = True
        for worker in self.workers.values():
            worker.drain()

    def kill(self, worker: int) -> None:
        threading.Thread(target=self.workers.pop(worker).stop, daemon=True).start()

    def swap(self, model: Any) -> bool:
        self.swaps.append(model)
        return model != "another kind"

    def facts(self) -> dict[int, Facts]:
        return {number: worker.facts() for number, worker in self.workers.items()}

    def measures(self) -> dict[int, dict[str, Any]]:
        return {number: {"max_num_seqs": 7} for number in self.workers}

    def close(self) -> None:
        self.closed = True
        for number in list(self.workers):
            self.kill(number)


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_use", lambda cores: None)


def engine_on(
    pool_settings: dict[str, Any] | None = None, **changes: Any
) -> tuple[WorkersEngine, ThreadPool]:
    chosen = options(**{"workers": 3, "mock_latency": 0.01, "mock": "random", **changes})
    engine = WorkersEngine(MockEngine(None, chosen), None, chosen)
    pool = ThreadPool(replace(chosen, workers=1), **(pool_settings or {}))
    engine._pool = pool
    return engine, pool


def test_it_is_an_engine_with_the_name_and_version_of_the_inner_one() -> None:
    engine, _ = engine_on()
    for protocol in (Engine, ChecksTasks, Drains, Expects, Measures, Swaps):
        assert isinstance(engine, protocol)
    assert (engine.name, engine.version) == ("mock", "1 random seed 0")


def test_replies_are_those_of_one_engine() -> None:
    engine, pool = engine_on()
    asked = requests(200)
    one = MockEngine(None, options(mock="random"))
    wanted = {request.sample.id: completion.text for request, completion in one.run(asked, GREEDY)}
    replies = [(request, completion.text) for request, completion in engine.run(iter(asked), GREEDY)]
    assert {request.sample.id: text for request, text in replies} == wanted and len(replies) == 200
    assert {id(request) for request, _ in replies} == {id(request) for request in asked}, "the same objects"
    assert pool.n_launched == 3
    again = Counter(r.sample.id for r, _ in engine.run(iter(requests(50)), GREEDY))
    assert again == Counter(map(str, range(50))) and pool.n_launched == 3


@pytest.mark.parametrize("kill_at", [[0], [1], [50], [40, 80, 120, 160], [10, 11, 12, 13, 14], [199]])
@pytest.mark.slow
def test_workers_that_die_lose_nothing_and_nothing_comes_twice(kill_at: list[int]) -> None:
    engine, pool = engine_on({"kill_at": kill_at})
    replies = [*engine.run(iter(requests(200)), GREEDY)]
    assert Counter(request.sample.id for request, _ in replies) == Counter(map(str, range(200)))
    errors = [completion.error for _, completion in replies if completion.error]
    assert len(errors) <= max(0, len(kill_at) - 2), "only what was in flight at three deaths"
    assert all("3 workers died while they had this request" in error for error in errors)
    measures = engine.measures()
    assert sum(worker["n_deaths"] for worker in measures["workers"]) == len(kill_at) - len(pool.kill_at)


def test_when_no_worker_can_start_the_first_reason_is_the_message() -> None:
    engine, _ = engine_on({"failure": EngineError("vLLM cannot start tiny-base: no memory")})
    with pytest.raises(EngineError, match=r"^no worker can start: vLLM cannot start tiny-base: no memory$"):
        list(engine.run(iter(requests(10)), GREEDY))


def test_when_workers_die_before_they_answer_the_run_ends() -> None:
    engine, pool = engine_on({"kill_at": [0] * 100}, mock_latency=5.0)
    with pytest.raises(EngineError, match=r"^no worker can start: killed by the test$"):
        list(engine.run(iter(requests(10)), GREEDY))
    assert pool.n_launched == 9, "three times each of three"


def test_an_error_about_the_model_ends_the_run_at_once() -> None:
    engine, pool = engine_on({"failure": ModelError("this is another checkpoint")})
    with pytest.raises(ModelError, match="another checkpoint"):
        list(engine.run(iter(requests(10)), GREEDY))
    assert pool.n_launched == 3


@pytest.mark.slow
def test_a_drain_finishes_what_is_in_flight_and_starts_nothing() -> None:
    engine, pool = engine_on(mock_latency=0.1, concurrency=8)
    results = engine.run(iter(requests(500)), GREEDY)
    first = next(results)
    n = engine.drain()
    rest = list(results)
    assert 0 < len(rest) <= n < 500 and first[1].error is None and pool.drained
    assert len(rest) >= 8 * 3 - 1, "what the engines had begun"
    assert engine.drain() == 0
    assert len(list(engine.run(iter(requests(20)), GREEDY))) == 20, "the next run is not drained"


@pytest.mark.slow
def test_a_run_that_is_left_empties_the_workers() -> None:
    engine, pool = engine_on(mock_latency=0.05, concurrency=4)
    results = engine.run(iter(requests(500)), GREEDY)
    next(results)
    results.close()  # type: ignore[attr-defined]  # a generator
    assert pool.drained
    replies = Counter(r.sample.id for r, _ in engine.run(iter(requests(40, copies=1)), GREEDY))
    assert replies == Counter(map(str, range(40)))


def test_the_runner_journals_everything_and_resumes_with_another_number_of_workers(tmp_path: Path) -> None:
    task = SyntheticTask(n_groups=100, n_rolls=4)
    engine, _ = engine_on({"kill_at": [30]}, mock_latency=0.005, concurrency=4)
    spec = spec_of(task, engine)  # type: ignore[arg-type]  # only its name and version are used
    stop = threading.Event()
    with RunDir.create(tmp_path, spec) as rundir, pytest.raises(Interrupted):
        execute(
            [task], engine, rundir, spec, stop=stop, on_event=lambda e: stop.set() if e.n_done == 60 else None
        )
    (journal,) = (tmp_path / "journal").iterdir()
    before = len(journal.read_text().splitlines())
    assert 60 <= before < 400
    one = MockEngine(None, options(mock="random"))
    with RunDir.create(tmp_path, spec_of(task, one)) as rundir:
        outcome = execute([task], one, rundir, spec)
    assert (outcome.n_resumed, outcome.n_done, outcome.n_errors) == (before, 400, 0)
    ids = Counter(json.loads(line)["id"] for line in journal.read_text().splitlines())
    assert len(ids) == 400 and max(ids.values()) == 1


def test_each_worker_expects_its_share() -> None:
    engine, _ = engine_on(workers=3)
    engine.expect(100)
    assert engine._n_expected == 34


def test_other_weights_go_to_all_workers_or_the_engine_must_be_closed() -> None:
    engine, pool = engine_on()
    assert engine.swap("new") and pool.swaps == ["new"]  # type: ignore[arg-type]
    assert not engine.swap("another kind")  # type: ignore[arg-type]
    engine.close()
    engine.close()
    assert pool.closed and engine.measures() == {}
    assert engine.swap("before the start")  # type: ignore[arg-type]


def test_measures_name_each_worker() -> None:
    engine, _ = engine_on(workers=2)
    list(engine.run(iter(requests(40)), GREEDY))
    measures = engine.measures()
    json.dumps(measures)
    assert len(measures["workers"]) == 2 and measures["n_sent_again"] == 0
    assert sum(worker["n_answered"] for worker in measures["workers"]) == 40
    for worker in measures["workers"]:
        assert worker.keys() == {
            "host", "pid", "gpus", "engine", "torch", "n_answered", "n_deaths", "max_num_seqs"
        }  # fmt: skip


def test_a_request_that_kills_its_worker_becomes_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Poisoned(ThreadPool):
        def give(self, worker: int, units: Sequence[WorkUnit], sampling: Sampling) -> None:
            super().give(worker, units, sampling)
            if any(request.sample.id == "77" for unit in units for request in unit.requests):
                self.doomed.add(worker)

        def events(self, timeout_s: float) -> list[Event]:
            events = super().events(timeout_s)
            dead = [number for number in self.doomed if number in self.workers]
            self.doomed.clear()
            for number in dead:
                self.kill(number)
            alive = [event for event in events if event.worker not in dead]
            return [*alive, *(Died(number, "its process ended") for number in dead)]

        doomed: set[int]

    engine, _ = engine_on()
    pool = Poisoned(options(mock_latency=0.005))
    pool.doomed = set()
    engine._pool = pool
    replies = [*engine.run(iter(requests(120)), GREEDY)]
    assert Counter(r.sample.id for r, _ in replies) == Counter(map(str, range(120)))
    assert {r.sample.id: c.error for r, c in replies if c.error} == {
        "77": "3 workers died while they had this request, at last: its process ended"
    }


def test_workers_are_made_only_on_request() -> None:
    assert isinstance(create("mock", None, EngineOptions()), MockEngine)
    assert isinstance(create("mock", None, options(workers=2)), WorkersEngine)
    assert isinstance(create("mock", None, options(ray_address="host:1")), WorkersEngine)


def test_the_number_of_workers_is_not_part_of_a_run() -> None:
    plans = [
        EvaluationPlan.of([], ["scenes"], limit=4, engine="mock", options=options(workers=n)) for n in (1, 2)
    ]
    specs, engines = [], []
    for plan in plans:
        name, (subject,) = subjects_of(plan)
        engine = engine_for(name, subject, plan)
        engines.append(type(engine))
        specs.append(run_spec(plan, subject, engine.name, engine.version, load_tasks(plan)))
    assert engines == [MockEngine, WorkersEngine]
    assert specs[0].to_json() == specs[1].to_json() and specs[0].sha256 == specs[1].sha256


def test_the_command_and_the_option_mean_the_same() -> None:
    run = ("run", "--engine", "mock", "--tasks", "scenes", "--limit", "2", "--dry-run")
    plain = commands.bench(*run)
    assert plain.code == 0
    for words in (("--workers", "2"), ("--set", "workers=2"), ("--set", "mock=gold", "--workers", "1")):
        assert commands.bench(*run, *words) == plain


def test_a_watch_evaluates_all_checkpoints_on_the_same_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = EvaluationPlan.of([], ["scenes"], limit=6, engine="mock", options=options(workers=2))
    pools = []

    def open_pool(self: WorkersEngine) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool(replace(self._options, workers=1))
            pools.append(self._pool)
        return self._pool  # type: ignore[return-value]

    monkeypatch.setattr(WorkersEngine, "_open", open_pool)
    evaluator = Evaluator(plan, load_tasks(plan))
    results = [evaluator(resolve_model("tiny-base"), tmp_path / str(n)) for n in range(2)]
    evaluator.close()
    assert len(pools) == 1 and len(pools[0].swaps) == 1 and pools[0].n_launched == 2 and pools[0].closed
    assert results[0]["tasks"] == results[1]["tasks"]
    n_asked = sum(task["n_samples"] for task in results[1]["tasks"].values())
    sitting = json.loads((tmp_path / "1" / "exec.json").read_text())["sittings"][-1]
    workers = sitting["measures"]["workers"]
    assert len(workers) == 2 and sitting["engine_options"]["workers"] == 2
    assert sum(worker["n_answered"] for worker in workers) == n_asked, "of this checkpoint alone"


def test_engines_without_workers_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="engine openai has no workers: give --base-url"):
        create("openai", None, options(workers=2, base_urls=("http://127.0.0.1:1/v1",)))
    with pytest.raises(UsageError, match="engine replay has no workers"):
        create("replay", None, options(workers=2), object())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a single question needs none"):
        list(create("mock", None, options(workers=2)).stream((), GREEDY))
    monkeypatch.setattr("ssl4rl_bench.engines._installed", lambda package: package != "ray")
    with pytest.raises(MissingDependency, match=r"pip install .*\[ray\]"):
        create("mock", None, options(workers=2))


@pytest.mark.parametrize("text", ["workers=0", "workers=-1", "workers=two", "workers=1.5", "ray_address="])
def test_bad_values_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=text.partition("=")[0]):
        EngineOptions.from_pairs([text])
