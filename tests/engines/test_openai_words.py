"""What the engine openai reads in responses, and the words for those that it cannot use; nothing is sent."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from ssl4rl_bench.engines import openai_http
from ssl4rl_bench.engines import openai_wire as wire
from ssl4rl_bench.engines.openai_wire import Failure

CAP = 120.0


def message(status: int, body: object, **headers: str) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return str(wire.refusal(status, headers, raw, CAP))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"error": {"message": "too long"}}, "HTTP 400: too long"),
        (400, {"error": "too long"}, "HTTP 400: too long"),
        (400, {"message": "too long"}, "HTTP 400: too long"),
        (400, {"error": {"code": 5}}, 'HTTP 400: {"code": 5}'),
        (422, {"detail": [{"msg": "no role"}]}, 'HTTP 422: [{"msg": "no role"}]'),
        (422, [1, 2], "HTTP 422: [1, 2]"),
        (500, b"<h1>Internal\n Server Error</h1>", "HTTP 500: <h1>Internal Server Error</h1>"),
        (500, b"", "HTTP 500: nothing"),
        (500, b"\xff", "HTTP 500: \ufffd"),
        (500, b"x" * 400, f"HTTP 500: {'x' * 297}..."),
        (
            401,
            {"error": {"message": "no key"}},
            "HTTP 401 (the API key in OPENAI_API_KEY is missing or wrong): no key",
        ),
        (404, {"detail": "Not Found"}, "HTTP 404 (unknown model or address): Not Found"),
        (
            400,
            {"error": {"message": "use 'max_completion_tokens'"}},
            "HTTP 400: use 'max_completion_tokens'; add --set tokens_field=max_completion_tokens",
        ),
    ],
)
def test_a_refusal_is_told_with_its_status_reason_and_fix(status: int, body: object, words: str) -> None:
    assert message(status, body) == words


def test_a_redirect_names_the_address_that_it_leads_to() -> None:
    told = "HTTP 307 (redirects are not followed: give the final address): "
    assert message(307, b"", location="https://host/v1") == f"{told}https://host/v1"
    assert message(307, b"") == f"{told}nowhere"


@pytest.mark.parametrize(
    ("status", "body", "passing", "fatal"),
    [
        (400, b"no", False, False),
        (403, b"no", False, False),
        (408, b"no", True, False),
        (409, b"no", True, False),
        (429, b"no", True, False),
        (500, b"no", True, False),
        (529, b"no", True, False),
        (301, b"no", False, True),
        (401, b"no", False, True),
        (404, b"no", False, True),
        (400, b"max_completion_tokens", False, True),
        (422, b"max_completion_tokens", False, False),
        (400, wire.UNTRUSTED.encode(), False, True),
    ],
)
def test_what_is_sent_again_and_what_ends_the_run(
    status: int, body: bytes, passing: bool, fatal: bool
) -> None:
    failure = wire.refusal(status, {}, body, CAP)
    assert (failure.passing, failure.fatal) == (passing, fatal)


def test_a_server_s_delay_is_capped() -> None:
    assert [
        wire.refusal(429, {"retry-after": text}, b"", CAP).retry_after for text in ("7", "900", "soon")
    ] == [
        7.0,
        CAP,
        0.0,
    ]


def completion(**choice: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "B"}, "finish_reason": "stop"} | choice]}).encode()


@pytest.mark.parametrize(
    ("raw", "words", "passing"),
    [
        (b'{"error": {"message": "overloaded"}}', "overloaded", False),
        (b"<html>502</html>", "the response is not a chat completion: <html>502</html>", True),
        (b"[]", "the response is not a chat completion: []", True),
        (b'{"choices": []}', 'the response is not a chat completion: {"choices": []}', True),
        (completion(finish_reason="content_filter"), "the server's content filter withheld the reply", False),
        (completion(finish_reason="abort"), "the server ended the reply early", True),
        (completion(finish_reason="error"), "the server ended the reply early", True),
    ],
)
def test_a_response_that_is_no_reply_says_why(raw: bytes, words: str, passing: bool) -> None:
    with pytest.raises(Failure) as caught:
        wire.read_completion(raw, 0.0)
    assert (str(caught.value), caught.value.passing, caught.value.fatal) == (words, passing, False)


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": None}, "", ""),
        ({"content": "B"}, "B", ""),
        ({"content": ["B", {"type": "text", "text": "C"}]}, "BC", ""),
        ({"content": [{"type": "output_text", "text": "B"}]}, "B", ""),
        ({"content": [{"type": "refusal", "refusal": "I cannot."}]}, "I cannot.", ""),
        ({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "B"}]}, "B", "Hm."),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, "B"]},
            "B",
            "Hm.",
        ),
        ({"content": "B", "reasoning_content": "Hm."}, "B", "Hm."),
        ({"content": "B", "reasoning": "Hm."}, "B", "Hm."),
        ({"content": "B", "reasoning": {"steps": ["é"]}}, "B", '{"steps": ["é"]}'),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", ""),
        ({"content": "B", "refusal": "ignored"}, "B", ""),
        ({"content": "", "refusal": 7}, "", ""),
    ],
)
def test_where_servers_put_text_and_reasoning(message: dict[str, Any], text: str, reasoning: str) -> None:
    read = wire.read_completion(completion(message=message), 0.0)
    assert (read.text, read.reasoning) == (text, reasoning)


@pytest.mark.parametrize("reason", ["length", "max_tokens"])
def test_a_reply_that_was_cut_says_so(reason: str) -> None:
    assert wire.read_completion(completion(finish_reason=reason), 0.0).finish_reason == "length"
    assert wire.read_completion(completion(finish_reason="tool_calls"), 0.0).finish_reason == "stop"


def read(*lines: str) -> str:
    """Returns the text of a stream, or the words of the failure after it."""
    pieces: list[str] = []
    try:
        pieces.extend(wire.read_events(lines))
    except Failure as failure:
        return "".join(pieces) + f" ! {failure}"
    return "".join(pieces)


def delta(finish_reason: str | None = None, **fields: object) -> str:
    return "data: " + json.dumps({"choices": [{"delta": fields, "finish_reason": finish_reason}]})


END = "data: [DONE]"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((delta(content="B"), delta(content="C"), END), "BC"),
        ((delta(content="B"), delta("stop")), "B"),
        (("", ": a comment", "event: message", "id: 1", "data:", delta(content="B"), END), "B"),
        ((delta(content="B"), END, "data: never read"), "B"),
        (('data: {"choices": [{"delta": null}]}', delta(content="B"), END), "B"),
        ((delta(content="B"),), "B ! the stream ended before the reply was complete"),
        ((), " ! the stream ended before the reply was complete"),
        ((delta(content="B"), 'data: {"error": {"message": "no"}}'), "B ! no"),
        (("data: <html>",), " ! not an event of a chat completion: <html>"),
        (('data: {"choices": 1}',), ' ! not an event of a chat completion: {"choices": 1}'),
        ((delta("content_filter"),), " ! the server's content filter withheld the reply"),
        ((completion().decode(),), "B"),
        (('{"error": "no"}',), " ! no"),
        (("<html>",), " ! the response is not a chat completion: <html>"),
    ],
)
def test_a_stream_gives_its_text_and_then_what_went_wrong(lines: tuple[str, ...], told: str) -> None:
    assert read(*lines) == told


@pytest.mark.parametrize(
    ("finish_reason", "why"),
    [("stop", ""), ("length", " before it hit the token limit; allow more with --max-tokens")],
)
def test_a_reply_of_reasoning_alone_is_told_in_a_stream_and_in_a_whole_response(
    finish_reason: str, why: str
) -> None:
    words = f" ! the model gave 3 characters of reasoning and no reply{why}"
    whole = {"content": None, "reasoning": "Hm."}
    assert read(completion(message=whole, finish_reason=finish_reason).decode()) == words
    assert read(delta(reasoning="Hm."), delta(content=" "), delta(finish_reason)) == f" {words}"


def test_a_broken_connection_has_the_system_s_reason() -> None:
    import httpx

    def of(error: Exception, cause: BaseException | None = None) -> Failure:
        error.__cause__ = cause
        return wire.broken(error)

    refused = ConnectionRefusedError(errno.ECONNREFUSED, "reworded")
    unknown = OSError(-2, "Name or service not known")
    for error, cause, words, unreached in (
        (httpx.ConnectError("all failed"), refused, "cannot connect (connection refused)", True),
        (httpx.ConnectError("x"), ExceptionGroup("", [refused]), "cannot connect (connection refused)", True),
        (httpx.ConnectError("x"), unknown, "cannot connect (name or service not known)", True),
        (httpx.ConnectTimeout(""), None, "cannot connect (timed out)", True),
        (httpx.ReadError(""), None, "the connection broke (ReadError)", False),
        (httpx.RemoteProtocolError("peer closed"), None, "the connection broke (peer closed)", False),
        (
            httpx.ReadError(""),
            OSError(errno.ECONNRESET, ""),
            "the connection broke (Connection reset by peer)",
            False,
        ),
    ):
        failure = of(error, cause)
        assert (str(failure), failure.passing, failure.unreached) == (words, True, unreached)


def test_a_model_is_shown_with_the_software_that_runs_it() -> None:
    assert str(wire.Identity("qwen", "vllm 0.31.0", True)) == "qwen on vllm 0.31.0"
    assert str(wire.Identity("qwen", "qwen", False)) == "qwen"


def decoded(encoding: str, *chunks: bytes, limit: int = 100) -> bytes:
    """Returns a response's body as the client reads it, in these pieces."""

    class Response:
        headers: ClassVar = {"content-encoding": encoding} if encoding else {}

        async def aiter_raw(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    async def read() -> bytes:
        return b"".join([piece async for piece in openai_http._decoded(Response(), limit)])

    return asyncio.run(read())


PACKED = gzip.compress(b"text " * 10, mtime=0)  # the bytes are in the names of tests


@pytest.mark.parametrize(
    ("encoding", "chunks"),
    [
        ("", (b"text " * 10,)),
        ("identity", (b"text ",) * 10),
        ("gzip", (PACKED,)),
        (" X-GZIP ", (PACKED[:20], PACKED[20:])),
        ("deflate", (zlib.compress(b"text " * 10),)),
    ],
)
def test_a_body_may_come_compressed_and_in_pieces(encoding: str, chunks: tuple[bytes, ...]) -> None:
    assert decoded(encoding, *chunks) == b"text " * 10


@pytest.mark.parametrize(
    ("encoding", "chunk", "limit", "words"),
    [
        ("br", b"x", 100, "the response is encoded as 'br', which was not requested"),
        ("gzip", b"text", 100, "the response is not gzip, although its header says so"),
        ("gzip", PACKED[:20], 100, "the connection broke (the response ends early)"),
        ("", b"x" * 101, 100, "a response of more than 100 bytes"),
        ("gzip", gzip.compress(bytes(10**6), mtime=0), 100, "a response of more than 100 bytes"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(encoding: str, chunk: bytes, limit: int, words: str) -> None:
    with pytest.raises(Failure) as caught:
        decoded(encoding, chunk, limit=limit)
    assert str(caught.value) == words


def test_a_line_that_is_no_text_says_so() -> None:
    assert openai_http._text(b"data: \xc3\xa9\r") == "data: é"
    with pytest.raises(Failure, match="the response is not UTF-8"):
        openai_http._text(b"\xff")
