"""Opens URLs under limits, and downloads one image whose URL the user gave.

Neither is ever called with a string from a data set. `download` downloads large files.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.images import MAX_BYTES
from ssl4rl_bench.engines.reach import unreachable

MAX_REDIRECTS = 5
TIMEOUT_S = 20.0
"""The time limit for connecting and for each read, in seconds."""
DEADLINE_S = 60.0
"""The time limit for the whole download, in seconds."""


def fetch(url: str) -> bytes:
    """Downloads an image and returns the body; the URL is opened as by `open_url`.

    Raises:
        UsageError, DataError: as `open_url`, and DataError for a body that is longer than `images.MAX_BYTES`
            or takes longer than `DEADLINE_S`.
    """
    deadline = time.monotonic() + DEADLINE_S
    with open_url(url, {"Accept": "image/png, image/jpeg, image/webp"}) as (response, last):
        return _read(response, last, deadline)


@contextmanager
def open_url(url: str, headers: Mapping[str, str]) -> Iterator[tuple[http.client.HTTPResponse, str]]:
    """Context manager: requests a URL and gives the response, of any status, and the URL that sent it.

    The scheme must be https, or http for this machine. At most `MAX_REDIRECTS` redirects are followed, only to
    https on public addresses. The address is checked on the open connection, so that a name cannot resolve
    differently between the check and the use. Proxies from the environment are used.

    Raises:
        UsageError: for a URL with another scheme, without a host, or with credentials.
        DataError: if the request fails, also while the body is read, or redirects to a forbidden address.
    """
    parts = _parse(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise UsageError(f"{shown_url(url)} is not https; download it and give the file")
    if (problem := unreachable(url)) is not None:
        raise DataError(f"cannot fetch {shown_url(url)}: {problem}")
    for hop in range(MAX_REDIRECTS + 1):
        try:
            request = urllib.request.Request(url, headers=dict(headers))
            with _opener(public_only=hop > 0).open(request, timeout=TIMEOUT_S) as response:
                if not 300 <= response.status < 400:
                    yield response, url
                    return
                target = response.headers.get("Location") or ""
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DataError(f"cannot fetch {shown_url(url)}: {_reason(error)}") from None
        target = urljoin(url, target)
        if _parse(target).scheme != "https":
            raise DataError(f"{shown_url(url)} redirects to {shown_url(target)}, which is not https")
        if not _may_be_public(_parse(target).hostname or ""):
            raise DataError(
                f"{shown_url(url)} redirects to {shown_url(target)}, which is not a public address"
            )
        url = target
    raise DataError(f"cannot fetch {shown_url(url)}: more than {MAX_REDIRECTS} redirects")


def shown_url(url: str) -> str:
    """Returns the URL without credentials, query and fragment, which is safe to show in a message."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the URL"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"


def _parse(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UsageError(f"{shown_url(url)} is not a URL") from None
    if not parts.hostname:
        raise UsageError(f"{shown_url(url)} has no host")
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{shown_url(url)} contains credentials; download it and give the file")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _may_be_public(host: str) -> bool:
    """Whether a host may be public: false for private addresses and local names.

    Other names are checked when the connection is made.
    """
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return host != "localhost" and not host.endswith((".localhost", ".local", ".internal"))


def _opener(public_only: bool) -> urllib.request.OpenerDirector:
    """Returns an opener for http and https only: no file, ftp or data URLs, and no automatic redirects."""
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _Http(), _Https(public_only)):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "ssl4rl-bench")]
    return opener


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(http.client.HTTPConnection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, public_only: bool) -> None:
        super().__init__()
        self._connection = _PublicConnection if public_only else http.client.HTTPSConnection

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _PublicConnection(http.client.HTTPSConnection):
    """Closes the connection before sending a request unless the peer's address is public or it is a proxy."""

    def connect(self) -> None:
        super().connect()
        tunnel: Any = getattr(self, "_tunnel_host", None)
        if tunnel is None and not ipaddress.ip_address(self.sock.getpeername()[0]).is_global:
            self.close()
            raise ConnectionRefusedError("redirected to an address that is not public")


def _read(response: http.client.HTTPResponse, url: str, deadline: float) -> bytes:
    if response.status != 200:
        raise DataError(f"cannot fetch {shown_url(url)}: HTTP {response.status}")
    data = bytearray()
    while chunk := response.read1(1 << 16):
        data += chunk
        if len(data) > MAX_BYTES:
            raise DataError(f"{shown_url(url)} is larger than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise DataError(f"{shown_url(url)} took longer than {DEADLINE_S:g} s")
    length = response.headers.get("Content-Length")
    if length and length.isdecimal() and len(length) < 20 and len(data) < int(length):
        raise DataError(f"{shown_url(url)} ended after {len(data)} of {length} bytes")
    return bytes(data)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, socket.gaierror):
        return "no such host, or no network"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return str(error) or type(error).__name__
