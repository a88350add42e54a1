"""Measures a recipe's prompts on a sample of its images, without torch and without the base's weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import BenchError, UsageError
from ssl4rl_bench.core.names import full_name, hub_id
from ssl4rl_bench.core.scratch import ScratchFolder
from ssl4rl_bench.core.types import EncodedImage
from ssl4rl_bench.datasets.validation import refuse_validation
from ssl4rl_bench.engines.checkpoints.served import chat_template, served
from ssl4rl_bench.engines.template_child import make_environment
from ssl4rl_bench.task.pictures import open_source, split_of
from ssl4rl_bench.task.pictures.drawn import DrawnSet
from ssl4rl_bench.task.pictures.making import Opened, corrupt
from ssl4rl_bench.task.registry import task_images
from ssl4rl_bench.task.ssl import Unusable
from ssl4rl_bench.task.taskfile import load_taskfile, task_names
from ssl4rl_bench.train.data import TrainingTask, training_tasks
from ssl4rl_bench.train.planning.memory_parts import Lengths
from ssl4rl_bench.train.planning.shapes import QWEN3, QWEN25, ModelShape
from ssl4rl_bench.train.recipe import Recipe

SAMPLE = 64
"""The maximum number of images in the sample."""
SECONDS = 4.0
"""Time after which no more images are measured, once each task has a prompt."""
PIXELS = {QWEN25: (3136, 12845056), QWEN3: (65536, 16777216)}
"""Pixel limits of the published processors by family, used if those of the base are unknown."""
TOKEN_SIDE = 28
"""Side of an image token of Qwen2.5-VL in pixels: 2 x 2 merged patches of 14. Patches of Qwen3-VL have 16."""

CountText = Callable[[str, int], int]
"""Returns the tokens of a chat, excluding those of the images, given the prompt's text and number of
images."""
NamedImage = tuple[str, EncodedImage]
"""An image and its name in its source."""


@dataclass(frozen=True, slots=True)
class PromptSizes:
    """Sizes of the prompts that are short enough to be used. Averages are over the tasks."""

    pictures: float
    """Average number of pictures per prompt."""
    image_tokens: float | None = None
    """Average number of image tokens per prompt."""
    most_image_tokens: int | None = None
    """Image tokens of the prompt that has most."""
    tokens: float | None = None
    """Average number of tokens per prompt."""
    longest: int | None = None
    """Tokens of the longest prompt."""
    over_long: int = 0
    """Prompts in the sample that are longer than `max_prompt_tokens`; the other sizes leave them out."""
    longest_of_all: int | None = None
    """Tokens of the longest prompt, including those that are too long."""
    measured: int = 0
    """Prompts in the sample, including those that are too long."""
    usable: float = 1.0
    """Share of the sample's images that have a prompt that is short enough."""

    def lengths(self, recipe: Recipe) -> Lengths:
        """Returns the lengths of the run as far as they were measured, and the recipe's maximum lengths otherwise."""
        most = Lengths.at_most(recipe)
        if self.image_tokens is None or self.most_image_tokens is None:
            return most
        return Lengths(self.longest or most.prompt, most.reply, self.image_tokens, self.most_image_tokens)


def smart_resize(width: int, height: int, low: int, high: int, side: int = TOKEN_SIDE) -> tuple[int, int]:
    """Returns the size to which the image processor of Qwen2.5-VL and Qwen3-VL scales an image.

    The sides are multiples of `side`, that of a token, and the area is `low` to `high` pixels.

    Raises:
        UsageError: the aspect ratio exceeds 200, which the processor refuses.
    """
    if max(width, height) > 200 * min(width, height):
        raise UsageError(
            f"an image of {width} x {height} pixels is too elongated for the image processor: leave it out"
        )
    w, h = round(width / side) * side, round(height / side) * side
    if w * h > high:
        by = math.sqrt(width * height / high)
        w, h = (max(side, math.floor(x / by / side) * side) for x in (width, height))
    elif w * h < low:
        by = math.sqrt(low / (width * height))
        w, h = (math.ceil(x * by / side) * side for x in (width, height))
    return w, h


