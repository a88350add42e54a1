"""Builds messages from user input or from a batch file: from paths, URLs, base64, pictures and videos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union
from urllib.parse import unquote, urlsplit

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.images import MAX_BYTES, ImageError, from_base64, from_bytes, from_pil
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import EncodedImage, ImagePart, Message, Part, Role, TextPart, VideoPart

if TYPE_CHECKING:
    from PIL import Image

ImageInput: TypeAlias = Union[str, "os.PathLike[str]", bytes, EncodedImage, "Image.Image"]
"""A path, a `file://` or `https://` URL, base64 with or without a `data:` prefix, bytes, or a picture."""

_BASE64_STARTS = ("iVBORw0KGgo", "/9j/", "UklGR")
"""The first characters of PNG, JPEG and WebP files in base64."""


def build_messages(
    question: str,
    images: Iterable[ImageInput] = (),
    *,
    video: str | os.PathLike[str] | VideoPart | None = None,
    system: str | None = None,
) -> tuple[Message, ...]:
    """Builds a system message, and a user message of the images in order, the video and the question.

    Raises:
        UsageError, DataError: for an image or video that cannot be used.
    """
    parts: list[Part] = [ImagePart(load_image(image)) for image in images]
    if video is not None:
        parts.append(video if isinstance(video, VideoPart) else load_video(video))
    parts.append(TextPart(question))
    head = (Message("system", (TextPart(system),)),) if system else ()
    return (*head, Message("user", tuple(parts)))


def load_image(source: ImageInput) -> EncodedImage:
    """Loads an image. Never pass a string from a data set, since it may name any file or URL.

    Raises:
        UsageError, DataError: if the source is not a usable image.
    """
    if isinstance(source, EncodedImage):
        return source
    if isinstance(source, bytes):
        return from_bytes(source)
    if not isinstance(source, str | os.PathLike):
        return from_pil(source)
    text = os.fspath(source)
    if _is_base64(text) and not _exists(text):
        return _from_base64(text)
    if text.startswith(("http://", "https://")):
        from ssl4rl_bench.engines.fetch import fetch, shown_url

        return _named(shown_url(text), from_bytes, fetch(text))
    return _read_image(_local_path(text))


def load_video(source: str | os.PathLike[str], max_frames: int = 16, fps: float = 2.0) -> VideoPart:
    """Samples frames from a local video file, given by its path or `file://` URL.

    Raises:
        UsageError, DataError, MissingDependency: see `video.sample_frames`.
    """
    from ssl4rl_bench.engines.video import sample_frames

    return sample_frames(_local_path(os.fspath(source)), max_frames, fps)


@dataclass(frozen=True)
class BatchChat:
    """One line of a batch file."""

    line: int
    id: str | None
    messages: tuple[Message, ...]


def read_batch(
    path: Path, image_root: Path | None = None, *, video_frames: int = 16, video_fps: float = 2.0
) -> Iterator[BatchChat]:
    """Reads chats lazily from a JSONL file.

    A line is a list of messages, `{"messages": [...]}`, or `{"question", "images", "video", "system"}`; an
    object may have an "id". Images are base64 or paths inside `image_root`; URLs are never opened.

    Raises:
        DataError: for a line of any other form; the message gives the line number.
        UsageError: if the file or `image_root` does not exist.
    """
    if not path.is_file():
        raise UsageError(f"no batch file {path}")
    if image_root is not None and not image_root.is_dir():
        raise UsageError(f"--image-root {image_root} is not a directory")

    def inside(text: str) -> Path:
        if "://" in text and not text.startswith("file://"):
            raise DataError(f"{_short(text)} is a URL, and a batch file cannot refer to URLs; give base64")
        if image_root is None:
            raise DataError(f"{_short(text)} is not base64; paths are read only with --image-root DIR")
        try:
            path = (image_root / _local_path(text)).resolve()
        except (OSError, RuntimeError, ValueError):  # a null byte, or a loop of symbolic links
            raise DataError(f"{_short(text)} is not a path") from None
        if not path.is_relative_to(image_root.resolve()):
            raise DataError(f"{_short(text)} is outside of --image-root {image_root}")
        return path

    def image(text: str) -> EncodedImage:
        return _from_base64(text) if _is_base64(text) else _read_image(inside(text))

    def video(text: str) -> VideoPart:
        return load_video(inside(text), video_frames, video_fps)

    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                name, chat = _read_line(line)
                messages = parse_messages(chat, image, video)
            except (DataError, UsageError) as error:
                raise DataError(f"{path}, line {number}: {error}") from None
            yield BatchChat(number, name, messages)


def _read_line(line: bytes) -> tuple[str | None, Any]:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise DataError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        return None, value
    name = None if value.get("id") is None else str(value["id"])
    return name, _simple_chat(value) if "question" in value else value.get("messages")


def parse_messages(
    chat: Any, load: Callable[[str], EncodedImage], load_video: Callable[[str], VideoPart]
) -> tuple[Message, ...]:
    """Converts a list of dicts in the format of OpenAI's or Qwen's clients to messages.

    Raises:
        DataError: for any other format.
    """
    if not isinstance(chat, list | tuple) or not chat:
        raise DataError('a chat must be a list of messages, or have "messages" or "question"')
    out = []
    for message in chat:
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("system", "user", "assistant"):
            raise DataError('each message must be an object with a "role": system, user or assistant')
        content = message.get("content")
        items = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(items, list) or not items:
            raise DataError(f'the {role} message has no "content"')
        known_role: Role = role
        out.append(Message(known_role, tuple(_part(item, load, load_video) for item in items)))
    return tuple(out)


def _part(item: Any, load: Callable[[str], EncodedImage], load_video: Callable[[str], VideoPart]) -> Part:
    kind = item.get("type") if isinstance(item, dict) else None
    value = item.get(kind) if isinstance(kind, str) else None
    if isinstance(value, dict):  # OpenAI's {"image_url": {"url": ...}}
        value = value.get("url")
    if kind not in ("text", "image", "image_url", "video", "video_url") or not isinstance(value, str):
        raise DataError('a content part must be like {"type": "text", "text": "..."}, or image or video')
    if extra := sorted(set(item) - {"type", kind}):
        raise DataError(
            f"a content part takes no {extra[0]!r}; limits on pixels and frames apply to the whole run"
        )
    if kind == "text":
        return TextPart(value)
    return ImagePart(load(value)) if kind.startswith("image") else load_video(value)


def _simple_chat(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = fields.get("images", fields.get("image", []))
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list):
        raise DataError('"images" must be a list')
    content: list[dict[str, Any]] = [{"type": "image", "image": image} for image in listed]
    if fields.get("video") is not None:
        content.append({"type": "video", "video": fields["video"]})
    content.append({"type": "text", "text": fields["question"]})
    system = [{"role": "system", "content": fields["system"]}] if fields.get("system") else []
    return [*system, {"role": "user", "content": content}]


def _is_base64(text: str) -> bool:
    return text.startswith(("data:", *_BASE64_STARTS))


def _from_base64(text: str) -> EncodedImage:
    return _named("the base64 image", from_base64, text)


def _local_path(text: str) -> Path:
    if text.startswith("file://"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{_short(text)} names another machine")
        return Path(unquote(parts.path))
    if "://" in text:
        raise UsageError(f"{_short(text)} is a URL, which is not opened here; give a file")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~name" of an unknown user
        return Path(text)


def _read_image(path: Path) -> EncodedImage:
    if not _exists(str(path)):
        raise UsageError(f"no image file {_short(str(path))}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {_short(str(path))}: {error.strerror}") from None
    return _named(_short(str(path)), from_bytes, data)


def _exists(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long, or a null byte
        return False


def _named(name: str, read: Callable[[Any], EncodedImage], value: Any) -> EncodedImage:
    try:
        return read(value)
    except ImageError as error:
        raise ImageError(f"{name} cannot be used: {error}") from None


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
