"""The state of the servers of the engine openai: what they run, which one is free, and which ones hang."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from urllib.parse import unquote, urlsplit

from ssl4rl_bench.core.errors import EngineError, UsageError, did_you_mean
from ssl4rl_bench.engines import openai_wire
from ssl4rl_bench.engines.openai_http import Http
from ssl4rl_bench.engines.openai_wire import Failure, Identity

LOOK_S = 0.1
"""The maximum time between two checks for a free server, in seconds."""
SILENT = 2
"""A server hangs after this many consecutive timeouts, unless it replied within `Retry.silence` seconds."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retry:
    """The policy for retries and timeouts. Times are in seconds."""

    attempts: int = 7
    """The number of times that a request is sent before it counts as failed."""
    base: float = 1.0
    cap: float = 30.0
    retry_after_cap: float = 120.0
    """The upper limit on the server's `Retry-After`."""
    connect_timeout: float = 10.0
    """The limit for a connection, and for each request that asks a server what it runs."""
    timeout: float = 600.0
    """The limit for one attempt; for all attempts of a request, it is (number of servers + 1) times that."""
    silence: float = 60.0
    """A server that replied within this time does not count as hanging."""

    def delay(self, attempt: int) -> float:
        """Exponential backoff with full jitter: uniform on [0, min(cap, base * 2^attempt)]."""
        return random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt, 60)))


@dataclass(eq=False)
class Server:
    """One server of a run and its current state."""

    url: str
    """The API's address without credentials, which ends in the version, such as "/v1"."""
    authorization: str | None = field(repr=False)
    """The Authorization header, which is never part of a message."""
    in_flight: int = 0
    aside_until: float = 0.0
    """The server gets no requests before this time (`time.monotonic`)."""
    last_reply: float = 0.0
    """The time of the last reply (`time.monotonic`)."""
    n_silent: int = 0
    """The number of requests since the last reply that timed out."""
    hung_at: float | None = None
    """The time at which it was found to hang; None if it has replied since."""
    given_up: bool = False
    """Whether it hung again when it was tried again."""
    identity: Identity | None = None
    """What it runs; None until it has said so, and again when it hangs."""


