"""Prepares prompts for `SharingNetwork`: each image is processed once, and each distinct prompt tokenized once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from ssl4rl_bench.core.types import Message
from ssl4rl_bench.engines.hf.grouping import Key
from ssl4rl_bench.engines.inputs import Prompter, Rendered, too_long

IMAGE, VIDEO = 1, 2
"""Kinds of tokens, as in transformers' `mm_token_type_ids`; text is 0."""
_GRIDS = {IMAGE: "image_grid_thw", VIDEO: "video_grid_thw"}
_PIXELS = {IMAGE: "pixel_values", VIDEO: "pixel_values_videos"}
_REMEMBERED_TOKENS = 16_384
"""The size of the cache of images and videos, in tokens of the language model."""


@dataclass(eq=False)
class Visual:
    """An image or video, before and after the vision encoder."""

    number: int
    """Negative, and equal for equal content."""
    kind: int
    grid: tuple[int, int, int]
    """The numbers of patches: time, height, width."""
    seconds: float | None
    """The time between two steps of a video's grid, where the processor computes it."""
    n_tokens: int
    pixels: Any
    """The processor's patches, or None once there are features."""
    features: Any = None
    """The encoder's output of shape (1 + deepstack layers, tokens, hidden size), or None before it ran."""


@dataclass(frozen=True, eq=False)
class VisualPrompt:
    """A tokenized prompt with its images and videos."""

    ids: Any
    """Token ids, of shape (tokens,)."""
    is_visual: Any
    """Boolean array of shape (tokens,): true for the tokens of images and videos."""
    visuals: Sequence[Visual]
    """In the order of their tokens."""
    key: Key
    positions: Any
    """Position ids, of shape (3, tokens)."""

    @property
    def n_tokens(self) -> int:
        """The number of tokens."""
        return len(self.ids)


