"""Ctrl-C and SIGTERM at the moments of a run: loading, asking a server, backing off, waiting for replies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forked
import pytest
import training_process
import vllm_process
from faulty_server import FAULTS, Connection, FaultyServer, well
from synthetic import SyntheticTask, options, spec_of

from ssl4rl_bench.core.errors import EngineError, Interrupted
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.core.types import Completion, Request, Sampling
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import execute

pytestmark = pytest.mark.slow

SIGNALS = [signal.SIGTERM, signal.SIGINT]
AT_ONCE_S = 20.0
"""Far below the minutes for which the thing that is interrupted would last, and the 25 s of a drain."""
RUN = ["run", "--tasks", "scenes", "--limit", "12"]
SLEEPS = """
import sys, time
import forked
module, function = sys.argv[1:3]
def sleeping(*args, **kwargs):
    print("here", file=sys.stderr, flush=True)
    time.sleep(300)
forked.stand_in(module, function, sleeping)
sys.argv[1:3] = []
from ssl4rl_bench.cli import main
main()
"""


PASSES = """
import sys
import forked
module, function = sys.argv[1:3]
original = getattr(__import__(module, fromlist=["x"]), function)
def passing(*args, **kwargs):
    print("here", file=sys.stderr, flush=True)
    return original(*args, **kwargs)
forked.stand_in(module, function, passing)
sys.argv[1:3] = []
from ssl4rl_bench.cli import main
main()
"""


def start(
    *args: str | Path,
    sleeps_in: tuple[str, str] | None = None,
    passes: tuple[str, str] | None = None,
    cwd: Path | None = None,
    kind: type[forked.Popen[Any]] = forked.Popen,
) -> subprocess.Popen[str]:
    """Starts a command that says "here" when it comes to a function, and sleeps in it or goes on."""
    if sleeps_in:
        program = ["-c", SLEEPS, *sleeps_in]
    else:
        program = ["-c", PASSES, *passes] if passes else ["-m", "ssl4rl_bench"]
    return kind(
        [sys.executable, *program, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )


def wait_until(ready: Any, child: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 100
    while not ready():
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.02)


def until(child: subprocess.Popen[str], words: str) -> str:
    """Reads the child's stderr up to a line with these words; returns what was read."""
    said = ""
    assert child.stderr is not None
    while words not in said:
        line = child.stderr.readline()
        assert line, "it ended before it came there"
        said += line
    return said


def ends(
    child: subprocess.Popen[str], number: signal.Signals, when_it_waits: Callable[[], None] | None = None
) -> str:
    """Sends the signal; the command must be over soon, with exit code 130 and one sentence. Returns its stderr."""
    sent = time.monotonic()
    child.send_signal(number)
    told = until(child, "stopping: waiting") if when_it_waits else ""
    if when_it_waits:
        when_it_waits()
    errors = told + child.communicate(timeout=100)[1]
    assert child.returncode == 130, errors
    assert time.monotonic() - sent < AT_ONCE_S
    assert "Traceback" not in errors and errors.count("error: ") == 1, errors
    return errors


@pytest.mark.parametrize(
    ("place", "command"),
    [
        (("ssl4rl_bench.task.registry", "load_task"), [*RUN, "--engine", "mock"]),
        (("ssl4rl_bench.run.rundir.RunDir", "save_image"), [*RUN, "--engine", "mock"]),
        (("ssl4rl_bench.engines.mock.MockEngine", "run"), [*RUN, "--engine", "mock"]),
        (("ssl4rl_bench.score.scoring", "score_and_write"), [*RUN, "--engine", "mock"]),
        (("ssl4rl_bench.engines.mock.MockEngine", "stream"), ["ask", "--engine", "mock", "Why?"]),
        (("ssl4rl_bench.task.registry", "load_task"), ["validate", "scenes"]),
        (("ssl4rl_bench.run.rundir.RunDir", "open"), ["score", "."]),
    ],
    ids=["loading data", "keeping images", "in the engine", "scoring", "ask", "validate", "score"],
)  # fmt: skip
def test_a_signal_ends_what_waits_for_no_reply(
    tmp_path: Path, place: tuple[str, str], command: list[str]
) -> None:
    module, function = place
    if module.rpartition(".")[2][0].isupper():  # a method
        module, _, owner = module.rpartition(".")
        function = f"{owner}.{function}"
    child = start(*command, sleeps_in=(module, function), cwd=tmp_path)
    until(child, "here")
    ends(child, signal.SIGTERM)


