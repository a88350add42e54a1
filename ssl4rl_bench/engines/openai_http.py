"""An HTTP client for the engine openai that limits responses in time and in size."""

from __future__ import annotations

import asyncio
import functools
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.engines import openai_wire
from ssl4rl_bench.engines.openai_wire import Failure

MAX_REPLY_BYTES = 4 * 2**20
"""The maximum size of a response's body, or of one line in a stream; more means a broken server."""
MAX_STREAM_BYTES = 64 * 2**20
"""The maximum size of a whole stream, which has a few hundred bytes per token."""


@dataclass(frozen=True)
class Response:
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """A pool of connections for use in one event loop. Redirects are not followed.

    Args:
        connections: the maximum number of simultaneous connections.
        connect_timeout: the time limit for establishing a connection, in seconds.
    """

    def __init__(self, connections: int, connect_timeout: float) -> None:
        import httpx

        self._error = httpx.HTTPError
        # Loopback addresses are reached directly even if the environment sets a proxy.
        direct = ("all://127.0.0.1", "all://localhost", "all://[::1]")
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "gzip"},
            timeout=httpx.Timeout(None, connect=connect_timeout),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            mounts=dict.fromkeys(direct),
            verify=_certificates(),
        )

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        timeout: float,
        authorization: str | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> Response:
        """Sends a request and reads the whole response.

        Args:
            timeout: the time limit for the whole exchange, in seconds.

        Raises:
            Failure: if there is no connection, no complete response in time, or too large a body
                (`MAX_REPLY_BYTES`).
        """
        async with self._response(method, url, timeout, authorization, json) as response:
            body = bytearray()
            async for chunk in _decoded(response, MAX_REPLY_BYTES):
                body += chunk
            return Response(response.status_code, response.headers, bytes(body))

    async def lines(
        self, url: str, *, timeout: float, authorization: str | None, json: Mapping[str, Any]
    ) -> AsyncIterator[str]:
        """Sends a POST request and yields the lines of the response as they arrive.

        Raises:
            Failure: as in `fetch`, for a status other than 200, or for text that is not UTF-8.
        """
        async with self._response("POST", url, timeout, authorization, json) as response:
            if response.status_code != 200:
                body = b"".join([chunk async for chunk in _decoded(response, MAX_REPLY_BYTES)])
                raise openai_wire.refusal(response.status_code, response.headers, body, 0.0)
            rest = b""
            async for chunk in _decoded(response, MAX_STREAM_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield _text(line)
                if len(rest) > MAX_REPLY_BYTES:
                    raise Failure(f"a line of more than {MAX_REPLY_BYTES} bytes")
            if rest:
                yield _text(rest)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _response(
        self, method: str, url: str, timeout: float, authorization: str | None, json: Mapping[str, Any] | None
    ) -> AsyncIterator[Any]:
        headers = {"Authorization": authorization} if authorization else {}
        began = False
        try:
            async with (
                asyncio.timeout(timeout),
                self._client.stream(method, url, json=json, headers=headers) as response,
            ):
                began = True
                yield response
        except TimeoutError:
            what = "the reply was not complete" if began else "no reply"
            raise Failure(f"{what} within {timeout:g} s", passing=True, silent=True) from None
        except self._error as error:
            raise openai_wire.broken(error) from None


async def _decoded(response: Any, limit: int) -> AsyncIterator[bytes]:
    """Yields a response's body decompressed; never decompresses much more than `limit` bytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise Failure(f"the response is encoded as {encoding[:40]!r}, which was not requested")
    decoder = None if encoding in ("identity", "") else zlib.decompressobj(32 + zlib.MAX_WBITS)
    size = 0
    async for raw in response.aiter_raw():
        chunk = raw
        if decoder is not None:
            try:
                chunk = decoder.decompress(raw, limit - size + 1)
            except zlib.error:
                raise Failure("the response is not gzip, although its header says so", passing=True) from None
        size += len(chunk)
        if size > limit:
            raise Failure(f"a response of more than {limit} bytes")
        yield chunk
    if decoder is not None and not decoder.eof:
        raise Failure("the connection broke (the response ends early)", passing=True)


def _text(line: bytes) -> str:
    try:
        return line.decode().rstrip("\r")
    except UnicodeDecodeError:
        raise Failure("the response is not UTF-8") from None


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Loads the certificates, which takes a tenth of a second, once for all pools."""
    import httpx

    return httpx.create_ssl_context()
