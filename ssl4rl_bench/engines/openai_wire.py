"""Builds requests to OpenAI-compatible servers and parses their responses and errors. Does no I/O."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from email.utils import parsedate_to_datetime
from itertools import chain
from types import MappingProxyType
from typing import Any

from ssl4rl_bench.core.images import data_url
from ssl4rl_bench.core.types import (
    Completion,
    FinishReason,
    ImagePart,
    Message,
    Sampling,
    TextPart,
    VideoPart,
    parts_of,
)
from ssl4rl_bench.engines.base import no_reply

PASSING_STATUSES = frozenset({408, 409, 429})
"""The 4xx status codes that are retried; every 5xx is."""
QWEN_PIXELS = {"shortest_edge": 4 * 28 * 28, "longest_edge": 16384 * 28 * 28}
"""Qwen2.5-VL's default limits, under its image processor's names: 4 to 16,384 tokens per image."""
FATAL_STATUSES = {401: "the API key in OPENAI_API_KEY is missing or wrong", 404: "unknown model or address"}
"""Status codes that mean that every further request would fail too, with explanations."""
_LARGEST_COUNT = 2**53
"""The largest number of tokens in a server's usage that is believed."""
_EVENT = re.compile(r"(data|event|id|retry)?:")
"""The start of a line of server-sent events."""
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""The exceptions raised by reading JSON of an unexpected structure."""
UNTRUSTED = "--trust-request-mm-kwargs"
"""The option that vLLM, since 0.31, requires for pixel limits and videos as frames; its error names it."""


@dataclass(eq=False)
class Failure(Exception):
    """A failed attempt of a request."""

    message: str
    _: KW_ONLY
    passing: bool = False
    """Whether the failure is transient, so that a retry makes sense."""
    retry_after: float = 0.0
    """The delay that the server asked for, in seconds."""
    unreached: bool = False
    """Whether there was no connection: the server is down or does not exist."""
    fatal: bool = False
    """Whether every further request would fail too."""
    silent: bool = False
    """Whether the server accepted the request and did not reply in time."""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Identity:
    """The model and the software that a server runs."""

    model: str
    version: str
    vllm: bool

    def __str__(self) -> str:
        return self.model if self.version == self.model else f"{self.model} on {self.version}"


def body(
    identity: Identity,
    messages: Sequence[Message],
    sampling: Sampling,
    seed: int,
    pixels: Mapping[str, int] = MappingProxyType({}),
    tokens_field: str = "max_tokens",
) -> dict[str, Any]:
    """Returns the JSON body of a chat completion request.

    vLLM takes omitted values from the checkpoint's generation config (Qwen2.5-VL's has a repetition penalty
    of 1.05), so it is sent the neutral values explicitly. Other servers may refuse unknown fields.
    """
    out: dict[str, Any] = {
        "model": identity.model,
        "messages": [_message(message, identity.vllm) for message in messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        tokens_field: sampling.max_tokens,
    }
    if sampling.temperature > 0:
        out["seed"] = seed
    if sampling.top_k or identity.vllm:
        out["top_k"] = sampling.top_k
    if identity.vllm:
        out |= {"repetition_penalty": 1.0, "min_p": 0.0}
    if pixels:
        out["mm_processor_kwargs"] = dict(pixels)
    if identity.vllm and (video := next(parts_of(messages, VideoPart), None)):
        out["media_io_kwargs"] = {"video": {"fps": video.fps, "num_frames": -1}}
    return out


def _message(message: Message, vllm: bool) -> dict[str, Any]:
    texts = list(parts_of([message], TextPart))
    if len(texts) == len(message.content):
        return {"role": message.role, "content": "".join(part.text for part in texts)}
    content: list[dict[str, Any]] = []
    for part in message.content:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            content.append(_image(data_url(part.image)))
        elif vllm:  # vLLM's format for a video that is already sampled into frames
            frames = ",".join(data_url(frame).partition(",")[2] for frame in part.frames)
            url = f"data:video/jpeg;base64,{frames}"
            content.append({"type": "video_url", "video_url": {"url": url}})
        else:
            content += [_image(data_url(frame)) for frame in part.frames]
    return {"role": message.role, "content": content}


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def read_completion(raw: bytes, latency_s: float) -> Completion:
    """Parses the completion in a response's body.

    Raises:
        Failure: if the body is an error or not a completion. The latter is transient, since gateways send
            such bodies while their server restarts.
    """
    try:
        data = json.loads(raw)
        if data.get("error"):
            raise Failure(error_text(raw))
        choice = data["choices"][0]
        message = choice["message"]
        text, reasoning = _texts(message)
        reason = _finish_reason(choice.get("finish_reason"))
        usage = data.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        refusal = message.get("refusal")
        return Completion(
            text=text or whole_characters(refusal if isinstance(refusal, str) else ""),
            finish_reason=reason,
            n_prompt_tokens=_count(usage.get("prompt_tokens")),
            n_completion_tokens=_count(usage.get("completion_tokens")),
            latency_s=latency_s,
            reasoning=reasoning,
        )
    except MALFORMED:
        raise Failure(f"the response is not a chat completion: {_excerpt(raw)}", passing=True) from None


def _content(content: object) -> tuple[str, str]:
    """Returns the text and the reasoning in a message's content, which is a string, None or a list of parts.

    Raises:
        TypeError: for any other type of content.
        KeyError: for a part that is neither text nor reasoning.
    """
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise TypeError
    texts: dict[str, list[str]] = {"text": [], "thinking": []}
    for item in content:
        part = {"type": "text", "text": item} if isinstance(item, str) else item
        kind = {"output_text": "text", "refusal": "text", "reasoning": "thinking"}.get(
            part["type"], part["type"]
        )
        value = part.get("text", part.get(part["type"]))
        texts[kind].append("".join(_content(value)))
    return "".join(texts["text"]), "".join(texts["thinking"])


def _count(value: object) -> int:
    """Returns a number of tokens, or 0 (unknown) if the server's value is not a plausible count."""
    return value if type(value) is int and 0 <= value <= _LARGEST_COUNT else 0