@pytest.mark.parametrize(
    ("command", "fault", "number"),
    [("run", "hang", signal.SIGTERM), ("ask", "byte drip", signal.SIGINT)],
)
def test_a_signal_ends_the_wait_for_a_server_that_does_not_say_what_it_serves(
    tmp_path: Path, command: str, fault: str, number: signal.Signals
) -> None:
    accepted = threading.Event()
    fault_of, FAULTS["noted"] = FAULTS[fault], lambda c: (accepted.set(), fault_of(c))[0]
    try:
        with FaultyServer(models="noted") as server:
            args = {"run": ["--tasks", "scenes", "--out", tmp_path / "run"], "ask": ["Why?"]}[command]
            child = start(command, *args, "--base-url", server.url)
            wait_until(accepted.is_set, child)
            ends(child, number)
    finally:
        del FAULTS["noted"]


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        ("503", signal.SIGTERM),
        pytest.param("429 absurd", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("closed at once", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_whose_requests_all_wait_to_be_sent_again(
    tmp_path: Path, fault: str, number: signal.Signals
) -> None:
    with FaultyServer(fault) as server:
        child = start(*RUN, "--base-url", server.url, "--out", tmp_path / "run")
        # The first answer with Retry-After holds back the requests that have not been sent yet.
        wait_until(lambda: server.hits >= (1 if fault.startswith("429") else 32), child)
        time.sleep(0.3)
        errors = ends(child, number)
    assert "run the same command again" in errors


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_in_flight_is_waited_for_and_kept(tmp_path: Path, number: signal.Signals) -> None:
    release = threading.Event()

    def slow(c: Connection) -> None:
        release.wait(60)
        well(c)

    FAULTS["slow"] = slow
    try:
        with FaultyServer("slow") as server:
            out = tmp_path / "run"
            child = start(*RUN, "--base-url", server.url, "--out", out, "--set", "concurrency=5")
            wait_until(lambda: server.hits == 5, child)
            errors = ends(child, number, when_it_waits=release.set)
            assert server.asked == 5, "nothing more was sent"
    finally:
        del FAULTS["slow"]
    assert "stopping: waiting for 5 replies in flight, at most 25 s" in errors
    lines = (out / "journal" / "ssl4rl_scenes.jsonl").read_text().splitlines()
    assert [json.loads(line)["error"] for line in lines] == [None] * 5


@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_signal_does_not_wait(tmp_path: Path, number: signal.Signals) -> None:
    with FaultyServer("hang") as server:
        child = start(*RUN, "--base-url", server.url, "--out", tmp_path / "run")
        wait_until(lambda: server.hits >= 32, child)
        child.send_signal(number)
        until(child, "stopping: waiting for 32 replies")
        ends(child, number)


TASK = SyntheticTask(n_groups=4, n_rolls=2)


class Slow(MockEngine):
    """Has one reply in flight for ever, after two that came."""

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        for n, answer in enumerate(super().run(requests, sampling)):
            if n == 2:
                self.wait()
            yield answer

    def wait(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(300)

    def drain(self) -> int:
        return 1


class Dying(Slow):
    """Dies of the signal, which its processes got as well."""

    def wait(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise EngineError("the engine's process died")


@pytest.mark.parametrize("engine", [Slow, Dying])
def test_a_drain_is_over_after_its_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: type[Slow]
) -> None:
    made = engine(None, options())
    spec = spec_of(TASK, made)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    began = time.monotonic()
    with (
        RunDir.create(tmp_path, spec) as rundir,
        Stop(0.3).handling() as stop,
        pytest.raises(Interrupted, match="2 of 8 requests have a reply"),
    ):
        execute([TASK], made, rundir, spec, stop=stop)
    assert time.monotonic() - began < AT_ONCE_S
    assert "waiting for 1 reply in flight, at most 0.3 s" in capfd.readouterr().err
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    well = MockEngine(None, options())
    with RunDir.create(tmp_path, spec) as rundir:
        outcome = execute([TASK], well, rundir, spec)
    assert (outcome.n_resumed, outcome.n_done) == (2, 8)


def test_a_reply_that_is_here_is_kept_before_a_signal_is_acted_upon(tmp_path: Path) -> None:
    """A signal with each reply, while it is being journaled: 8 sittings of one reply each make the run."""
    engine = MockEngine(None, options())
    spec = spec_of(TASK, engine)
    for sitting in range(1, 9):
        with RunDir.create(tmp_path, spec) as rundir, Stop().handling() as stop:
            try:
                outcome = execute(
                    [TASK], engine, rundir, spec, stop=stop,
                    on_event=lambda e: e.record and os.kill(os.getpid(), signal.SIGTERM),
                )  # fmt: skip
            except Interrupted as error:
                assert f"{sitting} of 8 requests" in str(error)
            else:
                assert (sitting, outcome.n_done) == (8, 8)


@pytest.mark.engine
def test_a_batch_that_is_answered_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes while the first reply of a batch of four is journaled."""
    from ssl4rl_bench.engines.checkpoints.weights import Model
    from ssl4rl_bench.engines.hf import HfEngine

    class Batch:
        def __init__(self, items: list[Any]) -> None:
            self.items = items

        def step(self) -> list[tuple[Any, Completion]]:
            items, self.items = self.items, []
            return [(item, Completion("A", "stop")) for item in items]

    class Network:
        joins = False

        def prepare(self, messages: Any) -> Any:
            return SimpleNamespace(n_tokens=1, key=(id(messages),))

        def start(self, families: list[Any], sampling: Sampling) -> Batch:
            return Batch([item for family in families for item in family.items])

    monkeypatch.setattr(HfEngine, "_load", lambda self: Network())
    engine = HfEngine(Model("m", tmp_path, "0" * 64, None), EngineOptions(batch_size=4))
    spec = spec_of(TASK, engine)
    with (
        RunDir.create(tmp_path / "run", spec) as rundir,
        Stop().handling() as stop,
        pytest.raises(Interrupted, match="4 of 8 requests have a reply"),
    ):
        execute(
            [TASK],
            engine,
            rundir,
            spec,
            stop=stop,
            on_event=lambda e: e.so_far.n_done == 1 and os.kill(os.getpid(), signal.SIGTERM),
        )


@pytest.mark.engine
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "place",
    [("ssl4rl_bench.engines.hf.load", "load_network"), ("ssl4rl_bench.engines.hf.load", "Prompter")],
    ids=["the weights", "the processor"],
)
def test_a_signal_ends_the_loading_of_a_model(
    tmp_path: Path, place: tuple[str, str], number: signal.Signals
) -> None:
    out = tmp_path / "run"
    args = ["run", "--model", "tiny-base", "--engine", "hf", "--tasks", "scenes", "--out", out]
    child = start(*args, sleeps_in=place, kind=training_process.Popen)
    until(child, "here")
    assert "run the same command again" in ends(child, number)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("function", "kind"),
    [("on_cpu", forked.Popen), ("make_config", vllm_process.Popen), ("LocalEngine", vllm_process.Popen)],
    ids=["its imports", "its configuration", "its engine"],
)
def test_a_signal_ends_the_start_of_vllm(
    tmp_path: Path, function: str, kind: type[forked.Popen[Any]]
) -> None:
    """The signal comes just after the function has been called; `on_cpu` is the first that imports vLLM."""
    pytest.importorskip("vllm")
    args = ["run", "--model", "tiny-base", "--engine", "vllm", "--tasks", "scenes", "--out", tmp_path / "run"]
    child = start(*args, passes=("ssl4rl_bench.engines.vllm.adapter", function), kind=kind)
    until(child, "here")
    ends(child, signal.SIGTERM)


@pytest.mark.engine
@pytest.mark.parametrize("engine", ["hf", "vllm"])
def test_a_model_in_this_process_finishes_what_is_in_flight(tmp_path: Path, engine: str) -> None:
    if engine == "vllm":
        pytest.importorskip("vllm")
    out = tmp_path / "run"
    args = ["run", "--model", "tiny-base", "--engine", engine, "--set", "batch_size=8", "--tasks", "scenes"]
    kind = training_process.Popen if engine == "hf" else vllm_process.Popen
    child = start(*args, "--out", out, kind=kind)
    journal = out / "journal" / "ssl4rl_scenes.jsonl"
    until = time.monotonic() + 400
    while not (journal.exists() and journal.stat().st_size):
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=200)
    assert child.returncode == 130 and "run the same command again" in errors, errors
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(lines) >= (8 if engine == "hf" else 1), "a batch that was begun is kept whole"
    assert all(line["error"] is None for line in lines)
    assert "Traceback" not in errors and len({line["id"] for line in lines}) == len(lines)
