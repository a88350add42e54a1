"""The state of servers without a connection: which model is requested, and which server hangs."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ssl4rl_bench.core.errors import EngineError, MissingDependency, UsageError
from ssl4rl_bench.engines import openai_servers
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.openai import OpenAIEngine
from ssl4rl_bench.engines.openai_servers import Retry, Servers
from ssl4rl_bench.engines.openai_wire import Failure, Identity


def servers(n: int, key: str = "") -> Servers:
    urls = [f"http://host:{8000 + number}" for number in range(n)]
    made = Servers(urls, Retry(silence=0.0), key=key, wanted=None, preferred=None, limits_pixels=False)
    for server in made.all:
        server.identity = Identity("qwen", "vllm 0.31.0", True)
    return made


def test_a_server_hangs_after_two_silent_requests_and_is_given_up_after_a_third() -> None:
    made, failure = servers(1), Failure("no reply within 600 s", silent=True)
    (server,) = made.all
    made.count_silence(server, failure, began=0.0)
    assert server.hung_at is None and made.free() == [server]
    made.count_silence(server, failure, began=0.0)
    assert server.hung_at is not None and server.identity is None and made.free() == []
    made.count_silence(server, failure, began=0.0)
    assert not server.given_up, "that request was sent before the server was found to hang"
    with pytest.raises(EngineError) as caught:
        made.count_silence(server, failure, began=float("inf"))
    assert str(caught.value) == (
        "http://host:8000/v1: no reply within 600 s, 4 requests in a row: it hangs, or is too slow for "
        "--set timeout=SECONDS; check that it responds, then run the same command again"
    )
    made.replied(server)
    assert (server.n_silent, server.hung_at, server.given_up) == (0, None, False)


def test_one_server_that_hangs_does_not_end_a_run_of_two() -> None:
    made, failure = servers(2), Failure("no reply", silent=True)
    for began in (0.0, 0.0, float("inf")):
        made.count_silence(made.all[0], failure, began)
    assert [server.given_up for server in made.all] == [True, False]


def test_a_key_in_a_server_s_words_is_hidden() -> None:
    made = servers(1, key="sk-secret")
    assert made.message(made.all[0], Failure("bad key sk-secret")) == "http://host:8000/v1: bad key ***"


# --- the model to request


@pytest.mark.parametrize(
    ("wanted", "preferred", "listed", "model"),
    [
        ("b", None, ("a", "b"), "b"),
        ("b", None, (), "b"),
        (None, "b", ("a", "b"), "b"),
        (None, "c", ("a", "b"), "a"),
        (None, None, ("a", "b"), "a"),
        ("c", "a", ("a", "b"), "http://host/v1 does not serve 'c' (it serves a, b)"),
        (
            "qwen3",
            None,
            ("qwen2",),
            "http://host/v1 does not serve 'qwen3' (it serves qwen2); did you mean qwen2?",
        ),
        (
            None,
            "a",
            (),
            "http://host/v1 does not say which models it serves: give one with --set served_model=NAME",
        ),
    ],
)
def test_the_model_is_the_wanted_one_else_the_preferred_else_the_first(
    wanted: str | None, preferred: str | None, listed: tuple[str, ...], model: str
) -> None:
    made = Servers((), Retry(), key="", wanted=wanted, preferred=preferred, limits_pixels=False)
    try:
        chosen = made._choose(dict.fromkeys(listed, "vllm"), "http://host/v1")
    except EngineError as error:
        chosen = str(error)
    assert chosen == model


@pytest.mark.parametrize("raw", [b"", b"[]", b"<html>", b'{"data": [1]}', b'{"data": [{"owned_by": "x"}]}'])
def test_a_list_of_models_that_cannot_be_read_is_empty(raw: bytes) -> None:
    assert openai_servers._model_cards(raw) == {}
    assert openai_servers._vllm_version(raw) == "vllm (unknown version)"


def test_servers_must_run_the_same() -> None:
    made = servers(3)
    made.all[1].identity = None
    made.check_agreement()
    made.all[2].identity = Identity("qwen", "vllm 0.32.0", True)
    with pytest.raises(EngineError) as caught:
        made.check_agreement()
    assert str(caught.value) == (
        "http://host:8002/v1 runs qwen on vllm 0.32.0, another server qwen on vllm 0.31.0: "
        "one run needs one model and one version"
    )


def test_what_the_engine_lacks_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(error: type[Exception], **options: Any) -> str:
        with pytest.raises(error) as caught:
            OpenAIEngine(None, EngineOptions(**options))
        return str(caught.value)

    url = ("http://127.0.0.1:8000",)
    assert told(UsageError) == "engine openai needs a server: --base-url http://127.0.0.1:8000/v1"
    assert (
        told(UsageError, base_urls=url, min_pixels=9, max_pixels=4)
        == "min_pixels (9) is above max_pixels (4)"
    )
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert told(MissingDependency, base_urls=url).startswith("engine openai needs httpx: ")


@pytest.mark.parametrize("attempt", [0, 3, 1000])
def test_delays_grow_up_to_their_cap(attempt: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    assert Retry(base=1.0, cap=30.0).delay(attempt) == min(30.0, 2.0**attempt)
