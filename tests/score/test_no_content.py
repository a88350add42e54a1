"""A reply with reasoning and no content: kept, counted and told; never scored, and never an empty reply."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))

from html_runs import MadeTask, guess, make_run
from openai_stub import Handler, Stub, events, reply
from test_cli import bench, refused

from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.types import Sample, SampleRecord, Score, Status
from ssl4rl_bench.engines.openai_wire import Failure, read_completion, read_events
from ssl4rl_bench.gating.guards import check_guards
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.interop.lmms.reply import NO_CONTENT, completion
from ssl4rl_bench.reports.html.sample_parts import INVALID_TAG
from ssl4rl_bench.reports.html.samples import collect, thumbnails_of
from ssl4rl_bench.run.journal import decode_record, encode_record
from ssl4rl_bench.score import aggregate as metrics
from ssl4rl_bench.score.aggregate import group_sums
from ssl4rl_bench.score.outcomes import LETTERS, from_json, to_json
from ssl4rl_bench.task.mmbench.task import score_choice
from ssl4rl_bench.task.ssl import make_task

THOUGHT = "There are two circles, <b>so</b> \x1b[31m the answer is A."
TASK = "ssl4rl_scenes"


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.stop()


def body(finish_reason: str = "stop", **message: Any) -> bytes:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice]}).encode()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("content", [None, "", " \n"])
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_reasoning_alone_is_no_reply(field: str, content: str | None, finish_reason: str) -> None:
    got = read_completion(body(finish_reason, content=content, **{field: THOUGHT}), 0.0)
    assert (got.reasoning, got.finish_reason) == (THOUGHT, finish_reason)
    assert got.has_no_content
    expected = Score(value=None, answer=None, status=Status.NO_CONTENT)
    assert score_choice({"A": "one", "B": "two"}, "A", got) == expected
    for kind, target in (("rotation", "90"), ("jigsaw", "1,2,3,4"), ("contrastive", "positive")):
        assert make_task(kind).score(got, target) == expected


@pytest.mark.parametrize(
    ("message", "reasoning", "text"),
    [
        ({"content": "A", "reasoning_content": THOUGHT}, THOUGHT, "A"),
        ({"content": "A", "reasoning_content": None, "reasoning": "why"}, "why", "A"),
        ({"content": None, "refusal": "I will not.", "reasoning": "why"}, "why", "I will not."),
        ({"content": "A"}, "", "A"),
        ({"content": None, "reasoning": " \n"}, " \n", ""),
        ({"content": None}, "", ""),
        ({"content": None, "reasoning": {"summary": "why"}}, '{"summary": "why"}', ""),
    ],
)
def test_a_reply_is_what_its_content_says(message: dict[str, Any], reasoning: str, text: str) -> None:
    got = read_completion(body(**message), 0.0)
    assert (got.reasoning, got.text) == (reasoning, text)
    assert got.has_no_content == (not text and bool(reasoning.strip()))
    status = score_choice({"A": "one"}, "A", got).status
    assert (status is Status.NO_CONTENT) == got.has_no_content


def delta(finish_reason: str | None = None, **fields: Any) -> str:
    return json.dumps({"choices": [{"delta": fields, "finish_reason": finish_reason}]})


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("ending", [["[DONE]"], []])
def test_a_stream_of_reasoning_alone_does_not_end_as_an_empty_reply(field: str, ending: list[str]) -> None:
    thoughts = [delta(role="assistant", content=""), delta(**{field: "two "}), delta(**{field: "circles"})]
    for finish_reason, about in (
        ("stop", "11 characters of reasoning and no reply$"),
        ("length", "--max-tokens"),
    ):
        lines = [f"data: {line}" for line in (*thoughts, delta(finish_reason, content=None), *ending)]
        with pytest.raises(Failure, match=about):
            list(read_events(lines))
    told = [f"data: {line}" for line in (*thoughts, delta(content="A"), delta("stop"), *ending)]
    assert list(read_events(told)) == ["A"]
    assert list(read_events([f"data: {line}" for line in (delta(content=""), delta("stop"), *ending)])) == []


def test_ask_says_that_there_is_no_reply(stub: Stub) -> None:
    ask = ("ask", "--base-url", stub.url, "How many circles are there?")
    stub.script.append(events(delta(reasoning_content=THOUGHT), delta("length"), "[DONE]"))
    refused(bench(*ask), EngineError.exit_code, "characters of reasoning and no reply", "--max-tokens")
    stub.script.append(reply(None, "length", reasoning_content=THOUGHT))
    done = bench(*ask, "--json")
    refused(done, 1, "1 of 1 chats failed", "no reply", "--max-tokens")
    assert json.loads(done.stdout)["reasoning"] == THOUGHT
    stub.script.append(reply("two"))
    assert "reasoning" not in json.loads(bench(*ask, "--json").stdout)


def test_a_journal_keeps_reasoning_and_reads_as_before_without() -> None:
    record = SampleRecord("1", 0, "g", "k", "A", "stop", 1, 2, 0.5, None)
    plain = encode_record(record)
    assert b"reasoning" not in plain
    assert decode_record(plain[:-1]) == record
    thinking = SampleRecord("1", 0, "g", "k", "", "length", 1, 2, 0.5, None, THOUGHT)
    assert decode_record(encode_record(thinking)[:-1]) == thinking
    assert thinking.completion.has_no_content


def test_every_status_has_its_own_letter() -> None:
    assert set(LETTERS) == set(Status)
    assert len(set(LETTERS.values())) == len(LETTERS)
    assert [
        LETTERS[Status(name)] for name in ("tag", "lenient", "judge", "none", "truncated", "refusal", "error")
    ] == list("tljnxre")  # as older files have them


def thinking(sample: Sample) -> str:
    return THOUGHT if int(sample.group) % 5 == 0 and sample.roll == 0 else ""


def made(root: Path, name: str, skill: float) -> Path:
    """A run in which one copy of every fifth question has reasoning and no content."""
    known = guess(name, skill)
    return make_run(
        root / name, TASK_MADE, name, lambda s: "" if thinking(s) else known(s), reasoning=thinking
    )


TASK_MADE = MadeTask(n_groups=40, n_rolls=2)


def test_questions_with_one_count_in_no_figure_of_any_module(tmp_path: Path) -> None:
    (run,) = load_evaluated([made(tmp_path, "a", 0.7)])
    outcomes = run.outcomes[TASK_MADE.name]
    found = from_json(TASK_MADE.name, json.loads(json.dumps(to_json(outcomes))))
    np.testing.assert_array_equal(found.status, outcomes.status)
    out = [int(group) % 5 == 0 for group in outcomes.groups]
    assert sum(out) == 8
    np.testing.assert_array_equal(outcomes.passes[:, 0], np.logical_not(out))
    for aggregation in metrics.AGGREGATIONS:
        np.testing.assert_array_equal(np.isnan(group_sums(outcomes, aggregation)), out)
    task = run.result["tasks"][TASK_MADE.name]
    assert (task["status"]["no_content"], task["n_groups_excluded"]) == (8, 8)
    assert task["aggregates"]["circular_micro"]["overall"]["n"] == 32
    assert task["aggregates"]["circular_micro"]["overall"]["n_unread"] == 0
    assert not outcomes.read[outcomes.status == list(Status).index(Status.NO_CONTENT)].any()


def test_a_comparison_leaves_them_out_and_says_over_how_many_it_is(tmp_path: Path) -> None:
    one, two = made(tmp_path, "one", 0.7), made(tmp_path, "two", 0.9)
    done = bench("compare", one, two)
    assert done.returncode == 0, done.stderr
    assert "32 of 40" in " ".join(done.stdout.split())


def test_the_guard_on_unread_replies_counts_them(tmp_path: Path) -> None:
    one, two = load_evaluated([made(tmp_path, "one", 0.9), made(tmp_path, "two", 0.9)])
    rule = {"task": TASK_MADE.name, "kind": "at_least", "value": 1.0}
    for limit, verdict in ((9.0, "fail"), (11.0, "pass")):
        policy = parse_policy({"rule": [rule], "guards": {"unread": limit}})
        (guard,) = check_guards(policy, one, two)
        assert (guard.verdict, guard.measured) == (verdict, "10.00%")


def test_the_sample_browser_shows_the_reasoning(tmp_path: Path) -> None:
    runs = load_evaluated([made(tmp_path, "one", 0.7), made(tmp_path, "two", 0.9)])
    loaded = [{TASK_MADE.name: TASK_MADE}] * 2
    with thumbnails_of(loaded, [TASK_MADE.name]) as thumbnails:
        samples = collect(runs, loaded, [TASK_MADE.name], thumbnails)
    packed = dict(samples.parts)["run-0-1"]
    shown = json.loads(zlib.decompress(base64.b64decode(packed), -zlib.MAX_WBITS))
    at = [n for n, letter in enumerate(shown["status"]) if letter == "c"]
    assert len(at) == 8
    assert all(shown["value"][n] is None and shown["text"][n] == "" for n in at)
    assert {int(n) for n in shown["reasoning"]} == set(at)
    assert all("the answer is A." in text and "\x1b" not in text for text in shown["reasoning"].values())
    assert set(samples.index["readAs"]) == {*LETTERS.values(), "-", INVALID_TAG}


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_a_reply_without_content_stays_one_on_its_way_through_lmms_eval(reason: str) -> None:
    from ssl4rl_bench.interop.lmms.reply import CUT_OFF

    through = completion(NO_CONTENT + CUT_OFF * (reason == "length"))
    assert (through.has_no_content, through.finish_reason) == (True, reason)


@pytest.fixture
def thinker(stub: Stub) -> Stub:
    """Every fifth reply is reasoning alone, cut off every tenth; the others answer A after some reasoning."""
    count = iter(range(10**9))

    def act(handler: Handler) -> None:
        number = next(count)
        if number % 5:
            reply("<answer>A</answer>", reasoning_content="It is A.")(handler)
        else:
            reply(None, "stop" if number % 10 else "length", reasoning_content=THOUGHT)(handler)

    stub.default = act
    return stub


def run(stub: Stub, out: Path) -> subprocess.CompletedProcess[str]:
    command = ("run", "--tasks", "scenes", "--engine", "openai", "--base-url", stub.url, "--limit", "40")
    return bench(*command, "--set", "concurrency=1", "--out", out)


@pytest.mark.slow
def test_a_run_counts_tells_and_leaves_them_out(thinker: Stub, tmp_path: Path) -> None:
    done = run(thinker, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    lines = [
        json.loads(line) for line in (tmp_path / "run/journal/ssl4rl_scenes.jsonl").read_text().splitlines()
    ]
    without = [line for line in lines if not line["text"]]
    assert without and all(line["reasoning"] == THOUGHT for line in without)
    assert all(line["reasoning"] == "It is A." for line in lines if line["text"])
    cut = sum(line["finish_reason"] == "length" for line in without)
    task = json.loads((tmp_path / "run/result.json").read_text())["tasks"][TASK]
    groups = {line["group"] for line in without}
    assert task["status"] == {"tag": len(lines) - len(without), "no_content": len(without)}
    assert (task["n_no_content_cut"], task["n_groups_excluded"]) == (cut, len(groups))
    assert task["aggregates"]["row_micro"]["overall"]["n_groups"] == 40 - len(groups)
    told = f"{len(without)} no_content ({cut} at the token limit)"
    for shown in (done.stdout, bench("show", tmp_path / "run").stdout):
        flat = " ".join(shown.split())
        assert told in flat
        assert f"{len(groups)} questions left out for failed, missing or no_content replies" in flat
    assert "no_content" in done.stderr  # progress
    kept = json.loads((tmp_path / "run/outcomes.json").read_text())["tasks"][TASK]
    assert kept["status"][0].count("c") == len(without)

    # Nothing is asked twice, and other readers leave the same replies out.
    asked = len(thinker.bodies)
    assert run(thinker, tmp_path / "run").returncode == 0
    assert len(thinker.bodies) == asked
    audit = json.loads(bench("audit", "reading", tmp_path / "run", "--format", "json").stdout)
    rows = next(iter(audit.values())) if isinstance(audit, dict) else audit
    assert all(row["status"]["no_content"] == len(without) for row in _rows(rows))

    # A journal with reasoning is replayed with it.
    replayed = tmp_path / "replayed"
    done = bench(
        *("run", "--tasks", "scenes", "--engine", "replay", "--limit", "40", "--out", replayed),
        *("--replies", tmp_path / "run/journal/ssl4rl_scenes.jsonl"),
    )
    assert done.returncode == 0, done.stderr
    again = json.loads((replayed / "result.json").read_text())["tasks"][TASK]
    assert {k: again[k] for k in ("status", "aggregates", "n_no_content_cut")} == {
        k: task[k] for k in ("status", "aggregates", "n_no_content_cut")
    }

    page = tmp_path / "page.html"
    done = bench("report", tmp_path / "run", replayed, "--out", page, "--allow", "partial")
    assert done.returncode == 0, done.stderr
    assert told in page.read_text("utf-8")


def _rows(found: Any) -> list[dict[str, Any]]:
    """The readers' rows wherever they stand in the output."""
    if isinstance(found, list):
        return [row for item in found for row in _rows(item)]
    if isinstance(found, dict):
        return [found] if "status" in found else [row for item in found.values() for row in _rows(item)]
    return []
