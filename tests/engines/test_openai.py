"""The engine for OpenAI-compatible servers, against a real server on loopback that misbehaves on command."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_stub import Stub, echo, events, garbage, hang_up, piece, refuse, reply, wait_for
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import EngineError, UsageError
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    Engine,
    ImagePart,
    Message,
    Request,
    Sample,
    Sampling,
    TextPart,
    VideoPart,
)
from ssl4rl_bench.engines import create
from ssl4rl_bench.engines import openai_wire as wire
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.engines.openai import OpenAIEngine, Retry
from ssl4rl_bench.engines.openai_servers import parse_base_url

FAST = Retry(attempts=4, base=0.01, cap=0.05, retry_after_cap=0.3, connect_timeout=5, timeout=20)
GREEDY = Sampling(max_tokens=8)
Make = Callable[..., OpenAIEngine]


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.stop()


@pytest.fixture
def other() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.stop()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made: list[OpenAIEngine] = []

    def engine(
        *stubs: Stub, retry: Retry = FAST, model: Model | None = None, **options: object
    ) -> OpenAIEngine:
        urls = tuple(stub.url for stub in stubs)
        made.append(OpenAIEngine(model, EngineOptions(**{"base_urls": urls, **options}), retry))  # type: ignore[arg-type]  # options by name
        return made[-1]

    yield engine
    for one in made:
        one.close()


def request(i: int = 0, *parts: TextPart | ImagePart | VideoPart, seed: int = 7) -> Request:
    messages = (Message("user", parts or (TextPart(f"question {i}"),)),)
    return Request(Sample(str(i), str(i), messages, "", {}, Categories("", "", "")), seed=seed)


def ask(
    engine: OpenAIEngine, *parts: TextPart | ImagePart | VideoPart, sampling: Sampling = GREEDY
) -> Completion:
    ((_, completion),) = engine.run([request(0, *parts)], sampling)
    return completion


def test_a_reply_keeps_its_text_finish_reason_and_usage(stub: Stub, make: Make) -> None:
    stub.script.extend([reply("<answer>B</answer>"), reply("cut", "length")])
    engine = make(stub)
    first, second = ask(engine), ask(engine)
    assert (first.text, first.finish_reason, first.error) == ("<answer>B</answer>", "stop", None)
    assert (first.n_prompt_tokens, first.n_completion_tokens) == (11, 3)
    assert first.latency_s > 0
    assert second.finish_reason == "length"


def test_it_is_the_engine_that_create_makes(stub: Stub) -> None:
    engine = create("openai", None, EngineOptions(base_urls=(stub.url,)))
    assert isinstance(engine, Engine) and isinstance(engine, OpenAIEngine)
    assert (engine.name, engine.version) == ("openai", "vllm 0.31.0")
    engine.close()


def test_images_go_as_the_bytes_they_are_between_the_texts(stub: Stub, make: Make) -> None:
    red, blue = (images.from_pil(Image.new("RGB", (30, 20), c), "WEBP") for c in ("red", "blue"))
    ask(make(stub), ImagePart(red), TextPart("between"), ImagePart(blue))
    content = stub.bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text", "image_url"]
    for part, image in ((content[0], red), (content[2], blue)):
        prefix, _, data = part["image_url"]["url"].partition(",")
        assert prefix == "data:image/webp;base64"
        assert base64.b64decode(data) == image.data


def test_text_alone_goes_as_a_string(stub: Stub, make: Make) -> None:
    ask(make(stub), TextPart("one "), TextPart("two"))
    assert stub.bodies[0]["messages"] == [{"role": "user", "content": "one two"}]


def test_a_vllm_server_is_told_neutral_sampling_so_that_the_generation_config_has_no_say(
    stub: Stub, other: Stub, make: Make
) -> None:
    other.owner = "somebody"
    ask(make(stub))
    ask(make(other))
    neutral = {"top_k": 0, "repetition_penalty": 1.0, "min_p": 0.0}
    assert neutral.items() <= stub.bodies[0].items()
    assert not neutral.keys() & other.bodies[0].keys()


def test_the_seed_goes_along_only_where_tokens_are_drawn(stub: Stub, make: Make) -> None:
    engine = make(stub)
    ask(engine)
    ask(engine, sampling=Sampling(temperature=0.7, top_p=0.9, top_k=20, max_tokens=4))
    greedy, drawn = stub.bodies
    assert "seed" not in greedy and greedy["temperature"] == 0
    assert (drawn["seed"], drawn["temperature"], drawn["top_p"], drawn["top_k"]) == (7, 0.7, 0.9, 20)
    assert drawn["max_tokens"] == 4


def test_pixel_limits_go_to_the_processor_and_only_when_set(
    stub: Stub, other: Stub, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    other.owner = "somebody"
    with caplog.at_level(logging.WARNING):
        ask(make(stub))
        ask(make(stub, min_pixels=3136, max_pixels=50176))
    assert "mm_processor_kwargs" not in stub.bodies[0] and not caplog.records
    assert stub.bodies[1]["mm_processor_kwargs"] == {"min_pixels": 3136, "max_pixels": 50176}
    ask(make(stub, max_pixels=100_000))  # one alone would be ignored without a word
    assert stub.bodies[2]["mm_processor_kwargs"] == {"min_pixels": 3136, "max_pixels": 100_000}
    ask(make(other, max_pixels=50176))
    assert "may ignore the pixel limits" in caplog.text


def test_a_video_goes_as_frames_in_the_form_that_the_server_knows(
    stub: Stub, other: Stub, make: Make
) -> None:
    other.owner = "somebody"
    frames = tuple(images.from_pil(Image.new("RGB", (28, 28), c)) for c in ("red", "blue"))
    for server in (stub, other):
        ask(make(server), VideoPart(frames, 0.5), TextPart("what happens?"))
    video = stub.bodies[0]["messages"][0]["content"][0]["video_url"]["url"]
    assert [base64.b64decode(f) for f in video.removeprefix("data:video/jpeg;base64,").split(",")] == [
        frame.data for frame in frames
    ]
    assert stub.bodies[0]["media_io_kwargs"] == {"video": {"fps": 0.5, "num_frames": -1}}
    assert [part["type"] for part in other.bodies[0]["messages"][0]["content"]] == ["image_url"] * 2 + [
        "text"
    ]


@pytest.mark.parametrize(
    "fault",
    [*map(refuse, (500, 502, 503, 408, 409, 429)), garbage, hang_up, reply("half", "abort")],
)
def test_what_passes_is_sent_again(stub: Stub, make: Make, fault: object) -> None:
    stub.script.extend([fault, fault])  # type: ignore[list-item]  # parametrized
    assert ask(make(stub)).text == "ok"
    assert len(stub.bodies) == 3
    assert stub.bodies[0] == stub.bodies[2]


def test_what_does_not_pass_ends_as_an_error_after_the_last_attempt(stub: Stub, make: Make) -> None:
    stub.default = garbage
    completion = ask(make(stub))
    assert (completion.text, completion.finish_reason) == ("", "error")
    assert completion.error is not None and "not a chat completion" in completion.error
    assert "Bad Gateway" in completion.error and "4 attempts" in completion.error
    assert len(stub.bodies) == FAST.attempts


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_refusal_of_one_request_is_final_and_told(stub: Stub, make: Make, status: int) -> None:
    stub.script.append(refuse(status, "maximum context length is 1024 tokens"))
    done = list(make(stub, concurrency=1).run([request(0), request(1)], GREEDY))
    errors = [completion.error for _, completion in done]
    assert errors[1] is None
    assert errors[0] is not None
    assert f"HTTP {status}" in errors[0] and "maximum context length is 1024 tokens" in errors[0]
    assert len(stub.bodies) == 2


def test_a_withheld_reply_is_an_error_and_a_refusal_in_words_is_a_reply(stub: Stub, make: Make) -> None:
    stub.script.extend([reply("x", "content_filter"), reply(None, refusal="I cannot help with that.")])
    engine = make(stub)
    withheld, refused = ask(engine), ask(engine)
    assert withheld.finish_reason == "error" and "content filter" in str(withheld.error)
    assert (refused.finish_reason, refused.text) == ("stop", "I cannot help with that.")


@pytest.mark.parametrize(
    ("status", "message", "about"),
    [
        (401, "no", "OPENAI_API_KEY"),
        (404, "no", "unknown model"),
        (400, f"Per-request mm_processor_kwargs are disabled, use {wire.UNTRUSTED}", "are disabled"),
    ],
)
def test_what_would_refuse_every_request_stops_the_run(
    stub: Stub, make: Make, status: int, message: str, about: str
) -> None:
    stub.default = refuse(status, message)
    with pytest.raises(EngineError, match=about):
        list(make(stub).run((request(i) for i in itertools.count()), GREEDY))
    assert len(stub.bodies) <= 32


def test_the_key_comes_from_the_environment_and_never_comes_out(
    stub: Stub, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make(stub)
    ask(engine)
    assert set(stub.authorizations) == {None}
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    stub.authorizations.clear()
    stub.script.append(refuse(400, "bad key sk-very-secret"))
    with caplog.at_level(logging.DEBUG):
        completion = ask(OpenAIEngine(None, EngineOptions(base_urls=(stub.url,)), FAST))
    assert stub.authorizations[0] == "Bearer sk-very-secret"
    assert completion.error is not None and "bad key ***" in completion.error
    assert "very-secret" not in completion.error + caplog.text


def test_retry_after_in_seconds_is_waited_for(stub: Stub, make: Make) -> None:
    stub.script.append(refuse(429, Retry_After="0.2"))
    assert ask(make(stub)).text == "ok"
    assert stub.times[1] - stub.times[0] >= 0.2


@pytest.mark.slow
def test_retry_after_holds_back_the_other_requests_too_and_is_capped(stub: Stub, make: Make) -> None:
    stub.script.append(refuse(503, Retry_After="86400"))
    done = list(make(stub, concurrency=1).run([request(i) for i in range(3)], GREEDY))
    assert [completion.text for _, completion in done] == ["ok"] * 3
    assert stub.times[1] - stub.times[0] >= FAST.retry_after_cap


def test_retry_after_reads_seconds_and_dates() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    later = format_datetime(datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC), usegmt=True)
    assert wire.parse_retry_after("12") == 12
    assert wire.parse_retry_after(later, now.timestamp()) == 30
    assert wire.parse_retry_after(later, now.timestamp() + 99) == 0
    assert [wire.parse_retry_after(text) for text in (None, "", "soon", "nan", "inf", "-3")] == [0] * 6


@pytest.mark.slow
def test_a_dead_server_costs_nothing_where_another_lives(stub: Stub, other: Stub, make: Make) -> None:
    other.stop()
    done = list(make(stub, other).run([request(i) for i in range(20)], GREEDY))
    assert len(done) == 20 and all(completion.error is None for _, completion in done)
    assert len(stub.bodies) == 20


def test_a_server_that_dies_in_the_run_is_put_aside_and_used_again_when_it_is_back(
    stub: Stub, other: Stub, make: Make
) -> None:
    engine = make(stub, other, concurrency=2)
    both = list(engine.run([request(i) for i in range(8)], GREEDY))
    other.stop()
    alone = list(engine.run([request(i) for i in range(8)], GREEDY))
    revived = Stub(other.port)
    try:
        source = (request(i) for i in itertools.takewhile(lambda _: not revived.bodies, itertools.count()))
        after = list(engine.run(source, GREEDY))
    finally:
        revived.stop()
    assert all(completion.error is None for _, completion in both + alone + after)
    assert other.bodies and stub.bodies and revived.bodies


def test_a_request_that_finds_nobody_is_an_error_and_the_next_may_be_answered(stub: Stub, make: Make) -> None:
    engine = make(stub)
    ask(engine)
    stub.stop()
    completion = ask(engine)
    assert completion.error is not None and "connection refused" in completion.error
    revived = Stub(stub.port)
    assert ask(engine).text == "ok"
    revived.stop()


def test_a_run_stops_when_no_server_answers_any_more(stub: Stub, make: Make) -> None:
    engine = make(stub, concurrency=2)
    ask(engine)
    stub.stop()
    answered = 0
    with pytest.raises(EngineError, match="no server responds any more"):
        for _, completion in engine.run((request(i) for i in itertools.count()), GREEDY):
            assert completion.finish_reason == "error"
            answered += 1
    assert answered <= 4


def test_no_server_at_all_is_one_sentence_with_the_fix(stub: Stub, make: Make) -> None:
    stub.stop()
    with pytest.raises(EngineError, match=r"no server answers: http://127.*connection refused.*vllm serve"):
        _ = make(stub).version


@pytest.mark.slow
def test_an_attempt_that_takes_too_long_is_given_up(stub: Stub, make: Make) -> None:
    never = threading.Event()
    stub.default = wait_for(never, reply("late"))
    completion = ask(make(stub, retry=Retry(attempts=2, base=0.01, cap=5, timeout=0.2)))
    assert completion.error is not None and "no reply within 0.2 s" in completion.error
    assert len(stub.bodies) == 2
    never.set()


def test_requests_are_pulled_no_more_than_concurrency_ahead(stub: Stub, make: Make) -> None:
    pulled = 0

    def source() -> Iterator[Request]:
        nonlocal pulled
        for i in range(40):
            pulled += 1
            yield request(i)

    stub.default = echo
    seen = set()
    for n, (asked, completion) in enumerate(make(stub, concurrency=4).run(source(), GREEDY)):
        assert pulled - n <= 4
        assert completion.text == f"question {asked.sample.id}"
        seen.add(asked.sample.id)
    assert len(seen) == 40


def test_when_requests_end_early_what_is_in_flight_is_still_answered(stub: Stub, make: Make) -> None:
    stopped = threading.Event()
    pulled = []

    def source() -> Iterator[Request]:
        for i in itertools.takewhile(lambda _: not stopped.is_set(), itertools.count()):
            pulled.append(i)
            yield request(i)

    done = []
    for asked, completion in make(stub, concurrency=8).run(source(), GREEDY):
        stopped.set()
        assert completion.error is None
        done.append(int(asked.sample.id))
    assert sorted(done) == pulled and len(pulled) == 8


def test_a_run_that_is_left_drops_what_is_in_flight(stub: Stub, make: Make) -> None:
    never = threading.Event()
    stub.script.append(reply("first"))
    stub.default = wait_for(never, reply("late"))
    engine = make(stub, concurrency=4)
    run = engine.run((request(i) for i in range(9)), GREEDY)
    assert next(iter(run))[1].text == "first"
    run.close()  # type: ignore[attr-defined]  # a generator
    engine.close()
    engine.close()
    never.set()
    assert len(stub.bodies) <= 4


def test_the_server_with_the_fewest_in_flight_is_asked(stub: Stub, other: Stub, make: Make) -> None:
    release = threading.Event()
    stub.default = wait_for(release, reply("slow"))
    other.default = reply("quick")
    done = []
    for _, completion in make(stub, other, concurrency=4).run(map(request, range(40)), GREEDY):
        done.append(completion.error)
        if len(other.bodies) >= 30:
            release.set()
    assert done == [None] * 40
    assert len(stub.bodies) <= 8 + 4
    assert len(other.bodies) >= 28


def test_a_stream_comes_in_pieces(stub: Stub, make: Make) -> None:
    stub.script.append(events(piece(None), piece("Two "), piece("circles"), piece("", "stop"), "[DONE]"))
    assert list(make(stub).stream(request().sample.messages, GREEDY)) == ["Two ", "circles"]
    assert stub.bodies[0]["stream"] is True


@pytest.mark.parametrize(
    ("act", "about"),
    [
        (refuse(400, "too long"), "too long"),
        (events(piece("a"), '{"error": {"message": "engine died"}}'), "engine died"),
        (events("{oops"), "not an event"),
        (hang_up, "127.0.0.1"),
    ],
)
def test_a_stream_that_fails_says_why(stub: Stub, make: Make, act: object, about: str) -> None:
    stub.script.append(act)  # type: ignore[arg-type]  # parametrized
    with pytest.raises(EngineError, match=about):
        list(make(stub).stream(request().sample.messages, GREEDY))
    assert len(stub.bodies) == 1


def test_the_model_is_the_one_wanted_else_the_one_named_else_the_first(stub: Stub, make: Make) -> None:
    stub.models = ["base", "rotation", "jigsaw"]
    named = Model("jigsaw", Path("jigsaw"), "0" * 64, None)
    assert make(stub).served_model == "base"
    assert make(stub, served_model="rotation", model=named).served_model == "rotation"
    assert make(stub, model=named).served_model == "jigsaw"
    with pytest.raises(EngineError, match=r"does not serve 'rotaton' .*; did you mean rotation"):
        _ = make(stub, served_model="rotaton").version


def test_a_server_that_lists_nothing_needs_a_name(stub: Stub, make: Make) -> None:
    stub.models_status = 404
    with pytest.raises(EngineError):
        _ = make(stub).version
    engine = make(stub, served_model="mine")
    assert engine.version == "mine"
    assert ask(engine).text == "ok"
    assert stub.bodies[0]["model"] == "mine"
    stub.models_status, stub.models = 200, []
    with pytest.raises(EngineError, match="served_model=NAME"):
        _ = make(stub).version


def test_servers_of_two_versions_are_not_mixed(stub: Stub, other: Stub, make: Make) -> None:
    other.version = "0.30.0"
    with pytest.raises(EngineError, match=r"0\.30\.0.*0\.31\.0"):
        _ = make(stub, other).version


@pytest.mark.parametrize(
    "url", ["", "host:8000", "ftp://host/v1", "http://", "http://h:99999999/v1", "http://h/v1?x=1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        OpenAIEngine(None, EngineOptions(base_urls=(url,)))


def test_addresses_are_completed_and_shown_without_credentials(stub: Stub, make: Make) -> None:
    assert parse_base_url("http://h:1/") == ("http://h:1/v1", "http://h:1/v1")
    assert parse_base_url("https://u:pw@[::1]:8/api/v1/") == (
        "https://u:pw@[::1]:8/api/v1",
        "https://[::1]:8/api/v1",
    )
    stub.default = refuse(400, "no")
    engine = make(base_urls=(stub.url.replace("127.0.0.1", "user:hunter2@127.0.0.1"),))
    completion = ask(engine)
    assert completion.error is not None and "hunter2" not in completion.error
    assert "hunter2" not in repr(engine._servers)


def test_loopback_is_reached_in_spite_of_a_proxy(
    stub: Stub, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(make(stub)).text == "ok"


def test_half_a_surrogate_pair_cannot_get_into_a_file(stub: Stub, make: Make) -> None:
    stub.script.append(reply("a\ud83d b \ud83d\ude00"))
    assert ask(make(stub)).text == "a� b 😀"


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=[])))
def test_whole_characters_can_always_be_written_and_keep_what_can(text: str) -> None:
    whole = wire.whole_characters(text)
    assert whole == whole.encode("utf-8").decode("utf-8")
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert whole == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "finish_reason", "usage", "prompt_tokens", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON | st.binary(max_size=40))
def test_any_body_is_a_completion_or_a_failure_and_nothing_else(value: object) -> None:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    assert len(wire.error_text(raw)) <= 300
    try:
        completion = wire.read_completion(raw, 1.0)
    except wire.Failure:
        return
    assert isinstance(completion.text, str) and completion.error is None


@settings(deadline=None)
@given(st.integers(0, 2000))
def test_a_delay_is_within_full_jitter_whatever_the_attempt(attempt: int) -> None:
    retry = Retry()
    assert 0 <= retry.delay(attempt) <= min(retry.cap, retry.base * 2 ** min(attempt, 60))
