"""What a recipe will do, before it does it: sizes of a step, length of the run, and estimated memory.

Nothing is downloaded and no model is loaded. What could not be looked up on this machine is said in `assumed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.names import hub_id
from ssl4rl_bench.engines.checkpoints.weights import bundled_names, resolve_model
from ssl4rl_bench.train.data import asked
from ssl4rl_bench.train.planning import memory, prompt_sizes, shapes
from ssl4rl_bench.train.planning.memory import Memory
from ssl4rl_bench.train.planning.prompt_sizes import PromptSizes
from ssl4rl_bench.train.planning.shapes import Shape
from ssl4rl_bench.train.planning.sizes import Sizes, shares_prompts, sizes, steps_of
from ssl4rl_bench.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """A run in numbers."""

    recipe: Recipe
    """With defaults."""
    sizes: Sizes
    shape: Shape | None
    """None where the base is not known."""
    trainable: int | None
    """Parameters that the optimizer updates."""
    images: int | None
    """Before duplicates and what cannot be used are left out; None where they are not on this machine."""
    prompts_an_epoch: float | None
    """Expected: one an image, two of a task of pairs (contrastive)."""
    steps: int | None
    """Of the whole run; None where epochs decide and the images are not on this machine."""
    prompts: PromptSizes
    shares_prompts: bool
    """Whether a group's prompt goes through the model once."""
    memory: Memory | None
    assumed: tuple[str, ...]
    """Sentences: what was not measured, and what stands in its place."""

    @property
    def updates(self) -> int | None:
        """Optimizer updates of the whole run."""
        return None if self.steps is None else self.steps * self.sizes.updates_a_step

    @property
    def epochs(self) -> float | None:
        """Passes over the images."""
        if self.steps is None or not self.prompts_an_epoch:
            return None
        return self.steps * self.sizes.prompts / self.prompts_an_epoch

    @property
    def prompt_tokens(self) -> float:
        """Of a prompt: the sample's mean, or `max_prompt_tokens`."""
        known = self.prompts.tokens
        return float(self.recipe.grpo.max_prompt_tokens) if known is None else known

    @property
    def tokens_read(self) -> float:
        """Prompt tokens of a step, one prompt for each reply."""
        return self.sizes.replies * self.prompt_tokens

    @property
    def tokens_written(self) -> int:
        """Reply tokens of a step, at most."""
        return self.sizes.replies * self.recipe.grpo.max_reply_tokens

    @property
    def pictures(self) -> float:
        """Different pictures that a step shows; each is shown to `grpo.group` replies."""
        return self.sizes.prompts * self.prompts.pictures


def plan(recipe: Recipe) -> Plan:
    """Plans a run.

    Raises:
        UsageError: numbers that do not come out even (`sizes.sizes`), or images that are none.
        ModelError: a base that is neither a folder, nor bundled, nor of the form of a hub id; or no whole checkpoint.
        DataError: too few images for one step.
    """
    step = sizes(recipe, recipe.hardware.processes)
    assumed: list[str] = []
    folder, shape = _base(recipe.model.base, assumed)
    images, encoded = prompt_sizes.sample(recipe)
    if images is None:
        assumed.append(
            f"the images {recipe.data.images} are not on this machine, so they were not counted or measured"
        )
    prompts = prompt_sizes.measure(recipe, folder, encoded)
    if prompts.tokens is None:
        assumed.append(
            f"each prompt counts as grpo.max_prompt_tokens = {recipe.grpo.max_prompt_tokens}"
            + (f": {recipe.model.base} has no tokenizer on this machine" if encoded else "")
        )
    rows = None if images is None else images * _rows_an_image(recipe)
    known = recipe.grpo.epochs is None or rows is not None
    steps = steps_of(recipe, step, rows or 0.0) if known else None
    if steps is None:
        assumed.append("the number of steps is not known, since epochs decide it")
    if prompts.image_tokens is None and shape is not None:
        assumed.append("memory for a step's images is that of prompts which are all images")
    return Plan(
        recipe=recipe,
        sizes=step,
        shape=shape,
        trainable=None if shape is None else memory.trainable(recipe, shape),
        images=images,
        prompts_an_epoch=rows,
        steps=steps,
        prompts=prompts,
        shares_prompts=shares_prompts(recipe, step),
        memory=None
        if shape is None
        else memory.estimate(recipe, shape, step.processes, prompts.image_tokens),
        assumed=tuple(assumed),
    )


def _base(name: str, assumed: list[str]) -> tuple[Path | None, Shape | None]:
    """The base's folder and shape, as far as they are on this machine."""
    path = Path(name).expanduser()
    if path.is_dir() or name in bundled_names():
        path = resolve_model(name).path
        return path, shapes.of_folder(path)
    on_hub = hub_id(name)
    if on_hub is None:
        resolve_model(name)  # says what is wrong with the name
        raise AssertionError(name)
    cached = _cached(*on_hub)
    if cached is not None:
        return cached, shapes.of_folder(cached)
    known = shapes.PUBLISHED.get(on_hub[0])
    assumed.append(
        f"{name} is not on this machine: "
        + (
            "its published shape was taken"
            if known
            else "its size is not known, and memory was not estimated"
        )
    )
    return None, known


def _cached(repo: str, revision: str | None) -> Path | None:
    """Where the hub's cache holds a model's config.json, without a network."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(repo, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _rows_an_image(recipe: Recipe) -> float:
    """Prompts that an image gives in an epoch, on average."""
    tasks = asked(recipe.tasks, recipe.data.prompt)
    total = sum(a.weight for a in tasks)
    return sum(a.weight / total * len(a.roles) for a in tasks)