class Preparer:
    """Renders and tokenizes prompts.

    Args:
        prompter: renders messages with the checkpoint's chat template.
        rope_index: `get_rope_index` of the model.
        config: the model's config, with the ids of the tokens that stand for images and videos.
    """

    def __init__(self, prompter: Prompter, rope_index: Callable[..., Any], config: Any) -> None:
        self._prompter = prompter
        self._rope_index = rope_index
        self._kinds = {config.image_token_id: IMAGE, config.video_token_id: VIDEO}
        self._image_token = prompter.processor.tokenizer.convert_ids_to_tokens(config.image_token_id)
        self._merge = int(config.vision_config.spatial_merge_size) ** 2
        self._numbers: dict[str, int] = {}
        self._visuals: LRUCache[int, Visual] = LRUCache(
            _REMEMBERED_TOKENS, getsizeof=lambda visual: min(visual.n_tokens, _REMEMBERED_TOKENS)
        )
        self._positions: LRUCache[Any, Any] = LRUCache(256)
        self._last: tuple[Any, VisualPrompt] | None = None

    def forget(self) -> None:
        """Drops the images, videos and prompts that are kept for later ones."""
        self._visuals.clear()
        self._last = None

    def prepare(self, messages: Sequence[Message]) -> VisualPrompt:
        """Returns the prompt of the messages. The same object again gives the same prompt, without any work.

        Raises:
            UsageError: for a prompt that leaves no room for a reply.
            ValueError: if the text has more or fewer placeholders than images.
        """
        if self._last is None or self._last[0] is not messages:
            self._last = (messages, self._prepare(messages))
        return self._last[1]

    def _prepare(self, messages: Sequence[Message]) -> VisualPrompt:
        import torch

        rendered = self._prompter.render(messages)
        places = rendered.text.count(self._image_token)
        if rendered.videos or (rendered.images and places != len(rendered.images)):
            ids, visuals = self._process_all(rendered)
        else:
            images = list(map(self._image, rendered.image_ids, rendered.images))
            ids, visuals = self._tokenize(rendered.text, images), images
        if len(ids) >= self._prompter.context:
            raise too_long(len(ids), self._prompter.context)
        kinds = [self._kinds.get(token, 0) for token in ids] if visuals else [0] * len(ids)
        visuals = _in_token_order(kinds, visuals)
        numbers = iter([visual.number for visual in visuals for _ in range(visual.n_tokens)])
        key = tuple(next(numbers) if kind else token for token, kind in zip(ids, kinds, strict=True))
        tokens = torch.tensor(ids)
        return VisualPrompt(tokens, torch.tensor(kinds) > 0, visuals, key, self._rope(kinds, visuals))

    def _tokenize(self, text: str, images: Sequence[Visual]) -> list[int]:
        """Tokenizes a text in which each image token stands for all tokens of an image."""
        if images:
            pieces = text.split(self._image_token)
            tokens = [self._image_token * image.n_tokens for image in images]
            text = "".join(piece + more for piece, more in zip(pieces, [*tokens, ""], strict=True))
        ids: list[int] = self._prompter.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _image(self, digest: str, image: Any) -> Visual:
        number = self._number(digest)
        known = self._visuals.get(number)
        if known is None:
            processor = self._prompter.processor.image_processor
            features = processor(images=[image], return_tensors="pt", **self._prompter.limits)
            known = self._visuals[number] = self._visual(number, IMAGE, features, 0, features["pixel_values"])
        return known

    def _process_all(self, rendered: Rendered) -> tuple[list[int], list[Visual]]:
        """Leaves everything to the processor."""
        features = process(self._prompter, rendered)
        visuals = []
        for kind, digests in ((IMAGE, rendered.image_ids), (VIDEO, rendered.video_ids)):
            if digests:
                counts = features[_GRIDS[kind]].prod(1).tolist()
                pixels = features[_PIXELS[kind]].split(counts)
                for index, (digest, part) in enumerate(zip(digests, pixels, strict=True)):
                    number = self._number(digest)
                    if number not in self._visuals:
                        self._visuals[number] = self._visual(number, kind, features, index, part)
                    visuals.append(self._visuals[number])
        return features["input_ids"][0].tolist(), visuals

    def _visual(self, number: int, kind: int, features: Mapping[str, Any], index: int, pixels: Any) -> Visual:
        time, height, width = features[_GRIDS[kind]][index].tolist()
        seconds = features.get("second_per_grid_ts") if kind == VIDEO else None
        return Visual(
            number,
            kind,
            (time, height, width),
            None if seconds is None else float(seconds[index]),
            time * height * width // self._merge,
            pixels,
        )

    def _number(self, digest: str) -> int:
        return self._numbers.setdefault(digest, -1 - len(self._numbers))

    def _rope(self, kinds: Sequence[int], visuals: Sequence[Visual]) -> Any:
        """Returns the position ids of a prompt, of shape (3, tokens)."""
        import torch

        if not visuals:
            return torch.arange(len(kinds)).expand(3, -1)
        layout = (tuple(kinds), tuple((visual.grid, visual.seconds) for visual in visuals))
        known = self._positions.get(layout)
        if known is None:
            grids: dict[str, Any] = {}
            for kind, name in _GRIDS.items():
                of_kind = [visual for visual in visuals if visual.kind == kind]
                grids[name] = torch.tensor([visual.grid for visual in of_kind]) if of_kind else None
                if any(visual.seconds is not None for visual in of_kind):
                    grids["second_per_grid_ts"] = torch.tensor([visual.seconds for visual in of_kind])
            types = torch.tensor([kinds])
            positions, _ = self._rope_index(torch.zeros_like(types), types, **grids)
            known = self._positions[layout] = positions[:, 0]
        return known


def process(prompter: Prompter, rendered: Rendered) -> dict[str, Any]:
    """Returns the output of the checkpoint's processor: tensors with a batch size of 1.

    A text alone goes to its tokenizer: processors since transformers 5.24 refuse one that quotes an image token.
    """
    inputs: dict[str, Any] = {}
    if rendered.images:
        inputs["images"] = rendered.images
    if rendered.videos:
        inputs["videos"] = [frames for frames, _ in rendered.videos]
        inputs["video_metadata"] = [about for _, about in rendered.videos]
        inputs["do_sample_frames"] = False
    processor = prompter.processor
    if inputs:
        inputs |= prompter.limits
    else:
        processor = processor.tokenizer
    return dict(processor(text=[rendered.text], return_tensors="pt", add_special_tokens=False, **inputs))


def _in_token_order(kinds: Sequence[int], visuals: Sequence[Visual]) -> list[Visual]:
    """Sorts images and videos by the place of their tokens.

    Raises:
        ValueError: if the tokens are not exactly those of the images and videos.
    """
    queues = {kind: [visual for visual in visuals if visual.kind == kind] for kind in (IMAGE, VIDEO)}
    tokens = [kind for kind in kinds if kind]
    ordered: list[Visual] = []
    start = 0
    while start < len(tokens) and queues[tokens[start]]:
        ordered.append(queues[tokens[start]].pop(0))
        start += ordered[-1].n_tokens
    if start != len(tokens) or any(queues.values()):
        raise ValueError("the prompt's placeholders do not match its images and videos")
    return ordered
