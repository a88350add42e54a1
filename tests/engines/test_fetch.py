"""Downloading an image that the user named, from a real server on loopback."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ssl4rl_bench.core.errors import BenchError, DataError, UsageError
from ssl4rl_bench.core.images import MAX_BYTES
from ssl4rl_bench.engines import fetch as module
from ssl4rl_bench.engines.fetch import fetch, shown_url

ODD_LENGTHS = {"/raised": "\u00b2", "/digits": "9" * 5000, "/word": "five", "/negative": "-1"}


class Handler(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path, _, target = self.path.partition("?to=")
        if path == "/redirect":
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path == "/large":
            self.send_response(200)
            self.end_headers()
            for _ in range(MAX_BYTES // 2**20 + 1):
                self.wfile.write(b"\0" * 2**20)
        elif path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x" * 10)
        elif path in ODD_LENGTHS:
            self.wfile.write(
                f"HTTP/1.0 200 OK\r\nContent-Length: {ODD_LENGTHS[path]}\r\n\r\nbytes".encode("latin-1")
            )
        else:
            status = 200 if path == "/image" else 404
            self.send_response(status)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"bytes")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hangs up on what is too large."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the list of paths that it was asked for."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[str] = []
    running = Server(("127.0.0.1", 0), type("Asked", (Handler,), {"asked": asked}))
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}", asked
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.mark.parametrize("path", ODD_LENGTHS)
def test_a_length_that_is_no_number_is_ignored(server: tuple[str, list[str]], path: str) -> None:
    assert fetch(server[0] + path) == b"bytes"


def test_http_on_this_machine_is_fetched(server: tuple[str, list[str]]) -> None:
    url, asked = server
    assert fetch(f"{url}/image") == b"bytes"
    assert fetch(url.replace("127.0.0.1", "localhost") + "/image") == b"bytes"
    assert asked == ["/image"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "http://10.0.0.1/a.png",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.png",
        "https://",
        "https:///a.png",
        "https://h:port/a.png",
        "http://localhost.example.com/a.png",
    ],
)
def test_other_schemes_and_hosts_are_refused_without_a_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(UsageError):
        fetch(url)


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/a.png",
        "http://example.com/a.png",
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://[::ffff:127.0.0.1]/a.png",
        "https://10.1.2.3/a.png",
        "https://192.168.0.1/a.png",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/a.png",
        "https://metadata.internal/",
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "https://user:pass@example.com/a.png",
        "/image",
    ],
)
def test_a_redirect_leads_to_https_on_public_addresses_only(
    server: tuple[str, list[str]], target: str
) -> None:
    url, asked = server
    with pytest.raises(BenchError) as error:
        fetch(f"{url}/redirect?to={target}")
    assert len(asked) == 1
    assert "pass@" not in str(error.value)


def test_a_name_that_stands_for_a_private_address_is_found_out_on_the_connection(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = server
    port = int(url.rsplit(":", 1)[1])
    # Without a certificate at hand the encryption is left out; what is checked is who is at the other end.
    monkeypatch.setattr(http.client.HTTPSConnection, "connect", http.client.HTTPConnection.connect)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: real("127.0.0.1", *rest, **named))
    with pytest.raises(DataError, match="not public"):
        fetch(f"{url}/redirect?to=https://public.example.com:{port}/image")
    assert len(asked) == 1
    assert fetch(f"https://typed.example.com:{port}/image") == b"bytes"


def test_redirects_come_to_an_end(server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, asked = server
    port = int(url.rsplit(":", 1)[1])
    monkeypatch.setattr(module, "_PublicConnection", http.client.HTTPConnection)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: real("127.0.0.1", *rest, **named))
    with pytest.raises(DataError, match="more than 5 redirects"):
        fetch(f"{url}/redirect?to=https://a.example.com:{port}/redirect?to=/redirect?to=/redirect")
    assert 2 <= len(asked) <= module.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("path", "about"), [("/large", "larger than 20 MiB"), ("/short", "ended after"), ("/none", "HTTP 404")]
)
def test_what_cannot_be_had_whole_is_told(server: tuple[str, list[str]], path: str, about: str) -> None:
    with pytest.raises(DataError, match=about):
        fetch(server[0] + path)


def test_a_server_that_drips_is_given_up(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE_S", -1.0)
    with pytest.raises(DataError, match="took longer"):
        fetch(f"{server[0]}/image")


def test_a_host_that_is_not_there_is_told_without_a_query() -> None:
    with pytest.raises(DataError, match=r"cannot fetch https://no\.invalid/a\.png: no such host") as error:
        fetch("https://no.invalid/a.png?token=secret")
    assert "secret" not in str(error.value)


def test_urls_are_shown_without_what_may_be_secret() -> None:
    assert shown_url("https://user:pass@h:8443/a.png?token=1#x") == "https://h:8443/a.png"
    assert shown_url("https://[::1]:9/a") == "https://[::1]:9/a"
    assert shown_url("https://[bad") == "the URL"
