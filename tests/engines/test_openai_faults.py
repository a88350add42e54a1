"""Runs against a server that breaks the protocol: they end in time, and every sample is accounted for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import bench
from faulty_server import FAULTS, REPLIES, STREAM_FAULTS, FaultyServer
from synthetic import SyntheticTask, spec_of

from ssl4rl_bench.core.errors import BenchError, EngineError, TooManyErrors, UsageError
from ssl4rl_bench.core.types import SampleRecord
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.openai import OpenAIEngine, Retry
from ssl4rl_bench.engines.openai_servers import Server, Servers
from ssl4rl_bench.run.journal import read_journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import RunCounts, execute

pytestmark = pytest.mark.slow

TASK = SyntheticTask(n_groups=6, n_rolls=2)
N = 12
PATIENT = Retry(
    attempts=3, base=0.01, cap=0.05, retry_after_cap=0.05, connect_timeout=60, timeout=60, silence=0.3
)
HURRIED = replace(PATIENT, connect_timeout=0.4, timeout=0.4)
"""For servers that say nothing, or do not come to an end."""
SLOW = replace(PATIENT, connect_timeout=5, timeout=5)
"""The same where the second answer must come in time, also on a machine with other work."""
ENDLESS = {"hang", "byte drip", "slow headers"}
BOUND_S = 60
"""Far above what a run takes (the longest, of a server that hangs, 2 s): only a hang lasts longer."""
NO_LISTS = {
    "hang",
    "byte drip",
    "endless body",
    "gzip bomb",
    "reset at once",
    "401",
    "503",
    "redirect",
    "page",
}
FATAL = {"401", "404", "redirect"}
"""Faults that end a run at once, since every further request would meet them."""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def engine_of(
    server: FaultyServer, fault: str = "", hurried: Retry = HURRIED, concurrency: int = 4, **options: Any
) -> OpenAIEngine:
    retry = hurried if fault in ENDLESS else PATIENT
    chosen = EngineOptions(base_urls=(server.url,), concurrency=concurrency, **options)
    return OpenAIEngine(None, chosen, retry)


def run(
    path: Path, server: FaultyServer, fault: str = "", hurried: Retry = HURRIED, concurrency: int = 4
) -> RunCounts | BenchError:
    """A run, or the rest of one; returns what ended it early, if something did."""
    engine = engine_of(server, fault, hurried, concurrency)
    try:
        spec = spec_of(TASK, engine)
        with RunDir.create(path, spec) as rundir:
            return execute([TASK], engine, rundir, spec)
    except BenchError as error:
        return error
    finally:
        engine.close()


def records(path: Path) -> list[SampleRecord]:
    lines = list(read_journal(path / "journal" / f"{TASK.name}.jsonl"))
    assert all(isinstance(line, SampleRecord) for line in lines)
    return [line for line in lines if isinstance(line, SampleRecord)]


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 3], ids=["always", "each third"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_sample_is_accounted_for_and_the_run_can_be_finished(
    tmp_path: Path, fault: str, every: int
) -> None:
    began = time.monotonic()
    with FaultyServer(fault, every=every) as server:
        ended = run(tmp_path, server, fault)
        assert time.monotonic() - began < BOUND_S
        assert server.hits
        first = records(tmp_path)
        answered = {record.id for record in first if record.error is None}
        failed = {record.id: record.error for record in first if record.error is not None}
        assert len(first) == len(answered) + len(failed), "a sample has one record"
        assert all(reason and "\n" not in reason for reason in failed.values())
        if fault in REPLIES:
            assert isinstance(ended, RunCounts) and len(answered) == N
        elif fault in FATAL:
            assert isinstance(ended, EngineError) and ended.exit_code == 4
        else:
            assert len(answered) + len(failed) == N or isinstance(ended, EngineError | TooManyErrors)
            assert isinstance(ended, RunCounts) == (len(answered) == N)
            assert len(answered) >= server.answered - 4, "what was answered is in the journal"
        server.heal()
        rest = run(tmp_path, server)
        assert isinstance(rest, RunCounts) and (rest.n_resumed, rest.n_done) == (len(answered), N)
    counts = Counter(record.id for record in records(tmp_path) if record.error is None)
    assert len(counts) == N and set(counts.values()) == {1}


FINAL = {"403", "413", "error object", "error text", "content filter"} | {
    "endless body", "gzip bomb", "unknown encoding",
}  # fmt: skip
"""Faults after which a request is not sent again."""


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ENDLESS else name
        for name in FAULTS
        if name not in REPLIES | FATAL | FINAL
    ],
)
def test_what_may_pass_costs_no_sample(tmp_path: Path, fault: str) -> None:
    """Each request meets the fault once: it is sent again, and the run is complete."""
    at_once = N if fault in ENDLESS else 4  # then all wait for the end of `SLOW` together
    with FaultyServer(fault, once=True) as server:
        assert isinstance(run(tmp_path, server, fault, SLOW, at_once), RunCounts)
        assert server.hits == N and len(records(tmp_path)) == N


@pytest.mark.parametrize("fault", ["error object", "error text"])
def test_an_error_with_status_200_is_told_at_once(tmp_path: Path, fault: str) -> None:
    with FaultyServer(fault) as server:
        run(tmp_path, server)
        assert server.asked == N, "nothing was sent again"
    assert {r.error for r in records(tmp_path)} == {f"{server.url}: the model is overloaded"}


@pytest.mark.parametrize("fault", [name for name in FAULTS if name.startswith("usage")])
def test_usage_that_counts_nothing_is_unknown(tmp_path: Path, fault: str) -> None:
    with FaultyServer(fault) as server:
        assert isinstance(run(tmp_path, server), RunCounts)
    assert {(r.n_prompt_tokens, r.n_completion_tokens) for r in records(tmp_path)} == {(0, 0)}


def test_content_in_parts_is_joined_and_reasoning_is_kept(tmp_path: Path) -> None:
    with FaultyServer("content in parts") as server:
        run(tmp_path / "parts", server)
    assert {r.text for r in records(tmp_path / "parts")} == {"<answer>A</answer>"}
    with FaultyServer("reasoning alone") as server:
        run(tmp_path / "alone", server)
    assert {(r.text, r.reasoning, r.finish_reason) for r in records(tmp_path / "alone")} == {
        ("", "hm", "length")
    }


@pytest.mark.parametrize(
    "fault",
    [
        name if name in NO_LISTS else pytest.param(name, marks=pytest.mark.slow)
        for name in FAULTS
        if name not in REPLIES and name != "404"
    ],
)
def test_a_list_of_models_that_is_none_ends_the_command_in_time(fault: str) -> None:
    began = time.monotonic()
    with FaultyServer(models=fault) as server:
        engine = engine_of(server, fault)
        try:
            with pytest.raises(EngineError, match=r"127\.0\.0\.1"):
                _ = engine.version
        finally:
            engine.close()
    assert time.monotonic() - began < BOUND_S


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_stream_without_its_end_is_an_error(fault: str) -> None:
    began = time.monotonic()
    with FaultyServer(fault, stream=True) as server:
        engine = engine_of(
            server, "hang" if fault in ("hang", "hang in the middle", "endless comments") else ""
        )
        try:
            with pytest.raises(EngineError, match=r"127\.0\.0\.1"):
                list(engine.stream(TASK.samples[0].messages, TASK.sampling))
        finally:
            engine.close()
        assert server.asked == 1
    assert time.monotonic() - began < BOUND_S


def test_a_server_that_does_not_stream_is_understood() -> None:
    with FaultyServer() as server:
        engine = engine_of(server)
        pieces = list(engine.stream(TASK.samples[0].messages, TASK.sampling))
        engine.close()
    assert pieces == ["<answer>A</answer>"]


def test_a_server_that_hangs_is_given_up_and_another_takes_over(tmp_path: Path) -> None:
    with FaultyServer("hang") as hanging, FaultyServer() as well:
        options = EngineOptions(base_urls=(hanging.url, well.url), concurrency=3)
        engine = OpenAIEngine(None, options, replace(PATIENT, timeout=1))
        spec = spec_of(TASK, engine)
        with RunDir.create(tmp_path, spec) as rundir:
            assert execute([TASK], engine, rundir, spec).n_errors == 0
        engine.close()
    assert well.answered == N


def test_the_bearer_key_goes_before_credentials_in_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer() as server:
        url = server.url.replace("127.0.0.1", "me:p%40ss@127.0.0.1")
        for key, sent in (("", "Basic bWU6cEBzcw=="), ("sk-key", "Bearer sk-key")):
            monkeypatch.setenv("OPENAI_API_KEY", key)
            engine = OpenAIEngine(None, EngineOptions(base_urls=(url,)), PATIENT)
            list(engine.stream(TASK.samples[0].messages, TASK.sampling))
            engine.close()
            assert server.requests[-1][0]["authorization"] == sent


def test_the_limit_s_field_can_be_named_and_a_refusal_says_so(tmp_path: Path) -> None:
    with FaultyServer() as server:
        engine = engine_of(server, tokens_field="max_completion_tokens")
        list(engine.stream(TASK.samples[0].messages, TASK.sampling))
        engine.close()
        body = server.requests[-1][1]
        assert "max_tokens" not in body and body["max_completion_tokens"] == TASK.sampling.max_tokens
    refusal = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    FAULTS["unsupported"] = lambda c: c.json({"error": {"message": refusal}}, "400 Bad Request")
    try:
        with FaultyServer("unsupported") as server:
            ended = run(tmp_path, server)
    finally:
        del FAULTS["unsupported"]
    assert isinstance(ended, EngineError) and "--set tokens_field=max_completion_tokens" in str(ended)


@pytest.mark.parametrize(
    "text", ["timeout=0", "timeout=-1", "timeout=nan", "timeout=inf", "tokens_field=max"]
)
def test_options_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        EngineOptions.from_pairs([text])


@pytest.mark.slow
def test_the_command_against_a_server_that_hangs_ends_with_the_reason(tmp_path: Path) -> None:
    with FaultyServer("hang") as server:
        run = ["run", "--tasks", "scenes", "--base-url", server.url, "--out", tmp_path / "run"]
        done = bench(*run, "--set", "timeout=0.1")
    assert done.code in (1, 4), done.err
    assert "no reply within 0.1 s" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    "fault",
    ["usage 1e400", *(pytest.param(name, marks=pytest.mark.slow) for name in ("endless body", "gzip bomb"))],
)
def test_the_command_bears_what_floods_it(tmp_path: Path, fault: str) -> None:
    with FaultyServer(fault) as server:
        run = ["run", "--tasks", "scenes", "--limit", "4", "--base-url", server.url, "--out", tmp_path / "r"]
        done = bench(*run)
    assert done.code == (0 if fault in REPLIES else 1), done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "fault",
    [
        "no end",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("error event", "cut in an event", "error object")
        ),
    ],
)
def test_ask_does_not_take_half_a_reply_for_one(fault: str) -> None:
    with FaultyServer(fault, stream=True) as server:
        done = bench("ask", "--base-url", server.url, "Why?")
    assert done.code == 4 and done.err.count("error: ") == 1, done.err


def test_a_server_that_is_free_before_its_time_is_picked_at_once() -> None:
    """While one request asks a server what it runs, the others wait for the answer and not for the longest time."""
    servers = Servers(
        ["http://127.0.0.1:9/v1"], PATIENT, key="", wanted=None, preferred=None, limits_pixels=False
    )
    (server,) = servers.all

    async def pick() -> Server | None:
        server.aside_until = time.monotonic() + 3600
        asyncio.get_running_loop().call_later(0.05, setattr, server, "aside_until", 0.0)
        async with asyncio.timeout(30):
            return await servers.pick(None, time.monotonic() + 7200, asyncio.sleep)

    assert asyncio.run(pick()) is server
