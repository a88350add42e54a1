from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ssl4rl_bench.core.errors import DataError, EngineError, UsageError
from ssl4rl_bench.core.types import (
    Categories,
    Engine,
    Message,
    Request,
    Sample,
    SampleRecord,
    Sampling,
    TextPart,
)
from ssl4rl_bench.engines import create
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.engines.replay import ReplayEngine
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.recorded import read_replies

GREEDY = Sampling()


def request(number: int, repeat: int = 0, choices: str = "ABCD") -> Request:
    sample = Sample(
        id=str(number),
        group=str(number),
        messages=(Message("user", (TextPart(f"question {number}"),)),),
        target="ABCD"[number % 4],
        choices={letter: letter.lower() for letter in choices},
        categories=Categories("a", "b", "c"),
    )
    return Request(sample, repeat)


def mock(**changes: object) -> MockEngine:
    return MockEngine(None, replace(EngineOptions(), **changes))  # type: ignore[arg-type]  # names are checked


def texts(engine: Engine, n: int = 200) -> dict[str, str]:
    return {r.sample.id: c.text for r, c in engine.run(map(request, range(n)), GREEDY)}


def answer(text: str) -> str:
    assert text.startswith("<think>") and text.endswith("</answer>")
    return text.partition("<answer>")[2].removesuffix("</answer>")


