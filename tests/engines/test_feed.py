"""What prepares prompts for vLLM: the thread and the processes, with a stand-in for vLLM's renderer."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgspec")

import fake_renderer

from ssl4rl_bench.core.errors import EngineError, ModelError
from ssl4rl_bench.core.types import Categories, Message, Request, Sample, TextPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.vllm import renderers
from ssl4rl_bench.engines.vllm.feed import Feed, ThreadFeed
from ssl4rl_bench.engines.vllm.renderers import ProcessFeed


def request(text: str) -> Request:
    message = Message("user", (TextPart(text),))
    return Request(Sample(text, text, (message,), "", {}, Categories("", "", "")))


def all_of(feed: Feed) -> dict[str, Any]:
    out = {}
    while feed.pending:
        out |= {request.sample.id: prepared for request, prepared in feed.collect(wait=True)}
    return out


def processes(n: int) -> ProcessFeed:
    setup: Any = ("config", Path(), EngineOptions())
    return ProcessFeed(n, setup, fake_renderer.decode, program=fake_renderer.serve)


@pytest.fixture
def feed() -> Iterator[ProcessFeed]:
    made = processes(2)
    yield made
    made.close()


@pytest.mark.slow
def test_units_come_back_whole_with_their_pixels(feed: ProcessFeed) -> None:
    feed.submit([request("small")])
    feed.submit([request("large"), request("copy")])
    assert feed.pending == 3
    done = all_of(feed)
    assert done["small"]["sizes"] == [5, 6]
    assert done["large"]["sizes"] == done["copy"]["sizes"] == [fake_renderer.PIXELS, fake_renderer.PIXELS + 1]
    assert bytes(done["copy"]["pixels"][1]) == b"b" * (fake_renderer.PIXELS + 1)
    assert feed.collect(wait=True) == []


@pytest.mark.slow
def test_the_pixels_vanish_with_their_last_user(feed: ProcessFeed) -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("ssl4rl-pixels")

    feed.submit([request("large"), request("copy")])
    done = all_of(feed)
    assert mapped() == 1
    del done
    gc.collect()
    assert mapped() == 0
    assert not [name for name in os.listdir("/dev/shm") if "ssl4rl-pixels" in name]  # noqa: PTH208


def test_an_error_fails_one_request_of_a_unit(feed: ProcessFeed) -> None:
    feed.submit([request("good"), request("bad")])
    feed.submit([request("template")])
    done = all_of(feed)
    assert done["good"]["text"] == "good"
    assert done["bad"] == "it is bad"
    assert isinstance(done["template"], ModelError)


@pytest.mark.slow
def test_a_dead_process_is_replaced_and_its_units_are_sent_again(feed: ProcessFeed, tmp_path: Path) -> None:
    before = {process.process.pid for process in feed.processes}
    for text in (f"die-once {tmp_path / 'a'}", "one", "two", "three", "four"):
        feed.submit([request(text)])
    assert len(all_of(feed)) == 5
    after = {process.process.pid for process in feed.processes}
    assert len(after) == 2 and len(after - before) == 1


@pytest.mark.slow
def test_a_unit_that_kills_its_process_twice_fails_alone(feed: ProcessFeed) -> None:
    feed.submit([request("die"), request("copy of die")])
    for number in range(6):
        feed.submit([request(f"good {number}")])
    done = all_of(feed)
    assert "died twice (exit status -9)" in done.pop("die")
    assert "died twice" in done.pop("copy of die")
    assert [done[f"good {number}"]["text"] for number in range(6)] == [f"good {n}" for n in range(6)]


@pytest.mark.slow
def test_processes_that_keep_dying_end_the_run(feed: ProcessFeed) -> None:
    for number in range(5):
        feed.submit([request(f"die {number}")])
    with pytest.raises(EngineError, match=r"processes that prepare prompts died.*renderers=N"):
        all_of(feed)


@pytest.mark.slow
def test_a_process_that_cannot_start_ends_the_run() -> None:
    """The setup is no configuration of vLLM."""
    setup: Any = (None, Path("/nowhere"), EngineOptions())
    feed = ProcessFeed(1, setup, fake_renderer.decode)
    try:
        feed.submit([request("any")])
        with pytest.raises(EngineError, match="cannot start: "):
            all_of(feed)
    finally:
        feed.close()


@pytest.mark.slow
def test_dropped_units_are_not_returned(feed: ProcessFeed) -> None:
    for number in range(4):
        feed.submit([request(f"sleep 0.1 {number}"[:9]), request(f"{number}")])
    feed.drop()
    assert feed.pending == 0
    feed.submit([request("later")])
    assert list(all_of(feed)) == ["later"]


def test_closing_ends_busy_processes_at_once(feed: ProcessFeed) -> None:
    feed.submit([request("sleep 60")])
    pids = [process.process.pid for process in feed.processes]
    begin = time.monotonic()
    feed.close()
    feed.close()
    assert time.monotonic() - begin < 10
    for pid in pids:
        assert pid is not None and not Path(f"/proc/{pid}").exists()


SCRIPT = """
import sys, time
sys.path[:0] = {path!r}
import test_feed
feed = test_feed.processes(2)
feed.submit([test_feed.request("sleep 60")])
feed.submit([test_feed.request("ready")])
list(feed.collect(wait=True))
print(*(process.process.pid for process in feed.processes), flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_main_process(number: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    here = str(Path(__file__).parent)
    file.write_text(
        "if __name__ == '__main__':\n"
        + "".join(f"    {line}\n" for line in SCRIPT.format(path=[here]).split("\n"))
    )
    child = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    pids = [int(pid) for pid in child.stdout.readline().split()]
    assert len(pids) == 2
    child.send_signal(number)
    child.wait(20)
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_the_thread_keeps_the_order_and_fails_single_requests() -> None:
    feed = ThreadFeed(lambda messages: {"text": fake_renderer.render(messages)}, ahead=2)
    for text in ("sleep 0.05", "bad", "good", "template"):
        feed.submit([request(text)])
    done = []
    while feed.pending:
        done += feed.collect(wait=True)
    assert [asked.sample.id for asked, _ in done] == ["sleep 0.05", "bad", "good", "template"]
    assert [prepared for _, prepared in done][1:3] == ["it is bad", {"text": "good"}]
    assert isinstance(done[3][1], ModelError)
    feed.close()


@pytest.mark.parametrize(
    ("cores", "on_cpu", "expected"), [(2, False, 0), (8, False, 5), (64, False, 8), (64, True, 0)]
)
def test_the_number_of_processes_depends_on_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, on_cpu: bool, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert renderers.default_processes(on_cpu) == expected
