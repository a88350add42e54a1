"""A program for renderer processes that needs no model: what each message says is what happens."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from ssl4rl_bench.core.errors import ModelError, UsageError
from ssl4rl_bench.core.types import Message, TextPart
from ssl4rl_bench.engines.vllm import renderer

PIXELS = 100_000


def serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.recv()
    renderer.work(connection, render, encode)


def render(messages: Sequence[Message]) -> str:
    (part,) = messages[0].content
    assert isinstance(part, TextPart)
    text = part.text
    word, _, rest = text.partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "die-once" and not os.path.exists(rest):  # noqa: PTH110
        os.close(os.open(rest, os.O_CREAT))
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "sleep":
        time.sleep(float(rest))
    if word == "bad":
        raise UsageError("it is bad")
    if word == "template":
        raise ModelError("it loops")
    return text


def encode(prepared: Sequence[Any]) -> list[Any]:
    """The texts, then two buffers of pixels: large ones if any text is "large"."""
    texts = [
        [str(made), isinstance(made, ModelError)] if isinstance(made, Exception) else made
        for made in prepared
    ]
    size = PIXELS if "large" in texts else 5
    return [json.dumps(texts).encode(), b"a" * size, b"b" * (size + 1)]


def decode(buffers: Sequence[Any]) -> list[Any]:
    first, *pixels = buffers
    assert [bytes(view[:1]) for view in pixels] == [b"a", b"b"]
    sizes = [len(view) for view in pixels]
    return [
        (ModelError(made[0]) if made[1] else made[0])
        if isinstance(made, list)
        else {"text": made, "sizes": sizes, "pixels": pixels}
        for made in json.loads(bytes(first))
    ]
