"""Content hashes, and seeds that depend only on the names and numbers that they are derived from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring
from typing import Any

from ssl4rl_bench.core.types import ImagePart, Message, Sampling, TextPart

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_hex(data: bytes) -> str:
    """Returns the SHA-256 hex digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> str:
    """Formats JSON with sorted keys and without spaces, so that equal values give equal text.

    Raises:
        TypeError: for a value that JSON cannot represent.
        ValueError: for NaN or infinity.
    """
    return _CANONICAL.encode(value)


def sha256_json(value: Any) -> str:
    """Returns the SHA-256 hex digest of a value's canonical JSON."""
    return sha256_hex(canonical_json(value).encode("utf-8", "surrogatepass"))


def sha256_json_list(values: Iterable[Any]) -> str:
    """Computes `sha256_json` of a list of values without keeping all of them in memory."""
    digest = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        digest.update(("," if number else "").encode())
        digest.update(canonical_json(value).encode("utf-8", "surrogatepass"))
    digest.update(b"]")
    return digest.hexdigest()


def seed_of(*parts: str | int) -> int:
    """Derives a 63-bit seed from names and numbers, independent of the machine and the order of calls."""
    digest = hashlib.sha256(canonical_json(list(parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def messages_json(messages: Sequence[Message]) -> str:
    """Returns the canonical JSON of messages, with each image represented by its content hash.

    It is assembled from texts, as `canonical_json` of the same value takes three times as long.
    """
    out = []
    for message in messages:
        parts = []
        for part in message.content:
            if isinstance(part, TextPart):
                parts.append(f'{{"text":{encode_basestring(part.text)}}}')
            elif isinstance(part, ImagePart):
                parts.append(f'{{"image":{encode_basestring(part.image.sha256)}}}')
            else:
                video = {"video": [frame.sha256 for frame in part.frames], "fps": part.fps}
                parts.append(canonical_json(video))
        out.append(f'{{"content":[{",".join(parts)}],"role":{encode_basestring(message.role)}}}')
    return f"[{','.join(out)}]"


def response_keys(
    sampling: Sampling,
    pixels: tuple[int | None, int | None],
    weights: str,
    engine: str,
    engine_version: str,
) -> Callable[[Sequence[Message], int | None], str]:
    """Returns a function that hashes everything that determines a reply: messages, a seed, and these settings.

    The seed must be None if the temperature is 0. The function computes `sha256_json` of an object, most of
    whose text is the same for all requests of a task.
    """
    before = f'{{"engine":{canonical_json([engine, engine_version])},"messages":'
    settings = [sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens]
    after = f',"pixels":{canonical_json(list(pixels))},"sampling":{canonical_json(settings)},"seed":'
    end = f',"weights":{canonical_json(weights)}}}'

    def key(messages: Sequence[Message], seed: int | None) -> str:
        text = f"{before}{messages_json(messages)}{after}{'null' if seed is None else seed}{end}"
        return sha256_hex(text.encode("utf-8", "surrogatepass"))

    return key