def parse_base_url(text: str) -> tuple[str, str]:
    """Normalizes a base URL: strips the final slash and adds "/v1" to a bare host.

    Returns:
        The address, and the same address without credentials.

    Raises:
        UsageError: if the text is not an http or https address with a host.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    if not parts or parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise UsageError("a base URL must look like http://host:8000/v1 (no query, no fragment)")
    path = parts.path.rstrip("/") or "/v1"
    shown_host = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme}://{shown_host}{f':{port}' if port else ''}{path}"
    return f"{parts.scheme}://{parts.netloc}{path}", shown


def authorization(url: str, key: str) -> str | None:
    """Returns the Authorization header: the key as a bearer token, else the credentials in the URL."""
    if key:
        return f"Bearer {key}"
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return None
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@dataclass(eq=False)
class Servers:
    """All servers of a run. The coroutines must run in one event loop.

    Raises:
        UsageError: for an invalid address.
    """

    urls: InitVar[Sequence[str]]
    """The base URLs as the user gave them."""
    retry: Retry
    _: KW_ONLY
    key: str = field(repr=False)
    """The API key, or an empty string; it is never part of a message."""
    wanted: str | None
    """The name of the model to request, if the user gave one."""
    preferred: str | None
    """The name of the model to request if nothing is wanted and the server lists it."""
    limits_pixels: bool
    """Whether requests contain pixel limits, which only vLLM supports."""
    identity: Identity | None = None
    """What all servers run; None until the first one has answered."""

    def __post_init__(self, urls: Sequence[str]) -> None:
        addresses = [parse_base_url(url) for url in urls]
        self.all = [Server(shown, authorization(url, self.key)) for url, shown in addresses]

    @property
    def in_flight(self) -> int:
        """The number of requests that are at a server."""
        return sum(server.in_flight for server in self.all)

    async def identify_all(self, http: Http) -> None:
        """Asks every server what it runs; those that do not answer are put aside.

        Raises:
            EngineError: if none answers, one refuses permanently, or the servers differ.
        """
        failures = await asyncio.gather(*(self._try_identify(server, http) for server in self.all))
        if all(failures):
            raise EngineError(
                f"no server answers: {failures[0]}; start one, for example with `vllm serve MODEL`"
            )
        for failure in filter(None, failures):
            _log.warning("put aside: %s", failure)
        self.check_agreement()

    async def _try_identify(self, server: Server, http: Http) -> str | None:
        try:
            await self.identify(server, http)
        except Failure as failure:
            if failure.fatal:
                raise EngineError(self.message(server, failure)) from None
            server.aside_until = time.monotonic() + self.retry.cap
            return self.message(server, failure)
        return None

    async def identify(self, server: Server, http: Http) -> None:
        """Asks a server what it runs.

        Raises:
            Failure: if it gives no valid answer.
            EngineError: if it does not serve the model.
        """
        timeout = min(self.retry.connect_timeout, self.retry.timeout)
        reply = await http.fetch(
            "GET", f"{server.url}/models", timeout=timeout, authorization=server.authorization
        )
        if reply.status != 200 and not (reply.status == 404 and self.wanted):
            raise openai_wire.refusal(reply.status, reply.headers, reply.body, self.retry.retry_after_cap)
        cards = _model_cards(reply.body)
        model = self._choose(cards, server.url)
        vllm = cards.get(model) == "vllm"
        version = model
        if vllm:
            root = server.url.rsplit("/", 1)[0]
            about = await http.fetch(
                "GET", f"{root}/version", timeout=timeout, authorization=server.authorization
            )
            version = _vllm_version(about.body)
        if self.limits_pixels and not vllm:
            _log.warning("%s is not vLLM and may ignore the pixel limits", server.url)
        server.identity = Identity(model, version, vllm)
        server.last_reply = time.monotonic()

    def _choose(self, cards: Mapping[str, str], url: str) -> str:
        """Chooses the model to request: `wanted`, else `preferred` if listed, else the first one listed.

        Raises:
            EngineError: if `wanted` is not among the listed models, or nothing is wanted and nothing listed.
        """
        if self.wanted and cards and self.wanted not in cards:
            nearest = did_you_mean(self.wanted, cards)
            raise EngineError(f"{url} does not serve {self.wanted!r} (it serves {', '.join(cards)}){nearest}")
        if self.wanted:
            return self.wanted
        if not cards:
            raise EngineError(
                f"{url} does not say which models it serves: give one with --set served_model=NAME"
            )
        return self.preferred if self.preferred and self.preferred in cards else next(iter(cards))

    def check_agreement(self) -> None:
        """Raises EngineError if the servers run different models or versions."""
        for server in self.all:
            if server.identity is None:
                continue
            self.identity = self.identity or server.identity
            if server.identity != self.identity:
                raise EngineError(
                    f"{server.url} runs {server.identity}, another server {self.identity}: "
                    "one run needs one model and one version"
                )

    def count_silence(self, server: Server, failure: Failure, began: float) -> None:
        """Counts a request that timed out. A server that seems to hang is put aside and tried again later.

        Args:
            began: the time at which the request was sent.

        Raises:
            EngineError: if all servers hang and hung again when they were tried again.
        """
        server.n_silent += 1
        now = time.monotonic()
        if server.n_silent < SILENT or now - server.last_reply < self.retry.silence:
            return
        if server.hung_at is None:
            server.hung_at = now
            server.identity = None  # it must answer what it serves before it gets requests again
            server.aside_until = now + self.retry.cap
        elif began > server.hung_at:
            server.given_up = True
        if all(s.given_up for s in self.all):
            raise EngineError(
                f"{self.message(server, failure)}, {server.n_silent} requests in a row: it hangs, or is too slow for "
                "--set timeout=SECONDS; check that it responds, then run the same command again"
            )

    def replied(self, server: Server) -> None:
        """Records that a server replied to a request, whatever the reply was."""
        server.last_reply = time.monotonic()
        server.n_silent, server.hung_at, server.given_up = 0, None, False

    async def pick(
        self, avoid: Server | None, deadline: float, sleep: Callable[[float], Awaitable[None]]
    ) -> Server | None:
        """Returns the free server with the fewest requests in flight, other than `avoid` if possible.

        Waits while all servers are put aside; returns None at the deadline.
        """
        while not (free := self.free()):
            now = time.monotonic()
            # A server becomes free before `aside_until` when another request has identified it.
            wait = min(
                LOOK_S, max(0.0, min(s.aside_until for s in self.all) - now) + self.retry.delay(0) / 10
            )
            if now >= deadline:
                return None
            await sleep(min(wait, deadline - now))
        return min(free, key=lambda s: (s is avoid and len(free) > 1, s.in_flight))

    def free(self) -> list[Server]:
        """Returns the servers that are not put aside."""
        now = time.monotonic()
        return [s for s in self.all if s.aside_until <= now]

    def message(self, server: Server, failure: Failure) -> str:
        """Returns the error message for a failure at a server, without secrets."""
        text = f"{server.url}: {failure}"
        return text.replace(self.key, "***") if self.key else text


def _model_cards(raw: bytes) -> dict[str, str]:
    """Maps the names of the models that a server lists to their owners; empty if the body is malformed."""
    try:
        cards = json.loads(raw)["data"]
        return {str(card["id"]): str(card.get("owned_by")) for card in cards}
    except openai_wire.MALFORMED:
        return {}


def _vllm_version(raw: bytes) -> str:
    """Parses vLLM's answer at /version into a string such as "vllm 0.31.0"."""
    try:
        return f"vllm {json.loads(raw)['version']}"
    except openai_wire.MALFORMED:
        return "vllm (unknown version)"
