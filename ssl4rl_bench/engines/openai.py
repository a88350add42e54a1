"""Any number of OpenAI-compatible servers, such as `vllm serve`.

Requests go to the server with the fewest in flight. A server that cannot be reached is put aside and tried
again later; a request that fails for a passing reason is sent again, to another server where there is one.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.engines import openai_wire as wire
from ssl4rl_bench.engines.base import EngineOptions, error_completion
from ssl4rl_bench.engines.inputs import pixel_limits
from ssl4rl_bench.engines.openai_wire import Failure, Identity
from ssl4rl_bench.errors import EngineError, MissingDependency, UsageError
from ssl4rl_bench.types import Completion, Message, Request, Sampling

if TYPE_CHECKING:
    from ssl4rl_bench.weights import Model

MAX_REPLY_BYTES = 32 * 2**20
"""A longer response body is a server gone wrong."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retry:
    """How long failing servers are borne with. Times in seconds."""

    attempts: int = 7
    """Times that a request is sent before it counts as failed."""
    base: float = 1.0
    cap: float = 30.0
    retry_after_cap: float = 120.0
    """The longest `Retry-After` that is honoured in full."""
    connect_timeout: float = 10.0
    timeout: float = 600.0
    """For one whole attempt."""

    def delay(self, attempt: int) -> float:
        """Exponential backoff with full jitter: uniform on [0, min(cap, base * 2^attempt)]."""
        return random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt, 60)))


@dataclass(eq=False)
class _Server:
    url: str = field(repr=False)
    """Ends in the API's version, such as "/v1". May hold credentials: never in a message."""
    shown: str
    in_flight: int = 0
    aside_until: float = 0.0
    """On `time.monotonic`'s clock."""
    identity: Identity | None = None
    """None until it has answered for the first time."""