def tokens_of(width: int, height: int, low: int, high: int, side: int = TOKEN_SIDE) -> int:
    """Returns the number of tokens of an image; for the arguments see `smart_resize`."""
    w, h = smart_resize(width, height, low, high, side)
    return w * h // side**2


def recipe_pixel_limits(
    recipe: Recipe, folder: Path | None, shape: ModelShape | None = None
) -> tuple[int, int]:
    """Returns the pixel limits of the recipe, or those of the base's processor, or those in `PIXELS`."""
    base = served(folder) if folder else {}
    usual = PIXELS[shape.family if shape else QWEN25]
    low, high = base.get("min_pixels") or usual[0], base.get("max_pixels") or usual[1]
    return recipe.model.min_pixels or low, recipe.model.max_pixels or high


def text_counter(folder: Path) -> CountText | None:
    """Returns a function that counts tokens with a checkpoint's tokenizer and chat template.

    Returns None if the checkpoint lacks one of them, or the package `tokenizers` is not installed.

    Raises:
        BenchError: the template is not valid Jinja.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    text = chat_template(folder)
    if text is None or not (folder / "tokenizer.json").is_file():
        return None
    from jinja2 import TemplateError

    try:
        template = make_environment().from_string(text)
    except TemplateError as error:
        raise BenchError(f"{folder} has a chat template that does not compile: {error}") from None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def count(text: str, pictures: int) -> int:
        content = [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": text}]
        chat = template.render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)
        return len(tokenizer.encode(chat, add_special_tokens=False).ids) - pictures

    return count


def measure(
    recipe: Recipe, folder: Path | None, encoded: Sequence[NamedImage], shape: ModelShape | None = None
) -> PromptSizes:
    """Makes the prompts of the first epoch for each task and image of a sample, and measures them.

    Args:
        encoded: the images, as `sample` returns them.
        folder: folder of the base. Without it or its tokenizer, only the tokens of the images are counted.
        shape: shape of the base; if it is unknown, images are counted as by Qwen2.5-VL.
    """
    tasks = training_tasks(recipe.tasks, recipe.data.prompt)
    count = text_counter(folder) if folder else None
    side = shape.vision.token_side if shape else TOKEN_SIDE
    by_image = _of_images(tasks, encoded, (*recipe_pixel_limits(recipe, folder, shape), side), count)
    made = [sized for sizes in by_image for sized in sizes.values()]
    limit = recipe.grpo.max_prompt_tokens
    short = [{name: one for name, one in sizes.items() if one.total <= limit} for sizes in by_image]
    used = [sized for sizes in short for sized in sizes.values()]
    if not used:
        drawn = _of_images(tasks, _drawn(DrawnSet("dev", 1)), (*PIXELS[QWEN25], side), None)
        return PromptSizes(
            _mean(tasks, drawn, lambda sized: sized.pictures),
            over_long=len(made),
            longest_of_all=max((sized.total for sized in made), default=None),
            measured=len(made),
            usable=0.0 if made else 1.0,
        )
    sizes = PromptSizes(
        _mean(tasks, short, lambda sized: sized.pictures),
        _mean(tasks, short, lambda sized: sized.of_images),
        max(sized.of_images for sized in used),
        over_long=len(made) - len(used),
        longest_of_all=max(sized.total for sized in made),
        measured=len(made),
        usable=sum(map(bool, short)) / sum(map(bool, by_image)),
    )
    if not count:
        return sizes
    mean = _mean(tasks, short, lambda sized: sized.total)
    return replace(sizes, tokens=mean, longest=max(sized.total for sized in used))


class _Sizes(NamedTuple):
    """Sizes of one prompt."""

    pictures: int
    of_images: int
    """Number of image tokens."""
    of_text: int
    """Number of text tokens; 0 if they cannot be counted."""

    @property
    def total(self) -> int:
        return self.of_images + self.of_text


def _mean(
    tasks: Sequence[TrainingTask], by_image: Sequence[dict[str, _Sizes]], value: Callable[[_Sizes], float]
) -> float:
    """Returns the mean over the tasks' prompts, where a task of pairs makes two prompts from an image."""
    sizes = {a.name: [one[a.name] for one in by_image if a.name in one] for a in tasks}
    weights = {a.name: a.weight * len(a.roles) for a in tasks if sizes[a.name]}
    by_task = (weight * sum(map(value, sizes[name])) / len(sizes[name]) for name, weight in weights.items())
    return sum(by_task) / sum(weights.values())


