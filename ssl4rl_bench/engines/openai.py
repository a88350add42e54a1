"""The engine for one or more OpenAI-compatible servers, such as `vllm serve`.

Requests go to the server with the fewest in flight. A server that cannot be reached is put aside and tried
again later. A request that fails for a transient reason is retried, on another server if there is one.
A request has `timeout` seconds per server, including retries. A server that never answers is given up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from ssl4rl_bench.core.errors import EngineError, MissingDependency, UsageError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling
from ssl4rl_bench.engines import openai_wire
from ssl4rl_bench.engines.base import EngineOptions, error_completion
from ssl4rl_bench.engines.inputs import pixel_limits
from ssl4rl_bench.engines.openai_http import Http
from ssl4rl_bench.engines.openai_servers import Retry, Server, Servers
from ssl4rl_bench.engines.openai_wire import Failure, Identity

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

CLOSING_S = 5.0
"""The time limit for closing the connections, in seconds."""
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class _Dropped(Exception):
    """The request was dropped because the run is stopping; it is sent again when the run is resumed."""


class OpenAIEngine:
    """Implements `types.Engine` over HTTP. The API key is read from OPENAI_API_KEY only.

    Raises:
        UsageError: if there is no server, an address is invalid, or the pixel limits contradict each other.
        MissingDependency: if httpx is not installed.
    """

    name = "openai"

    def __init__(self, model: Model | None, options: EngineOptions, retry: Retry | None = None) -> None:
        try:
            import httpx  # noqa: F401
        except ImportError:
            raise MissingDependency.of("engine openai needs httpx", "openai") from None
        if not options.base_urls:
            raise UsageError("engine openai needs a server: --base-url http://127.0.0.1:8000/v1")
        self._pixels = pixel_limits(openai_wire.QWEN_PIXELS, options)
        self._tokens_field = options.tokens_field
        self._retry = retry or Retry(timeout=options.timeout)
        self._servers = Servers(
            options.base_urls,
            self._retry,
            key=os.environ.get("OPENAI_API_KEY", "").strip(),
            wanted=options.served_model,
            preferred=model.name if model else None,
            limits_pixels=bool(self._pixels),
        )
        self._limit = options.concurrency * len(self._servers.all)
        self._unreached = 0
        self._draining = asyncio.Event()
        self._flying: dict[Future[Completion], Request] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._http: Http | None = None

    @property
    def version(self) -> str:
        """For vLLM servers, such as "vllm 0.31.0"; for others, the model's name. Asks the servers only once.

        Raises:
            EngineError: if no server answers, or if the servers differ.
        """
        return self._ready().version

    @property
    def served_model(self) -> str:
        """The model's name at the servers. Raises the same errors as `version`."""
        return self._ready().model

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Implements `types.Engine.run`. Up to `concurrency` requests per server are pulled and not yielded.

        Raises:
            EngineError: if no server answers, or a server refuses the API key or does not serve the model.
                Finished completions are yielded first.
        """
        self._ready()
        self._draining = asyncio.Event()
        source = iter(requests)
        done: SimpleQueue[Future[Completion]] = SimpleQueue()
        flying = self._flying = {}
        more = True
        try:
            while True:
                while more and len(flying) < self._limit:
                    request = next(source, None)
                    if request is None:
                        more = False
                        break
                    future = self._submit(self._answer(request, sampling))
                    flying[future] = request
                    future.add_done_callback(done.put)
                if not flying:
                    return
                future = done.get()
                request = flying.pop(future)
                try:
                    completion = future.result()
                except _Dropped:
                    continue
                except EngineError:
                    for other in [f for f in flying if f.done() and f.exception() is None]:
                        yield flying.pop(other), other.result()
                    raise
                yield request, completion
        finally:
            for future in flying:
                future.cancel()

    def drain(self) -> int:
        """Stops sending requests and retries; returns how many are at a server or answered but not yielded.

        May be called from a signal handler while `run` waits.
        """
        if self._loop is None:
            return 0
        self._loop.call_soon_threadsafe(self._draining.set)
        return self._servers.in_flight + sum(future.done() for future in self._flying)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Implements `types.Engine.stream` with the first server that has answered; there are no retries.

        Raises:
            EngineError: if the server refuses the request or breaks off.
        """
        self._ready()
        server = next(s for s in self._servers.all if s.identity)
        assert server.identity
        body = openai_wire.body(server.identity, messages, sampling, 0, self._pixels, self._tokens_field)
        lines: SimpleQueue[str | None] = SimpleQueue()

        async def pump() -> None:
            assert self._http is not None
            try:
                async for line in self._http.lines(
                    f"{server.url}/chat/completions",
                    timeout=self._retry.timeout,
                    authorization=server.authorization,
                    json=body | {"stream": True},
                ):
                    lines.put(line)
            finally:
                lines.put(None)

        future = self._submit(pump())

        def arriving() -> Iterator[str]:
            while (line := lines.get()) is not None:
                yield line
            future.result()

        try:
            yield from openai_wire.read_events(arriving())
        except Failure as failure:
            raise EngineError(self._servers.message(server, failure)) from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Cancels requests in flight and closes the connections."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut_down(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    async def _answer(self, request: Request, sampling: Sampling) -> Completion:
        began = time.monotonic()
        servers, retry = self._servers, self._retry
        # If no server replies, each is tried once and one of them a second time.
        deadline = began + retry.timeout * (len(servers.all) + 1)
        server: Server | None = None
        failure = Failure("no server was free in time")
        attempt = n_silent = 0
        while picked := await servers.pick(server, deadline, self._sleep):
            server = picked
            server.in_flight += 1
            sent = time.monotonic()
            try:
                completion = await self._attempt(server, request, sampling)
                self._unreached = 0
                return completion
            except Failure as caught:
                failure = caught
            finally:
                server.in_flight -= 1
            attempt += 1
            n_silent += failure.silent
            self._unreached = self._unreached if failure.unreached else 0
            if failure.fatal:
                raise EngineError(servers.message(server, failure))
            if failure.silent:
                servers.count_silence(server, failure, sent)
            if self._draining.is_set():
                raise _Dropped
            if not failure.passing or attempt >= retry.attempts or n_silent > len(servers.all):
                break
            delay = max(failure.retry_after, retry.delay(attempt - 1))
            if failure.unreached or failure.retry_after:
                server.aside_until = max(server.aside_until, time.monotonic() + delay)
            if not any(s is not server for s in servers.free()):
                if time.monotonic() + delay > deadline:
                    break
                await self._sleep(delay)
        message = servers.message(server, failure) if server else str(failure)
        message += f" ({attempt} attempts)" if attempt > 1 else ""
        if failure.unreached:
            self._unreached += 1
            if self._unreached > self._limit:
                raise EngineError(
                    f"no server responds any more; start one and run the same command again: {message}"
                )
        return error_completion(message, time.monotonic() - began)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return
        raise _Dropped

    async def _attempt(self, server: Server, request: Request, sampling: Sampling) -> Completion:
        assert self._http
        if server.identity is None:
            server.aside_until = time.monotonic() + self._retry.connect_timeout  # only one request asks it
            await self._servers.identify(server, self._http)
            server.aside_until = 0.0
            self._servers.check_agreement()
        assert server.identity
        messages = request.sample.messages
        body = openai_wire.body(
            server.identity, messages, sampling, request.seed, self._pixels, self._tokens_field
        )
        began = time.monotonic()
        reply = await self._http.fetch(
            "POST",
            f"{server.url}/chat/completions",
            timeout=self._retry.timeout,
            authorization=server.authorization,
            json=body,
        )
        self._servers.replied(server)
        if reply.status != 200:
            raise openai_wire.refusal(reply.status, reply.headers, reply.body, self._retry.retry_after_cap)
        return openai_wire.read_completion(reply.body, time.monotonic() - began)

    def _ready(self) -> Identity:
        """Asks every server once what it serves. Servers that do not answer are asked again when needed."""
        if self._servers.identity is None:
            self._submit(self._identify_all()).result()
        assert self._servers.identity
        return self._servers.identity

    async def _identify_all(self) -> None:
        assert self._http
        await self._servers.identify_all(self._http)

    def _submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Schedules `work` in the thread of the event loop, which is started at the first call."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # Nothing awaits the results of abandoned requests; by default asyncio would print their errors.
            self._loop.set_exception_handler(lambda loop, context: _log.debug("%s", context))
            self._http = Http(self._limit, self._retry.connect_timeout)
            self._thread = threading.Thread(target=self._loop.run_forever, name="openai", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _shut_down(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        assert self._http
        try:
            async with asyncio.timeout(CLOSING_S):
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._http.close()
        except TimeoutError:
            _log.debug("connections were left to the system to close")