class OpenAIEngine:
    """Implements `types.Engine` over HTTP. The API key is read from OPENAI_API_KEY only.

    Raises:
        UsageError: without a server, or for an address that is not one, or pixel limits that make no sense.
        MissingDependency: without httpx.
    """

    name = "openai"

    def __init__(self, model: Model | None, options: EngineOptions, retry: Retry | None = None) -> None:
        try:
            import httpx
        except ImportError:
            raise MissingDependency("engine openai needs httpx: pip install 'ssl4rl-bench[openai]'") from None
        if not options.base_urls:
            raise UsageError("engine openai needs a server: --base-url http://127.0.0.1:8000/v1")
        self._httpx = httpx
        self._pixels = pixel_limits(wire.QWEN_PIXELS, options)
        self._retry = retry or Retry()
        self._wanted = options.served_model
        self._preferred = model.name if model else None
        self._servers = [_Server(*wire.parse_base_url(url)) for url in options.base_urls]
        self._limit = options.concurrency * len(self._servers)
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()
        self._identity: Identity | None = None
        self._unreached = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None

    @property
    def version(self) -> str:
        """ "vllm 0.31.0" of a vLLM server; of any other, the model's name there. Asks the servers once.

        Raises:
            EngineError: if no server answers, or if they differ.
        """
        return self._ready().version

    @property
    def served_model(self) -> str:
        """The model's name at the servers. Raises as `version` does."""
        return self._ready().model

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """As `types.Engine.run`; at most `concurrency` requests a server are pulled and not yet yielded.

        Raises:
            EngineError: if no server answers, refuses the API key, or does not know the model.
        """
        self._ready()
        loop = self._background()
        source = iter(requests)
        done: SimpleQueue[Future[Completion]] = SimpleQueue()
        flying: dict[Future[Completion], Request] = {}
        more = True
        try:
            while True:
                while more and len(flying) < self._limit:
                    request = next(source, None)
                    if request is None:
                        more = False
                        break
                    future = asyncio.run_coroutine_threadsafe(self._answer(request, sampling), loop)
                    flying[future] = request
                    future.add_done_callback(done.put)
                if not flying:
                    return
                future = done.get()
                yield flying.pop(future), future.result()
        finally:
            for future in flying:
                future.cancel()

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """As `types.Engine.stream`, from the first server that answered; nothing is sent twice.

        Raises:
            EngineError: if the server refuses or breaks off.
        """
        self._ready()
        server = next(s for s in self._servers if s.identity)
        assert server.identity
        body = wire.body(server.identity, messages, sampling, 0, self._pixels) | {"stream": True}
        try:
            with (
                self._httpx.Client(**self._settings()) as client,
                client.stream("POST", f"{server.url}/chat/completions", json=body) as response,
            ):
                if response.status_code != 200:
                    response.read()
                    raise wire.refusal(response.status_code, response.headers, response.content, 0.0)
                yield from wire.read_events(response.iter_lines())
        except Failure as failure:
            raise EngineError(self._message(server, failure)) from None
        except self._httpx.HTTPError as error:
            raise EngineError(self._message(server, wire.broken(error))) from None

    def close(self) -> None:
        """Drops what is in flight and closes the connections."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut_down(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    async def _answer(self, request: Request, sampling: Sampling) -> Completion:
        began = time.monotonic()
        server: _Server | None = None
        attempt = 0
        while True:
            server = await self._pick(avoid=server)
            server.in_flight += 1
            try:
                completion = await self._attempt(server, request, sampling)
                self._unreached = 0
                return completion
            except Failure as caught:
                failure = caught
            finally:
                server.in_flight -= 1
            self._unreached = self._unreached if failure.unreached else 0
            attempt += 1
            if failure.fatal:
                raise EngineError(self._message(server, failure))
            if not failure.passing or attempt >= self._retry.attempts:
                break
            delay = max(failure.retry_after, self._retry.delay(attempt - 1))
            if failure.unreached or failure.retry_after:
                server.aside_until = max(server.aside_until, time.monotonic() + delay)
            if not any(s is not server for s in self._free()):
                await asyncio.sleep(delay)
        message = self._message(server, failure) + (f" ({attempt} attempts)" if attempt > 1 else "")
        if failure.unreached:
            self._unreached += 1
            if self._unreached > self._limit:
                raise EngineError(f"no server answers any more; start one and run the same again: {message}")
        return error_completion(message, time.monotonic() - began)

    async def _pick(self, avoid: _Server | None) -> _Server:
        """The free server with the fewest requests in flight; waits while all are aside."""
        while not (free := self._free()):
            wait = min(s.aside_until for s in self._servers) - time.monotonic()
            await asyncio.sleep(max(0.0, wait) + self._retry.delay(0) / 10)
        return min(free, key=lambda s: (s is avoid and len(free) > 1, s.in_flight))

    def _free(self) -> list[_Server]:
        now = time.monotonic()
        return [s for s in self._servers if s.aside_until <= now]

    async def _attempt(self, server: _Server, request: Request, sampling: Sampling) -> Completion:
        if server.identity is None:
            await asyncio.to_thread(self._identify, server)
            self._check_agreement()
        assert server.identity
        body = wire.body(server.identity, request.sample.messages, sampling, request.seed, self._pixels)
        began = time.monotonic()
        raw = bytearray()
        try:
            async with (
                asyncio.timeout(self._retry.timeout),
                self._client.stream("POST", f"{server.url}/chat/completions", json=body) as response,
            ):
                async for chunk in response.aiter_bytes():
                    raw += chunk
                    if len(raw) > MAX_REPLY_BYTES:
                        raise Failure(f"a response of more than {MAX_REPLY_BYTES} bytes")
        except TimeoutError:
            raise Failure(f"no reply within {self._retry.timeout:g} s", passing=True) from None
        except self._httpx.HTTPError as error:
            raise wire.broken(error) from None
        if response.status_code != 200:
            raise wire.refusal(
                response.status_code, response.headers, bytes(raw), self._retry.retry_after_cap
            )
        return wire.read_completion(bytes(raw), time.monotonic() - began)

    def _ready(self) -> Identity:
        """Asks every server, once, what it serves. Those that do not answer are asked again when needed."""
        if self._identity is None:
            with ThreadPoolExecutor(max_workers=16) as pool:
                failures = list(pool.map(self._try_identify, self._servers))
            if all(failures):
                raise EngineError(
                    f"no server answers: {failures[0]}; start one, for example with `vllm serve MODEL`"
                )
            for failure in filter(None, failures):
                _log.warning("put aside: %s", failure)
            self._check_agreement()
        assert self._identity
        return self._identity

    def _try_identify(self, server: _Server) -> str | None:
        try:
            self._identify(server)
        except Failure as failure:
            if failure.fatal:
                raise EngineError(self._message(server, failure)) from None
            server.aside_until = time.monotonic() + self._retry.cap
            return self._message(server, failure)
        return None

    def _identify(self, server: _Server) -> None:
        try:
            with self._httpx.Client(**self._settings()) as client:
                response = client.get(f"{server.url}/models", timeout=self._retry.connect_timeout)
                status = response.status_code
                if status != 200 and not (status == 404 and self._wanted):
                    cap = self._retry.retry_after_cap
                    raise wire.refusal(status, response.headers, response.content, cap)
                cards = wire.model_cards(response.content)
                model = wire.choose_model(cards, self._wanted, self._preferred, server.shown)
                vllm = cards.get(model) == "vllm"
                version = model
                if vllm:
                    root = server.url.rsplit("/", 1)[0]
                    version = wire.vllm_version(client.get(f"{root}/version").content)
        except self._httpx.HTTPError as error:
            raise wire.broken(error) from None
        if self._pixels and not vllm:
            _log.warning("%s is not vLLM, it may ignore the pixel limits", server.shown)
        server.identity = Identity(model, version, vllm)

    def _check_agreement(self) -> None:
        for server in self._servers:
            if server.identity is None:
                continue
            self._identity = self._identity or server.identity
            if server.identity != self._identity:
                raise EngineError(
                    f"{server.shown} runs {server.identity}, another server {self._identity}: "
                    "one run needs one model and one version"
                )

    def _settings(self) -> dict[str, Any]:
        """For an httpx client. Loopback is reached directly even where the environment names a proxy."""
        direct = ("all://127.0.0.1", "all://localhost", "all://[::1]")
        n = self._limit
        return {
            "headers": {"Authorization": f"Bearer {self._key}"} if self._key else {},
            "timeout": self._httpx.Timeout(self._retry.timeout, connect=self._retry.connect_timeout),
            "limits": self._httpx.Limits(max_connections=n, max_keepalive_connections=n),
            "mounts": dict.fromkeys(direct),
            "verify": _certificates(),
        }

    def _background(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._client = self._httpx.AsyncClient(**self._settings())
            self._thread = threading.Thread(target=self._loop.run_forever, name="openai", daemon=True)
            self._thread.start()
        return self._loop

    async def _shut_down(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    def _message(self, server: _Server, failure: Failure) -> str:
        text = f"{server.shown}: {failure}"
        return text.replace(self._key, "***") if self._key else text


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes a tenth of a second: once for all clients."""
    import httpx

    return httpx.create_ssl_context()
