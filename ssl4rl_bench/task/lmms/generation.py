"""Converts what lmms-eval's tasks ask for (settings, chat messages) to the types of this project.

`interop.lmms` and the kind of task `lmms` use it. It imports neither lmms-eval nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import EncodedImage, ImagePart, Message, Part, Role, Sampling, TextPart

_CAPS = ("max_new_tokens", "max_gen_toks", "max_tokens")
"""lmms-eval's names for the limit on a reply's tokens; the first one that is set counts."""
_ONLY = {"num_beams": 1, "n": 1, "best_of": 1, "num_return_sequences": 1, "repetition_penalty": 1}
"""Generation settings that the engines do not support, with the value that has no effect."""
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def sampling(settings: Mapping[str, Any], name: str) -> Sampling:
    """Converts a task's `generation_kwargs` to sampling settings.

    A temperature above 0 samples regardless of `do_sample`; `do_sample` alone means temperature 1. The task's
    limit on new tokens is never raised. Settings about images ("image_aspect_ratio") are ignored.

    Raises:
        UsageError: for beams or a penalty, which the engines do not support.
    """
    for key, absent in _ONLY.items():
        if settings.get(key) is not None and settings[key] != absent:
            raise UsageError(f"{name} sets {key} to {settings[key]}: the engines support only {absent}")
    temperature = settings.get("temperature")
    if temperature is None:
        temperature = 1.0 if settings.get("do_sample") else 0.0
    caps = [settings[key] for key in _CAPS if settings.get(key) is not None]
    default = Sampling()
    top_k = settings.get("top_k")
    return Sampling(
        temperature=float(temperature),
        top_p=default.top_p if settings.get("top_p") is None else float(settings["top_p"]),
        top_k=default.top_k if top_k is None else max(0, int(top_k)),
        max_tokens=int(caps[0]) if caps else default.max_tokens,
    )


def stops(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the stop strings of `generation_kwargs`."""
    until = settings.get("until") or ()
    return tuple(text for text in ([until] if isinstance(until, str) else until) if text)


def cut(text: str, until: Sequence[str]) -> str:
    """Returns the text up to the first occurrence of any stop string."""
    return text[: min((index for stop in until if (index := text.find(stop)) >= 0), default=len(text))]


def chat_message(
    name: str, message: Mapping[str, Any], cache: dict[str, EncodedImage], known: Sequence[EncodedImage] = ()
) -> Message:
    """Converts a chat message of lmms-eval.

    Args:
        name: the task, for messages of errors.
        cache: images by digest; equal images of different messages become one object.
        known: the document's images in their original encoding. A picture with the same pixels as one of them
            is sent in that encoding; any other is encoded as PNG.

    Raises:
        UsageError: for another role, video, audio, or an image that is only named.
        ImageError: for an image that exceeds the limits.
    """
    if message["role"] not in _ROLES:
        raise UsageError(f"{name} has a message of role {message['role']}, which is not supported")
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return Message(_ROLES[message["role"]], tuple(_part(name, part, cache, known) for part in content))


def _part(
    name: str, part: Mapping[str, Any], cache: dict[str, EncodedImage], known: Sequence[EncodedImage]
) -> Part:
    if part["type"] == "text":
        return TextPart(part["text"])
    picture = part.get("url")
    if part["type"] != "image" or picture is None or not hasattr(picture, "convert"):
        kind = part["type"] if part["type"] != "image" else "image that is only named"
        raise UsageError(f"{name} asks about a {kind}: only text and decoded images are supported")
    return ImagePart(shared(_encoded(picture, known), cache))


def _encoded(picture: Any, known: Sequence[EncodedImage]) -> EncodedImage:
    shown = picture if picture.mode == "RGB" else None
    for image in known if shown is not None else ():
        original = images.decode(image)
        if original.size == picture.size and original.tobytes() == picture.tobytes():
            return image
    return images.from_pil(picture)


def shared(image: EncodedImage, cache: dict[str, EncodedImage]) -> EncodedImage:
    """Returns the first image in the cache with these bytes, which may be this one."""
    return cache.setdefault(image.sha256, image)
