"""An OpenAI-compatible server on loopback whose faults are scripted request by request."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        stub = self.server.stub
        stub.authorizations.append(self.headers.get("Authorization"))
        if self.path == "/v1/models" and stub.models_status == 200:
            cards = [{"id": name, "owned_by": stub.owner} for name in stub.models]
            send_json(self, 200, {"object": "list", "data": cards})
        elif self.path == "/version" and stub.owner == "vllm":
            send_json(self, 200, {"version": stub.version})
        else:
            send_json(self, stub.models_status if self.path == "/v1/models" else 404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        stub = self.server.stub
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with stub.lock:
            stub.bodies.append(body)
            stub.times.append(time.monotonic())
            act = stub.script.popleft() if stub.script else stub.default
        self.body = body
        act(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stub: Stub

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.stub.lock:
            self.stub.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores errors, because the tests have clients that hang up."""


class Stub:
    """A server that answers with the actions in `script`, and then with `default`."""

    def __init__(self, port: int = 0) -> None:
        self.models = ["stub-vl"]
        self.models_status = 200
        self.owner = "vllm"
        self.version = "0.31.0"
        self.script: deque[Act] = deque()
        self.default: Act = reply("ok")
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.authorizations: list[str | None] = []
        self.lock = threading.Lock()
        self.connections: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", port), Handler)
        self._server.stub = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def stop(self) -> None:
        """Breaks off all connections and refuses new ones."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def send_json(
    handler: Handler, status: int, value: Any, headers: dict[str, str] | None = None, raw: bytes | None = None
) -> None:
    data = json.dumps(value).encode() if raw is None else raw
    handler.send_response(status)
    for name, text in (headers or {}).items():
        handler.send_header(name, text)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def reply(text: str | None, finish_reason: str = "stop", **message: Any) -> Act:
    def act(handler: Handler) -> None:
        choice = {
            "message": {"role": "assistant", "content": text, **message},
            "finish_reason": finish_reason,
        }
        usage = {"prompt_tokens": 11, "completion_tokens": 3}
        send_json(handler, 200, {"choices": [choice], "usage": usage})

    return act


def echo(handler: Handler) -> None:
    """Answers with the text of the prompt."""
    reply(str(handler.body["messages"][-1]["content"]))(handler)


def refuse(status: int, message: str = "no", **headers: str) -> Act:
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda handler: send_json(handler, status, {"error": {"message": message}}, names)


def garbage(handler: Handler) -> None:
    send_json(handler, 200, None, raw=b"<html>502 Bad Gateway</html>")


def hang_up(handler: Handler) -> None:
    """Breaks off in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(2)


def wait_for(event: threading.Event, then: Act) -> Act:
    def act(handler: Handler) -> None:
        event.wait(30)
        then(handler)

    return act


def events(*payloads: str) -> Act:
    """Sends payloads unchanged as server-sent events, and then closes the connection."""

    def act(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for payload in payloads:
            handler.wfile.write(f"data: {payload}\n\n".encode())
            handler.wfile.flush()
        handler.close_connection = True

    return act


def piece(text: str | None, finish_reason: str | None = None) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish_reason}]})
