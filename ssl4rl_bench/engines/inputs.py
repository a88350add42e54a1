"""How messages become the input of a model in this process: the same for each engine that holds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache, cached

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.types import EncodedImage, ImagePart, Message, TextPart, VideoPart, parts_of
from ssl4rl_bench.engines import templates
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.files import read_config
from ssl4rl_bench.engines.checkpoints.weights import require_chat_template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_CONTEXT = 32_768
"""Tokens, where the user asks for no other number: a long reply about a 12-megapixel image fits."""


@dataclass(frozen=True)
class Rendered:
    """A prompt as text with its decoded images and videos, each in the order of the text."""

    text: str
    """By the checkpoint's chat template; one placeholder an image or video."""
    images: list[Image.Image]
    """RGB."""
    image_ids: list[str]
    """Content hashes."""
    videos: list[tuple[NDArray[np.uint8], dict[str, Any]]]
    """Frames (time, height, width, 3), and where in time they are."""
    video_ids: list[str]


class Prompter:
    """A checkpoint's processor, and what the options say about inputs.

    Args:
        folder: the checkpoint.
        options: `min_pixels`, `max_pixels`, `max_model_len`.

    Raises:
        UsageError: for pixel limits that contradict the checkpoint's.
        ModelError: the checkpoint has no chat template.
        OSError, ValueError: when transformers cannot load the processor.
    """

    def __init__(self, folder: Path, options: EngineOptions) -> None:
        self.processor = load_processor(folder)
        self.limits = pixel_limits(dict(self.processor.image_processor.size or {}), options)
        self.context = context_length(folder, options)
        self._decode = decoder()
        self._guard = templates.guard(_template(self.processor), str(folder))
        self._tokens = dict(self.processor.tokenizer.special_tokens_map)

    def render(self, messages: Sequence[Message]) -> Rendered:
        """The prompt up to where the reply starts.

        Raises:
            ModelError: the chat template exceeds the limits on time and memory.
            UsageError: for a video without frames, or with frames of different sizes.
            images.ImageError: for an image that does not decode.
        """
        chat = chat_messages(messages)
        self._guard.check({"messages": chat, "add_generation_prompt": True, **self._tokens})
        stills = [part.image for part in parts_of(messages, ImagePart)]
        videos = list(parts_of(messages, VideoPart))
        return Rendered(
            text=self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False),
            images=[self._decode(image) for image in stills],
            image_ids=[image.sha256 for image in stills],
            videos=[self._video(video) for video in videos],
            video_ids=[
                sha256_json([[frame.sha256 for frame in video.frames], video.fps]) for video in videos
            ],
        )

    def _video(self, video: VideoPart) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        import numpy as np

        frames = [np.asarray(self._decode(frame)) for frame in video.frames]
        if not frames or any(frame.shape != frames[0].shape for frame in frames):
            raise UsageError("a video needs frames, all of one size")
        count = len(frames)
        about = {
            "total_num_frames": count,
            "fps": video.fps,
            "duration": count / video.fps,
            "frames_indices": list(range(count)),
            "video_backend": "frames",
            "height": frames[0].shape[0],
            "width": frames[0].shape[1],
        }
        return np.stack(frames), about


def load_processor(folder: Path) -> Any:
    """A checkpoint's processor, with the tokenizer's chat template where it has none itself.

    Raises:
        ModelError: there is no chat template.
        OSError, ValueError: when transformers cannot load it.
    """
    from transformers import AutoProcessor

    require_chat_template(folder)
    processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not processor.chat_template:
        processor.chat_template = processor.tokenizer.chat_template
    return processor


def _template(processor: Any) -> str:
    """The source that `apply_chat_template` renders: a processor may have several, by name."""
    given = processor.chat_template
    return str(given.get("default", "") if isinstance(given, Mapping) else given)


def decoder(max_pixels: int = 64_000_000) -> Callable[[EncodedImage], Image.Image]:
    """`images.decode`, with each image decoded once as long as it is among the recently used ones.

    Args:
        max_pixels: to keep, over all images; 3 bytes each. A larger image is kept alone.
    """
    kept: LRUCache[str, Image.Image] = LRUCache(
        max_pixels, getsizeof=lambda image: min(image.width * image.height, max_pixels)
    )
    return cached(kept, key=lambda image: image.sha256)(images.decode)


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages in the form that chat templates take: an image or video is a marker, its pixels go beside."""
    kinds = {ImagePart: "image", VideoPart: "video"}
    return [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part.text}
                if isinstance(part, TextPart)
                else {"type": kinds[type(part)]}
                for part in message.content
            ],
        }
        for message in messages
    ]


def context_length(folder: Path, options: EngineOptions) -> int:
    """Tokens that prompt and reply may have together: `max_model_len`, or what config.json allows.

    It is never more than `MAX_CONTEXT` unless the user says so.
    """
    if options.max_model_len:
        return options.max_model_len
    config = text_config(folder)
    return min(int(config.get("max_position_embeddings") or MAX_CONTEXT), MAX_CONTEXT)


def text_config(folder: Path) -> dict[str, Any]:
    """The language model's part of a checkpoint's config.json."""
    config: dict[str, Any] = read_config(folder)
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def too_long(n_tokens: int, context: int) -> UsageError:
    """The error of a prompt that leaves no room for a reply."""
    return UsageError(f"the prompt has {n_tokens} tokens, prompt and reply together may have {context}")


def pixel_limits(image_size: Mapping[str, Any], options: EngineOptions) -> dict[str, int]:
    """What to pass to an image processor; empty for the checkpoint's own limits.

    Both limits or none: transformers' Qwen2-VL processor silently ignores one that comes alone.

    Args:
        image_size: the image processor's `size`, for the limit that the options leave open.
        options: the user's limits.

    Raises:
        UsageError: when the user's limit is on the wrong side of the checkpoint's other one.
    """
    if options.min_pixels is None and options.max_pixels is None:
        return {}
    low = options.min_pixels or image_size.get("shortest_edge") or 1
    high = options.max_pixels or image_size.get("longest_edge") or max(low, 12_845_056)
    if low > high:
        raise UsageError(
            f"min_pixels {low} is above max_pixels {high}, one of them the checkpoint's own; set both"
        )
    return {"min_pixels": low, "max_pixels": high}
