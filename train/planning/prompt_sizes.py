"""How long a recipe's prompts are, on a sample of its images, without torch and without the base's weights."""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import BenchError, UsageError
from ssl4rl_bench.core.names import full_name, hub_id
from ssl4rl_bench.core.types import EncodedImage
from ssl4rl_bench.engines.checkpoints.files import read_json
from ssl4rl_bench.task.pictures import open_source, seed_for, split_of
from ssl4rl_bench.task.pictures.making import Opened
from ssl4rl_bench.task.registry import task_images
from ssl4rl_bench.task.ssl import Unusable
from ssl4rl_bench.task.taskfile import load_taskfile, task_names
from ssl4rl_bench.train.data import Asked, asked
from ssl4rl_bench.train.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

SAMPLE = 64
"""Images that are looked at."""
SECONDS = 4.0
"""After which no more of them are."""
PIXELS = (3136, 12845056)
"""Limits of the published Qwen2.5-VL processors, where the base's own are not known."""
TOKEN_SIDE = 28
"""Pixels of a Qwen2.5-VL token: 2 x 2 merged patches of 14."""

_DRAWN = re.compile(r"scenes(?::([\w-]+)(?::([1-9][0-9]{0,5}))?)?")

CountText = Callable[[str, int], int]
"""From a prompt's text and its number of images to the tokens of the chat, without what the images become."""


@dataclass(frozen=True, slots=True)
class PromptSizes:
    """What prompts show and how long they are."""

    pictures: float
    """A prompt shows, on average over the tasks."""
    image_tokens: float | None = None
    """Of a prompt's pictures together, on average."""
    tokens: float | None = None
    """Of a whole prompt, on average."""
    longest: int | None = None
    """Tokens of the longest prompt in the sample."""
    over_long: int = 0
    """Prompts of the sample over `max_prompt_tokens`."""
    measured: int = 0
    """Prompts that were made."""


def smart_resize(width: int, height: int, low: int, high: int, side: int = TOKEN_SIDE) -> tuple[int, int]:
    """What Qwen2.5-VL's image processor scales an image to: sides of whole tokens, `low` to `high` pixels in all.

    Raises:
        UsageError: for sides that are more than 200 to 1, which the processor refuses.
    """
    if max(width, height) > 200 * min(width, height):
        raise UsageError(f"an image of {width} x {height} pixels is too long for Qwen2.5-VL: leave it out")
    w, h = round(width / side) * side, round(height / side) * side
    if w * h > high:
        by = math.sqrt(width * height / high)
        w, h = (max(side, math.floor(x / by / side) * side) for x in (width, height))
    elif w * h < low:
        by = math.sqrt(low / (width * height))
        w, h = (math.ceil(x * by / side) * side for x in (width, height))
    return w, h


