"""A server on loopback that implements the OpenAI API with the faults of real servers and gateways.

Each entry of `FAULTS` is a way to answer a chat completion, and each entry of `STREAM_FAULTS` a way to
answer one that is streamed. A fault writes raw bytes, without a web framework between it and the client:

    with FaultyServer("byte drip", every=3) as server:   # every third request; every=1: all; every=0: none
        ...                                              # server.url is the --base-url
        server.heal()                                    # no faults from now on
    assert server.hits and server.answered

`models` makes the list of models fail in the same way: a name in `FAULTS`, or "" for a valid list.
A fault ends when its client hangs up or the server stops, and after `LONGEST_S` at the latest.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

LONGEST_S = 120.0
"""Seconds after which a fault without an end is stopped."""
TEXT = "<answer>A</answer>"
"""The server's reply without a fault."""


class Connection:
    """A client's connection during a request."""

    def __init__(self, sock: socket.socket, stopped: threading.Event, number: int) -> None:
        self.sock, self.stopped, self.number = sock, stopped, number
        self._until = time.monotonic() + LONGEST_S

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def lasts(self) -> bool:
        """Whether a fault without an end should continue."""
        return not self.stopped.is_set() and time.monotonic() < self._until

    def pause(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def hang(self) -> None:
        """Sends nothing until the client hangs up."""
        self.sock.settimeout(0.2)
        while self.lasts():
            with contextlib.suppress(TimeoutError):
                if not self.sock.recv(4096):
                    return

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def head(self, status: str = "200 OK", *headers: str, kind: str = "application/json") -> None:
        self.send("\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers, "", ""]).encode())

    def body(
        self, data: bytes, status: str = "200 OK", *headers: str, kind: str = "application/json"
    ) -> None:
        self.head(status, f"Content-Length: {len(data)}", *headers, kind=kind)
        self.send(data)

    def json(self, value: Any, status: str = "200 OK", *headers: str) -> None:
        self.body(json.dumps(value).encode(), status, *headers)


Fault = Callable[[Connection], None]


def completion(content: Any = TEXT, **changes: Any) -> dict[str, Any]:
    """Returns a chat completion; `usage`, `finish_reason` and further fields of the message may be given."""
    usage = changes.pop("usage", {"prompt_tokens": 11, "completion_tokens": 3})
    reason = changes.pop("finish_reason", "stop")
    message = {"role": "assistant", "content": content, **changes}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}


def well(c: Connection) -> None:
    c.json(completion())


def saying(value: Any, status: str = "200 OK", *headers: str) -> Fault:
    return lambda c: c.json(value, status, *headers)


def raw(data: bytes, status: str = "200 OK", *headers: str, kind: str = "application/json") -> Fault:
    return lambda c: c.body(data, status, *headers, kind=kind)


def refusing(status: str, *headers: str) -> Fault:
    return saying({"error": {"message": f"refused: {status}"}}, status, *headers)


def slow_headers(c: Connection) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: " + b"x" * 10**6:
        if not c.lasts():
            return
        c.send(bytes([byte]))
        c.pause(0.05)


def header_flood(c: Connection) -> None:
    c.send(b"HTTP/1.1 200 OK\r\n")
    for i in range(10**7):
        if not c.lasts():
            return
        c.send(b"X-%d: %s\r\n" % (i, b"y" * 900))


def byte_drip(c: Connection) -> None:
    c.head("200 OK", "Content-Length: 100000")
    while c.lasts():
        c.send(b" ")
        c.pause(0.05)


def endless_body(c: Connection) -> None:
    c.head("200 OK", "Transfer-Encoding: chunked")
    while c.lasts():
        c.send(b"10000\r\n" + b" " * 65536 + b"\r\n")


def reset_in_body(c: Connection) -> None:
    c.head("200 OK", "Content-Length: 1000")
    c.send(b'{"choices": [')
    c.reset()


def cut_chunk(c: Connection) -> None:
    c.head("200 OK", "Transfer-Encoding: chunked")
    c.send(b'40\r\n{"choices": [')


@functools.cache
def bomb() -> bytes:
    """Returns 200 kB that decompress to 200 MB: one compressed megabyte, 200 times in one stream."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = deflate.compress(b" " * 1_000_000) + deflate.flush(zlib.Z_FULL_FLUSH)
    size = 200_000_000
    tail = deflate.flush() + struct.pack("<II", zlib.crc32(b" " * size), size)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + megabyte * 200 + tail


def gzip_bomb(c: Connection) -> None:
    c.body(bomb(), "200 OK", "Content-Encoding: gzip")


def compressed(c: Connection) -> None:
    c.body(gzip.compress(json.dumps(completion()).encode()), "200 OK", "Content-Encoding: gzip")


def usage(text: str) -> Fault:
    """Returns a valid completion in which the token counts are `text`."""
    data = json.dumps(completion(usage={"prompt_tokens": "N", "completion_tokens": "N"}))
    return raw(data.replace('"N"', text).encode())


FAULTS: dict[str, Fault] = {
    # Not HTTP, or not in time
    "hang": Connection.hang,
    "slow headers": slow_headers,
    "header flood": header_flood,
    "byte drip": byte_drip,
    "endless body": endless_body,
    "closed at once": lambda c: None,
    "reset at once": Connection.reset,
    "reset in the body": reset_in_body,
    "cut chunk": cut_chunk,
    "cut body": lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
    "no HTTP": lambda c: c.send(b"\x00\x01SSH-2.0-OpenSSH\r\n"),
    "gzip bomb": gzip_bomb,
    "gzip that is none": raw(b"plain", "200 OK", "Content-Encoding: gzip"),
    "unknown encoding": raw(b"plain", "200 OK", "Content-Encoding: rot13"),
    # Refusals
    "401": refusing("401 Unauthorized"),
    "403": refusing("403 Forbidden"),
    "404": refusing("404 Not Found"),
    "413": refusing("413 Content Too Large"),
    "429 seconds": refusing("429 Too Many Requests", "Retry-After: 1"),
    "429 date": lambda c: refusing(
        "429 Slow Down", f"Retry-After: {formatdate(time.time() + 1, usegmt=True)}"
    )(c),
    "429 absurd": refusing("429 Too Many Requests", "Retry-After: 99999999999999999999"),
    "429 nonsense": refusing("429 Too Many Requests", "Retry-After: 1e999"),
    "500": refusing("500 Internal Server Error"),
    "503": refusing("503 Service Unavailable"),
    "redirect": raw(b"", "302 Found", "Location: /v1/chat/completions"),
    "error page": raw(b"<html><h1>502</h1></html>", "502 Bad Gateway", kind="text/html"),
    # Status 200 without a completion
    "page": raw(b"<!doctype html><title>Log in</title>", kind="text/html"),
    "invalid JSON": raw(b'{"choices": [{]}'),
    "empty": raw(b""),
    "invalid UTF-8": raw(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
    "deep nesting": raw(b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "huge number": raw(b'{"choices": [' + b"9" * 100_000 + b"]}"),
    "no choices": saying({"choices": [], "usage": {}}),
    "a list": saying([1, 2]),
    "null message": saying({"choices": [{"message": None}]}),
    "error object": saying({"error": {"message": "the model is overloaded", "code": 500}}),
    "error text": saying({"error": "the model is overloaded"}),
    "content filter": saying(completion("x", finish_reason="content_filter")),
    "aborted": saying(completion("half", finish_reason="abort")),
    "content of numbers": saying(completion([1, 2])),
    # Unusual, but a valid completion
    "gzip": compressed,
    "usage 1e400": usage("1e400"),
    "usage Infinity": usage("Infinity"),
    "usage NaN": usage("NaN"),
    "usage float": usage("12.5"),
    "usage negative": usage("-3"),
    "usage huge": usage("9" * 300),
    "usage text": usage('"many"'),
    "usage bool": usage("true"),
    "usage null": usage("null"),
    "usage nested": usage('{"total": [1, {"a": 2}]}'),
    "usage list": saying(completion(usage=[1, 2])),
    "usage missing": saying({k: v for k, v in completion().items() if k != "usage"}),
    "content in parts": saying(
        completion([{"type": "text", "text": "<answer>A"}, {"type": "text", "text": "</answer>"}])
    ),
    "content null": saying(completion(None)),
    "reasoning alone": saying(completion(None, reasoning_content="hm", finish_reason="length")),
    "finish_reason unknown": saying(completion(finish_reason="banana")),
    "finish_reason odd": saying(completion(finish_reason={"a": [1]})),
    "finish_reason twice": raw(
        json.dumps(completion())
        .replace('"finish_reason"', '"finish_reason": "length", "finish_reason"')
        .encode()
    ),
    "error null": saying(completion() | {"error": None}),
    "half a surrogate": raw(json.dumps(completion()).replace("<answer>", "\\ud83d<answer>").encode()),
}
"""The server's actions on a request, by name of the fault."""

REPLIES = frozenset(name for name in list(FAULTS)[list(FAULTS).index("gzip") :])
"""Names of the faults after which the request still has a reply."""


def event(text: str | None, finish_reason: str | None = None) -> str:
    """Returns an event of a streamed chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice]})


def events(*payloads: str, cut: bytes = b"") -> Fault:
    """Returns a fault that sends these events and then closes the connection."""

    def act(c: Connection) -> None:
        c.head("200 OK", "Connection: close", kind="text/event-stream")
        for payload in payloads:
            c.send(f"data: {payload}\n\n".encode())
        c.send(cut)

    return act


def endless_comments(c: Connection) -> None:
    c.head("200 OK", "Connection: close", kind="text/event-stream")
    while c.lasts():
        c.send(b": still here\n\n")
        c.pause(0.05)


def endless_line(c: Connection) -> None:
    c.head("200 OK", "Connection: close", kind="text/event-stream")
    c.send(b"data: ")
    while c.lasts():
        c.send(b"x" * 65536)


STREAM_FAULTS: dict[str, Fault] = {
    "no end": events(event("half a re")),
    "nothing": events(),
    "role alone": events(event(None)),
    "cut in an event": events(event("half"), cut=b'data: {"choices": [{"del'),
    "error event": events(event("half"), json.dumps({"error": {"message": "the engine died"}})),
    "error object": FAULTS["error object"],
    "no JSON": events(event("half"), "{oops"),
    "aborted": events(event("half", "abort"), "[DONE]"),
    "page": FAULTS["page"],
    "503": FAULTS["503"],
    "reset": FAULTS["reset in the body"],
    "hang": Connection.hang,
    "hang in the middle": lambda c: (events(event("half"))(c), c.hang())[0],
    "endless comments": endless_comments,
    "endless line": endless_line,
    "invalid UTF-8": events(event("half"), cut=b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'),
    "deep nesting": events("[" * 100_000),
    "gzip bomb": gzip_bomb,
}
"""Streams that do not contain a complete reply, by name."""


class FaultyServer:
    """The server that the module's docstring describes.

    Args:
        fault: a name in `FAULTS` or `STREAM_FAULTS`, or "".
        every: every n-th request meets the fault; 0 for none.
        once: whether a request meets the fault at most once, so that a retry is answered.
        models: the fault of GET /v1/models.
    """

    def __init__(
        self, fault: str = "", *, every: int = 1, once: bool = False, models: str = "", stream: bool = False
    ) -> None:
        self._fault = (STREAM_FAULTS if stream else FAULTS).get(fault, well)
        assert not fault or self._fault is not well, fault
        self._models = FAULTS[models] if models else None
        self._every, self._once = every if fault else 0, once
        self._closes = fault not in REPLIES
        self._seen: set[bytes] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.asked = self.hits = self.answered = 0
        """The number of requested completions, of those that met the fault, and of those answered
        correctly."""
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        """Headers (names in lower case) and body of each requested completion."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FaultyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def heal(self) -> None:
        """Ends the faults: all later requests are answered."""
        self._every, self._models = 0, None

    def stop(self) -> None:
        """Breaks off all connections, and checks that nothing goes on to use the processor."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a connection is still being served"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        """Answers the requests of a connection, which is closed after a fault."""
        with contextlib.suppress(OSError, ValueError), sock:
            while request := _read(sock):
                path, headers, body = request
                connection = Connection(sock, self._stopped, self.asked)
                if path == "/v1/chat/completions":
                    with self._lock:
                        self.asked += 1
                        self.requests.append((headers, json.loads(body)))
                        faulty = bool(self._every) and (self.asked - 1) % self._every == 0
                        if faulty and self._once:
                            faulty = body not in self._seen
                            self._seen.add(body)
                        self.hits += faulty
                        self.answered += not faulty
                    (self._fault if faulty else well)(connection)
                elif path == "/v1/models" and self._models is not None:
                    faulty = True
                    self._models(connection)
                else:
                    faulty = False
                    cards = {"data": [{"id": "faulty-vl", "owned_by": "tests"}]}
                    connection.json(cards if path == "/v1/models" else {})
                if faulty and self._closes:
                    return


def _read(sock: socket.socket) -> tuple[str, dict[str, str], bytes] | None:
    """Reads the path, headers and body of the next request."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        more = sock.recv(65536)
        if not more:
            return None
        body += more
    return first.split(" ")[1], headers, body