def test_both_are_engines(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("")
    assert isinstance(create("mock", None, EngineOptions()), Engine)
    assert isinstance(create("replay", None, EngineOptions(), read_replies(tmp_path / "r")), Engine)


def test_gold_is_right_and_constant_is_constant() -> None:
    assert {id: answer(text) for id, text in texts(mock()).items()} == {
        str(i): "ABCD"[i % 4] for i in range(200)
    }
    assert {answer(text) for text in texts(mock(mock="constant:B")).values()} == {"B"}


def test_random_draws_from_the_choices_by_sample_repeat_and_seed() -> None:
    first = texts(mock(mock="random"))
    assert {answer(text) for text in first.values()} == set("ABCD")
    assert texts(mock(mock="random")) == first != texts(mock(mock="random", seed=1))
    repeats = [c.text for _, c in mock(mock="random").run([request(1, r) for r in range(50)], GREEDY)]
    assert len(set(repeats)) == 4
    few = mock(mock="random").run([request(i, choices="AB") for i in range(50)], GREEDY)
    assert {answer(completion.text) for _, completion in few} == {"A", "B"}


def test_faults_hit_a_share_of_samples_and_always_the_same() -> None:
    def failed(seed: int) -> set[str]:
        answers = list(mock(mock_faults=0.2, seed=seed).run(map(request, range(1000)), GREEDY))
        assert all((c.finish_reason == "error") == bool(c.error) == (not c.text) for _, c in answers)
        return {r.sample.id for r, c in answers if c.error}

    assert 150 < len(failed(0)) < 250
    assert failed(0) == failed(0) != failed(1)


@pytest.mark.parametrize(("latency", "ahead"), [(0.0, 1), (1e-5, 5)])
def test_requests_are_pulled_a_bounded_number_ahead(latency: float, ahead: int) -> None:
    pulled = 0

    def endless() -> Iterator[Request]:
        nonlocal pulled
        for number in itertools.count():
            pulled += 1
            yield request(number)

    answers = mock(mock_latency=latency, concurrency=5).run(endless(), GREEDY)
    for done in range(1, 40):
        next(answers)
        assert pulled <= done - 1 + ahead


def test_latency_reorders_but_loses_nothing() -> None:
    slow = [
        r.sample.id for r, _ in mock(mock_latency=1e-3, concurrency=16).run(map(request, range(64)), GREEDY)
    ]
    assert slow != sorted(slow, key=int) and sorted(slow, key=int) == [str(i) for i in range(64)]


def test_the_version_tells_behaviours_apart_but_not_faults() -> None:
    versions = [
        mock(mock=m, seed=s).version
        for m, s in [("gold", 0), ("random", 0), ("random", 1), ("constant:A", 0)]
    ]
    assert len(set(versions)) == 4
    assert mock(mock_faults=0.5, mock_latency=1.0, seed=3).version == mock().version


@pytest.mark.parametrize("name", ["golden", "constant", "constant:", "gold:A", "random:1", ""])
def test_an_unknown_behaviour_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no mock behaviour"):
        mock(mock=name)


def test_the_mock_streams_its_reply() -> None:
    pieces = list(mock(mock="constant:C").stream([], GREEDY))
    assert len(pieces) > 1 and answer("".join(pieces).strip()) == "C"


def replay(path: Path, *lines: object) -> ReplayEngine:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return ReplayEngine(read_replies(path))


def test_replies_are_found_by_id_and_repeat(tmp_path: Path) -> None:
    engine = replay(
        tmp_path / "r",
        {"id": "1", "text": "one", "finish_reason": "length", "n_completion_tokens": 9, "judge": "ignored"},
        "",
        {"id": 2, "text": "two\u2028\ud800"},
        {"id": 2, "text": "two\u2028\ud800"},
        {"id": "1", "text": "one again", "repeat": 1},
        {"id": "3", "text": "", "finish_reason": "error"},
    )
    asked = [request(1), request(1, 1), request(2), request(2, 1), request(3), request(4)]
    answers = [completion for _, completion in engine.run(asked, GREEDY)]
    assert [(c.text, c.finish_reason) for c in answers] == [
        ("one", "length"),
        ("one again", "stop"),
        ("two\u2028\ud800", "stop"),
        ("", "error"),
        ("", "error"),
        ("", "error"),
    ]
    assert answers[0].n_completion_tokens == 9
    assert answers[3].error == "no recorded reply for sample 2, repeat 1"
    assert answers[4].error == "recorded as an error"


def test_a_journal_can_be_replayed(tmp_path: Path) -> None:
    failed = SampleRecord("1", 0, "1", "k", "", "error", 0, 0, 0.1, "down")
    with Journal(tmp_path / "j") as journal:
        journal.append(failed)
        journal.append(replace(failed, id="2"))
        journal.append(replace(failed, text="reply", finish_reason="stop", error=None, n_prompt_tokens=5))
    engine = ReplayEngine(read_replies(tmp_path / "j"))
    (_, first), (_, second) = engine.run([request(1), request(2)], GREEDY)
    assert (first.text, first.n_prompt_tokens, first.error) == ("reply", 5, None)
    assert (second.text, second.error) == ("", "down")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"text": "x"}', 'no "id"'),
        ('{"id": "1"}', 'no "text"'),
        ('{"id": true, "text": "x"}', '"id" must be str or int'),
        ('{"id": "1", "text": null}', '"text" must be str'),
        ('{"id": "1", "text": "x", "repeat": "0"}', '"repeat" must be int'),
        ('{"id": "1", "text": "x", "finish_reason": "eos"}', "must be one of stop, length, error"),
        ('{"id": "1", "text": "x", "error": 5}', '"error" must be str or null'),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(DataError) as caught:
        replay(tmp_path / "replies.jsonl", {"id": "0", "text": "fine"}, line)
    assert f"{tmp_path / 'replies.jsonl'}, line 2: " in str(caught.value) and why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_replies_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="replies=FILE"):
        create("replay", None, EngineOptions())
    with pytest.raises(DataError, match="no such file or directory"):
        ReplayEngine(read_replies(tmp_path / "none"))


def test_another_file_is_another_version(tmp_path: Path) -> None:
    one, two = (
        replay(tmp_path / "a", {"id": "1", "text": "x"}),
        replay(tmp_path / "b", {"id": "1", "text": "y"}),
    )
    assert one.version != two.version == replay(tmp_path / "c", {"id": "1", "text": "y"}).version


def test_a_question_of_ones_own_has_no_recorded_reply(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        replay(tmp_path / "r").stream([], GREEDY)