def tokens_of(width: int, height: int, low: int, high: int, side: int = TOKEN_SIDE) -> int:
    """Tokens that an image becomes."""
    w, h = smart_resize(width, height, low, high, side)
    return (w // side) * (h // side)


def pixel_limits(recipe: Recipe, folder: Path | None) -> tuple[int, int]:
    """Least and most pixels of an image: the recipe's, else those of the base's processor, else `PIXELS`."""
    own = PIXELS
    for name in ("processor_config.json", "preprocessor_config.json"):
        if folder is not None and (folder / name).is_file():
            values = read_json(folder / name)
            values = inner if isinstance(inner := values.get("image_processor"), dict) else values
            size = inner if isinstance(inner := values.get("size"), dict) else {}
            own = (
                values.get("min_pixels") or size.get("shortest_edge") or PIXELS[0],
                values.get("max_pixels") or size.get("longest_edge") or PIXELS[1],
            )
            break
    return recipe.model.min_pixels or own[0], recipe.model.max_pixels or own[1]


def text_counter(folder: Path) -> CountText | None:
    """Counts with a checkpoint's tokenizer and chat template; None where it has none, or `tokenizers` is missing."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    template = _template(folder)
    if template is None or not (folder / "tokenizer.json").is_file():
        return None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def count(text: str, pictures: int) -> int:
        content = [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": text}]
        chat = template.render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)
        return len(tokenizer.encode(chat, add_special_tokens=False).ids) - pictures

    return count


def measure(recipe: Recipe, folder: Path | None, encoded: Sequence[EncodedImage]) -> PromptSizes:
    """Makes a prompt of each task from each image of a sample, as the first epoch does.

    Args:
        folder: of the base; without it, or without its tokenizer, tokens are not counted but those of the images.
    """
    tasks = asked(recipe.tasks, recipe.data.prompt)
    share = _shares(tasks)
    low, high = pixel_limits(recipe, folder)
    count = text_counter(folder) if folder else None
    found: dict[str, list[tuple[int, int, int]]] = {a.name: [] for a in tasks}
    until = time.monotonic() + SECONDS
    for image in encoded:
        if time.monotonic() > until and all(found.values()):
            break
        try:
            opened = Opened.of(image)
        except images.ImageError:
            continue
        for a in tasks:
            if made := _made(a, opened):
                seen = sum(tokens_of(*one.size, low, high) for one in made)
                text = count(a.prompt, len(made)) if count else 0
                found[a.name].append((len(made), seen, text))
    asked_of = [a for a in tasks if found[a.name]]
    if not asked_of:
        return PromptSizes(pictures=_pictures(tasks, share))
    weight = sum(share[a.name] for a in asked_of)

    def mean(value: Callable[[tuple[int, int, int]], float]) -> float:
        by_task = ((share[a.name], [value(one) for one in found[a.name]]) for a in asked_of)
        return sum(part * sum(values) / len(values) for part, values in by_task) / weight

    every = [seen + text for of_task in found.values() for _, seen, text in of_task]
    return PromptSizes(
        pictures=mean(lambda one: one[0]),
        image_tokens=mean(lambda one: one[1]),
        tokens=mean(lambda one: one[1] + one[2]) if count else None,
        longest=max(every) if count else None,
        over_long=sum(n > recipe.grpo.max_prompt_tokens for n in every) if count else 0,
        measured=len(every),
    )


def sample(recipe: Recipe) -> tuple[int | None, list[EncodedImage]]:
    """How many images a recipe names, before any is left out, and up to `SAMPLE` of them, spread over all.

    Files are listed and drawings counted. The hub is never asked: None and no images, if they are there.

    Raises:
        UsageError, DataError: as `pictures.open_source`, for what is no set of images anywhere.
    """
    spec, ratio, limit = recipe.data.images, recipe.data.split, recipe.data.limit
    if match := _DRAWN.fullmatch(spec):
        total, found = _drawn(match[1] or "dev", int(match[2]) if match[2] else None)
        return _limited(total, ratio, limit), _train(found, ratio)[:SAMPLE]
    if not Path(spec).expanduser().exists() and _elsewhere(spec):
        return None, []
    with tempfile.TemporaryDirectory(prefix="ssl4rl-images-") as spool:
        source = open_source(spec, spool=Path(spool), task_images=task_images, split=recipe.data.images_split)
        wanted = SAMPLE if ratio is None else int(SAMPLE / ratio)
        step = max(1, len(source.images) // wanted)
        found = []
        for located in source.images[::step][:wanted]:
            try:
                found.append(images.from_bytes(located.read()))
            except (images.ImageError, OSError):
                continue
        return _limited(len(source.images), ratio, limit), _train(found, ratio)[:SAMPLE]


def _elsewhere(spec: str) -> bool:
    """Whether images are on the hub: a hub id, or a task whose rows are not here."""
    name = full_name(spec)
    if name in task_names():
        file = load_taskfile(name).data_file
        return file is None or not file.exists()
    return hub_id(spec) is not None


def _limited(total: int, ratio: float | None, limit: int | None) -> int:
    kept = total if ratio is None else round(total * ratio)
    return kept if limit is None else min(kept, limit)


def _train(found: list[EncodedImage], ratio: float | None) -> list[EncodedImage]:
    return [image for image in found if ratio is None or split_of(image.sha256, ratio) == "train"]


def _drawn(stream: str, per_leaf: int | None) -> tuple[int, list[EncodedImage]]:
    """How many drawings "scenes:STREAM:N" names, and a few of each leaf."""
    from ssl4rl_bench.task import scenes

    few = SAMPLE // len(scenes.LEAVES)
    drawn = scenes.questions(stream, min(few, per_leaf or few))
    return (
        sum(per_leaf or leaf.n_dev for leaf in scenes.LEAVES),
        [images.from_bytes(scenes.png(question.drawn)) for question in drawn],
    )


def _shares(tasks: Sequence[Asked]) -> dict[str, float]:
    """Of the prompts, by task: an image that a task of pairs gets gives two."""
    total = sum(a.weight * len(a.roles) for a in tasks)
    return {a.name: a.weight * len(a.roles) / total for a in tasks}


def _made(a: Asked, opened: Opened) -> tuple[Image.Image, ...] | None:
    try:
        return a.task.corrupt(opened.pixels, seed_for(a.task, opened.encoded.sha256, 0)).images
    except Unusable:
        return None


def _pictures(tasks: Sequence[Asked], share: Mapping[str, float]) -> float:
    """Pictures of a prompt, from a drawing, where there are no images at hand."""
    from ssl4rl_bench.task import scenes

    total = 0.0
    for a in tasks:
        for question in scenes.questions("dev", 1):
            if made := _made(a, Opened.of(images.from_bytes(scenes.png(question.drawn)))):
                total += share[a.name] * len(made)
                break
    return total


def _template(folder: Path) -> Any:
    """The chat template, compiled; None where the checkpoint has none that renders."""
    text = None
    if (folder / "chat_template.jinja").is_file():
        text = (folder / "chat_template.jinja").read_text("utf-8")
    else:
        for name in ("chat_template.json", "tokenizer_config.json"):
            if text is None and (folder / name).is_file():
                text = read_json(folder / name).get("chat_template")
    if not isinstance(text, str):
        return None
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
        return environment.from_string(text)
    except TemplateError as error:
        raise BenchError(f"{folder} has a chat template that does not compile: {error}") from None
