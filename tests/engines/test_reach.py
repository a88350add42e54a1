"""Whether a server can be reached, in a time that neither a slow resolver nor dropped packets extend."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.engines.fetch import open_url
from ssl4rl_bench.engines.reach import unreachable


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server that accepts connections."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_accepts_a_connection_is_reachable(listening: str) -> None:
    assert unreachable(listening) is None


def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert unreachable(f"http://127.0.0.1:{port}") == "connection refused"


def test_dropped_packets_and_a_slow_resolver_cost_only_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        time.sleep(5.0)
        raise OSError

    def dropped(*_: object, timeout: float) -> None:
        time.sleep(timeout)
        raise TimeoutError

    for connect in (slow, dropped):
        monkeypatch.setattr(socket, "create_connection", connect)
        start = time.monotonic()
        assert unreachable("https://example.org", 0.05) == "no connection within 0.05 s"
        assert time.monotonic() - start < 2.0


def test_an_unknown_name_is_said_to_be_one_or_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", fail)
    assert unreachable("https://example.org") == "no such host, or no network"


def test_behind_a_proxy_the_proxy_is_what_must_answer(
    listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", listening.removeprefix("http://"))
    assert unreachable("https://no-such-host.invalid") is None
    monkeypatch.setenv("no_proxy", "no-such-host.invalid")
    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: _refuse(address))
    assert unreachable("https://no-such-host.invalid") == "no-such-host.invalid 443"


def _refuse(address: tuple[str, int]) -> None:
    raise OSError(0, f"{address[0]} {address[1]}")


def test_a_url_is_not_opened_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl4rl_bench.engines.fetch.unreachable", lambda url: "no connection within 3 s")
    with (
        pytest.raises(
            DataError, match=r"^cannot fetch https://example\.org/a\.tsv: no connection within 3 s$"
        ),
        open_url("https://example.org/a.tsv", {}),
    ):
        pass