def _of_images(
    tasks: Sequence[TrainingTask],
    encoded: Sequence[NamedImage],
    resizing: tuple[int, int, int],
    count: CountText | None,
) -> list[dict[str, _Sizes]]:
    """Measures a prompt of each image and task, by the task's name, for as many images as time permits.

    Args:
        resizing: the limits of an image's pixels and the side of a token, as for `smart_resize`.
    """
    by_image: list[dict[str, _Sizes]] = []
    until = time.monotonic() + SECONDS
    for name, image in encoded:
        if time.monotonic() > until and {name for sizes in by_image for name in sizes} >= {
            a.name for a in tasks
        }:
            break
        with suppress(images.ImageError):
            opened, sizes = Opened.of(image, name), dict[str, _Sizes]()
            for a in tasks:
                with suppress(Unusable):
                    made = corrupt(a.task, opened)[0]
                    seen = sum(tokens_of(*one.size, *resizing) for one in made.images)
                    text = count(a.prompt(made.text), len(made.images)) if count else 0
                    sizes[a.name] = _Sizes(len(made.images), seen, text)
            by_image.append(sizes)
    return by_image


def sample(recipe: Recipe) -> tuple[int | None, list[NamedImage]]:
    """Returns the number of a recipe's images, before any are left out, and an even sample of up to `SAMPLE`.

    Files are listed and drawings are counted. The hub is not accessed: for images on the hub, the number is
    None and the sample is empty.

    Raises:
        UsageError, DataError: the images are not a valid source, as for `pictures.open_source`, or are those of a
            validation file.
    """
    spec, ratio, limit = recipe.data.images, recipe.data.split, recipe.data.limit
    refuse_validation(spec)
    if (drawn := DrawnSet.parse(spec)) is not None:
        from ssl4rl_bench.task import scenes

        leaves = [leaf for leaf in scenes.LEAVES if drawn.leaf in (None, leaf.name)]
        total = sum(drawn.per_leaf or leaf.n_dev for leaf in leaves)
        few = SAMPLE // len(leaves)
        encoded = list(_drawn(replace(drawn, per_leaf=min(few, drawn.per_leaf or few))))
    elif not Path(spec).expanduser().exists() and _elsewhere(spec):
        return None, []
    else:
        with ScratchFolder("images") as spool:
            split = recipe.data.images_split
            source = open_source(spec, spool=Path(spool), task_images=task_images, split=split)
            total = len(source.images)
            wanted = SAMPLE if ratio is None else int(SAMPLE / ratio)
            encoded = []
            for located in source.images[:: max(1, total // wanted)][:wanted]:
                with suppress(images.ImageError, OSError):
                    encoded.append((located.name, images.from_bytes(located.read())))
    if ratio is not None:
        total = round(total * ratio)
        encoded = [(name, image) for name, image in encoded if split_of(image.sha256, ratio) == "train"]
    return total if limit is None else min(total, limit), encoded[:SAMPLE]


def _elsewhere(spec: str) -> bool:
    """Whether images are not on this machine: those of a hub id, or of a task whose data file is missing."""
    name = full_name(spec)
    if name in task_names():
        file = load_taskfile(name).data_file
        return file is None or not file.exists()
    return hub_id(spec) is not None


@cache
def _drawn(drawn: DrawnSet) -> tuple[NamedImage, ...]:
    return tuple((name, images.from_bytes(data)) for name, data in drawn.pictures())
