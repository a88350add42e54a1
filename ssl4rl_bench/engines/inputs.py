"""Turns messages into model input. Shared by the engines that run a model in this process (hf and vllm)."""

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
"""Default limit on prompt plus reply, in tokens: enough for a long reply about a 12-megapixel image."""


@dataclass(frozen=True)
class Rendered:
    """A prompt as text, with its decoded images and videos in the order in which the text refers to them."""

    text: str
    """The text rendered by the checkpoint's chat template, with one placeholder per image or video."""
    images: list[Image.Image]
    """The images in RGB."""
    image_ids: list[str]
    """The content hashes of the images."""
    videos: list[tuple[NDArray[np.uint8], dict[str, Any]]]
    """Per video, the frames of shape (time, height, width, 3) and metadata with their positions in time."""
    video_ids: list[str]
    """The content hashes of the videos."""


class Prompter:
    """Renders prompts with a checkpoint's processor, under the limits that the options set.

    Args:
        folder: the checkpoint.
        options: `min_pixels`, `max_pixels`, `max_model_len`.

    Raises:
        UsageError: for pixel limits that contradict those of the checkpoint.
        ModelError: if the checkpoint has no chat template.
        OSError, ValueError: if transformers cannot load the processor.
    """

    def __init__(self, folder: Path, options: EngineOptions) -> None:
        self.processor = load_processor(folder)
        self.limits = pixel_limits(dict(self.processor.image_processor.size or {}), options)
        self.context = context_length(folder, options)
        self._decode = decoder()
        self._guard = templates.guard(_template(self.processor), str(folder))
        self._tokens = dict(self.processor.tokenizer.special_tokens_map)

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders the prompt up to the point where the reply starts.

        Raises:
            ModelError: if the chat template exceeds the limits on time and memory.
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
    """Loads a checkpoint's processor; if it has no chat template, it gets the tokenizer's.

    Raises:
        ModelError: if there is no chat template.
        OSError, ValueError: if transformers cannot load the processor.
    """
    from transformers import AutoProcessor

    require_chat_template(folder)
    processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not processor.chat_template:
        processor.chat_template = processor.tokenizer.chat_template
    return processor


def _template(processor: Any) -> str:
    """Returns the template that `apply_chat_template` renders; a processor may have several named ones."""
    given = processor.chat_template
    return str(given.get("default", "") if isinstance(given, Mapping) else given)


def decoder(max_pixels: int = 64_000_000) -> Callable[[EncodedImage], Image.Image]:
    """Returns `images.decode` with an LRU cache, keyed by content hash.

    Args:
        max_pixels: the size of the cache in pixels of 3 bytes each. A larger image evicts all others.
    """
    cache: LRUCache[str, Image.Image] = LRUCache(
        max_pixels, getsizeof=lambda image: min(image.width * image.height, max_pixels)
    )
    return cached(cache, key=lambda image: image.sha256)(images.decode)


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Converts messages to the format of chat templates, with a marker in place of each image or video."""
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
    """Returns the maximum length of prompt plus reply in tokens.

    This is `max_model_len` if set, else the limit in config.json, but at most `MAX_CONTEXT`.
    """
    if options.max_model_len:
        return options.max_model_len
    config = text_config(folder)
    return min(int(config.get("max_position_embeddings") or MAX_CONTEXT), MAX_CONTEXT)


def text_config(folder: Path) -> dict[str, Any]:
    """Returns a checkpoint's config.json with the language model's settings (`text_config`) merged in."""
    config: dict[str, Any] = read_config(folder)
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def too_long(n_tokens: int, context: int) -> UsageError:
    """Returns the error for a prompt that leaves no room for a reply."""
    return UsageError(f"the prompt has {n_tokens} tokens, prompt and reply together may have {context}")


def pixel_limits(image_size: Mapping[str, Any], options: EngineOptions) -> dict[str, int]:
    """Returns the pixel limits to pass to an image processor; empty if the options set none.

    Returns both limits or neither, since transformers' Qwen2-VL processor silently ignores a single one.

    Args:
        image_size: the image processor's `size`, which provides the limit that the options do not set.
        options: the user's limits.

    Raises:
        UsageError: if the minimum is above the maximum.
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