def _texts(message: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the text and the reasoning of a message or of a streamed piece of one.

    Reasoning is in `reasoning_content` (DeepSeek, SGLang, vLLM), in `reasoning` (vLLM), or in the content.
    """
    text, thoughts = _content(message.get("content"))
    given = message.get("reasoning_content") or message.get("reasoning") or thoughts
    reasoning = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return whole_characters(text), whole_characters(reasoning)


def read_events(lines: Iterable[str]) -> Iterator[str]:
    """Yields the pieces of text in a stream of server-sent events, or in a complete completion instead.

    Raises:
        Failure: for an event that reports an error or is malformed; at the end of the stream, if there was
            reasoning and no text, or if the stream was cut (neither a finish reason nor `[DONE]` came).
    """
    lines = iter(lines)
    first = next(filter(str.strip, lines), "")
    if first and not _EVENT.match(first):
        completion = read_completion("\n".join((first, *lines)).encode(), 0.0)
        if completion.text:
            yield completion.text
        if completion.has_no_content:
            raise Failure(no_reply(completion.reasoning, completion.finish_reason == "length"))
        return
    reasoning: list[str] = []
    replied = cut = finished = False
    for line in chain((first,), lines):
        field, _, data = line.partition(":")
        data = data.strip()
        if field != "data" or not data:
            continue
        if data == "[DONE]":
            finished = True
            break
        try:
            event = json.loads(data)
            if event.get("error"):
                raise Failure(error_text(data.encode()))
            for choice in event["choices"]:
                piece, thought = _texts(choice["delta"] or {})
                reasoning.append(thought)
                if piece:
                    replied = replied or bool(piece.strip())
                    yield piece
                if choice.get("finish_reason"):
                    finished, cut = True, _finish_reason(choice["finish_reason"]) == "length"
        except MALFORMED:
            raise Failure(f"not an event of a chat completion: {_excerpt(data.encode())}") from None
    if not finished:
        raise Failure("the stream ended before the reply was complete")
    if not replied and (thought := "".join(reasoning)).strip():
        raise Failure(no_reply(thought, cut))


def _finish_reason(reason: object) -> FinishReason:
    if reason in ("length", "max_tokens"):
        return "length"
    if reason == "content_filter":
        raise Failure("the server's content filter withheld the reply")
    if reason in ("abort", "error"):
        raise Failure("the server ended the reply early", passing=True)
    return "stop"


def broken(error: Exception) -> Failure:
    """Converts an exception of httpx to a failure, with the operating system's reason from its root cause."""
    import httpx

    root: BaseException = error
    while inner := (
        root.exceptions[0] if isinstance(root, BaseExceptionGroup) else root.__cause__ or root.__context__
    ):
        root = inner
    code = root.errno if isinstance(root, OSError) else None
    # asyncio rewords system errors, so use strerror; failed name look-ups have negative codes and clear texts
    text = os.strerror(code) if code and code > 0 else getattr(root, "strerror", None)
    unnamed = "timed out" if isinstance(error, httpx.TimeoutException) else type(error).__name__
    reason = text or str(error) or unnamed
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Failure(f"cannot connect ({reason.lower()})", passing=True, unreached=True)
    return Failure(f"the connection broke ({reason})", passing=True)


def refusal(status: int, headers: Mapping[str, str], raw: bytes, retry_after_cap: float) -> Failure:
    """Converts a response with a status other than 200 to a failure."""
    redirect = 300 <= status < 400
    note = f" ({FATAL_STATUSES[status]})" if status in FATAL_STATUSES else ""
    text = error_text(raw)
    if redirect:
        note = " (redirects are not followed: give the final address)"
        text = _excerpt(headers.get("location", "nowhere").encode())
    renamed = status == 400 and "max_completion_tokens" in text
    advice = "; add --set tokens_field=max_completion_tokens" if renamed else ""
    return Failure(
        f"HTTP {status}{note}: {text}{advice}",
        passing=status in PASSING_STATUSES or status >= 500,
        retry_after=min(parse_retry_after(headers.get("retry-after")), retry_after_cap),
        fatal=status in FATAL_STATUSES or redirect or renamed or UNTRUSTED in text,
    )


def parse_retry_after(text: str | None, now: float | None = None) -> float:
    """Parses a number of seconds or an HTTP date into seconds to wait, else 0.0. `now` is a Unix time."""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)
        except (ValueError, OverflowError, TypeError, OSError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def error_text(raw: bytes) -> str:
    """Extracts the error message from a response, from any of the keys that servers use."""
    try:
        data = json.loads(raw)
    except MALFORMED:
        return _excerpt(raw)
    for key in ("error", "message", "detail"):
        if isinstance(data, dict) and data.get(key):
            data = data[key]
    return _excerpt((data if isinstance(data, str) else json.dumps(data)).encode("utf-8", "replace"))


def _excerpt(raw: bytes) -> str:
    text = " ".join(raw[:2000].decode("utf-8", "replace").split())
    return (text if len(text) <= 300 else text[:297] + "...") or "nothing"


def whole_characters(text: str) -> str:
    """Joins surrogate pairs and replaces lone surrogates, which JSON can contain and UTF-8 files cannot."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
