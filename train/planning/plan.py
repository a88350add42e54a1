"""Plans a recipe's run: the sizes of a step, the length of the run, and its estimated memory.

Nothing is downloaded and no model is loaded. `TrainingPlan.assumed` lists the values that this machine could not
provide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ssl4rl_bench.core.names import hub_id
from ssl4rl_bench.engines.checkpoints.weights import bundled_names, resolve_model
from ssl4rl_bench.train.data import training_tasks
from ssl4rl_bench.train.lora_targets import Adapters, adapters_of
from ssl4rl_bench.train.planning import prompt_sizes, shapes
from ssl4rl_bench.train.planning.memory import Lengths, Memory, estimate_memory
from ssl4rl_bench.train.planning.prompt_sizes import PromptSizes
from ssl4rl_bench.train.planning.shapes import ModelShape
from ssl4rl_bench.train.planning.sizes import Sizes, shares_prompts, sizes, steps_of
from ssl4rl_bench.train.planning.states import trainable
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.replay.planning import replay_memory, tokens_a_step


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The planned numbers of a run."""

    recipe: Recipe
    """The recipe, including defaults."""
    sizes: Sizes
    shape: ModelShape | None
    """The shape of the base; None if it is unknown."""
    trainable: int | None
    """Parameters that the optimizer updates."""
    images: int | None
    """Number of images, before duplicates and unusable images are removed; None if they are not on this
    machine."""
    prompts_an_epoch: float | None
    """Expected prompts per epoch: one per image whose prompts are not too long, or two for a task of pairs
    (contrastive)."""
    steps: int | None
    """Steps of the run; None if they depend on epochs and the images are not on this machine."""
    prompts: PromptSizes
    shares_prompts: bool
    """Whether a group's prompt is computed once."""
    lengths: Lengths
    """The lengths for which memory is estimated: those of the sample, or the recipe's maximum lengths."""
    memory: Memory | None
    memory_at_most: Memory | None
    """The memory if the longest prompt is as long as the recipe allows."""
    replay_tokens: int
    """Tokens per step that a replay of kind "self" adds, at most."""
    assumed: tuple[str, ...]
    """Sentences on values that were not measured, and on the assumptions that replace them."""
    adapters: Adapters | None = None
    """The matrices with LoRA adapters; None without LoRA, or if the base is unknown."""

    @property
    def updates(self) -> int | None:
        """Optimizer updates of the run."""
        return None if self.steps is None else self.steps * self.sizes.updates_a_step

    @property
    def epochs(self) -> float | None:
        """Passes over the images."""
        if self.steps is None or not self.prompts_an_epoch:
            return None
        return self.steps * self.sizes.ssl_prompts / self.prompts_an_epoch

    @property
    def prompt_tokens(self) -> float:
        """Tokens per prompt: the mean of the sample, or `max_prompt_tokens`."""
        known = self.prompts.tokens
        return float(self.recipe.grpo.max_prompt_tokens) if known is None else known

    @property
    def tokens_read(self) -> float:
        """Prompt tokens per step, where each reply counts with its own copy of the prompt."""
        return self.sizes.replies * self.prompt_tokens

    @property
    def tokens_written(self) -> int:
        """The maximum number of reply tokens per step."""
        return self.sizes.replies * self.recipe.grpo.max_reply_tokens

    @property
    def pictures(self) -> float:
        """Pictures per step, each counted once, though `grpo.group` replies see it."""
        return self.sizes.prompts * self.prompts.pictures


def plan_training(recipe: Recipe) -> TrainingPlan:
    """Plans a run.

    Raises:
        UsageError: a step cannot be divided evenly (`sizes.sizes`), or the images are not an image source.
        ModelError: the base is not a folder, a bundled name or a hub id, or it is not a complete checkpoint.
        DataError: there are too few images for one step.
    """
    step = sizes(recipe, recipe.hardware.processes)
    assumed: list[str] = []
    folder, shape = _base(recipe.model.base, assumed)
    images, encoded = prompt_sizes.sample(recipe)
    if images is None:
        assumed.append(
            f"the images {recipe.data.images} are not on this machine, so they were not counted or measured"
        )
    prompts = prompt_sizes.measure(recipe, folder, encoded, shape)
    if prompts.tokens is None:
        assumed.append(
            f"each prompt counts as grpo.max_prompt_tokens = {recipe.grpo.max_prompt_tokens}"
            + (f": {recipe.model.base} has no tokenizer on this machine" if encoded else "")
        )
    rows = None if images is None else images * prompts.usable * _rows_an_image(recipe)
    known = recipe.grpo.epochs is None or rows is not None
    steps = steps_of(recipe, step, rows or 0.0) if known else None
    if steps is None:
        assumed.append("the number of steps is unknown, since it depends on the epochs")
    if prompts.image_tokens is None and shape is not None:
        assumed.append("memory for a step's images assumes prompts that consist of images only")
    lengths = prompts.lengths(recipe)
    longest = replace(lengths, prompt=recipe.grpo.max_prompt_tokens)
    return TrainingPlan(
        recipe=recipe,
        sizes=step,
        shape=shape,
        trainable=None if shape is None else trainable(recipe, shape),
        images=images,
        prompts_an_epoch=rows,
        steps=steps,
        prompts=prompts,
        shares_prompts=shares_prompts(recipe, step),
        lengths=lengths,
        memory=None if shape is None else _memory(recipe, shape, step, lengths),
        memory_at_most=None if shape is None else _memory(recipe, shape, step, longest),
        replay_tokens=tokens_a_step(recipe, step),
        assumed=tuple(assumed),
        adapters=None if shape is None else adapters_of(recipe, folder or shape),
    )


def _memory(recipe: Recipe, shape: ModelShape, step: Sizes, lengths: Lengths) -> Memory:
    """Returns the estimated memory with that of the replay."""
    estimated = estimate_memory(recipe, shape, step.processes, lengths)
    added = replay_memory(recipe, shape, step)
    return Memory((*estimated.parts, added)) if added else estimated


def _base(name: str, assumed: list[str]) -> tuple[Path | None, ModelShape | None]:
    """Returns the base's folder and shape, each None if it is not available on this machine."""
    path = Path(name).expanduser()
    if path.is_dir() or name in bundled_names():
        path = resolve_model(name).path
        return path, shapes.of_folder(path)
    on_hub = hub_id(name)
    if on_hub is None:
        resolve_model(name)  # raises an error that explains what is wrong with the name
        raise AssertionError(name)
    cached = _cached(*on_hub)
    if cached is not None:
        return cached, shapes.of_folder(cached)
    known = shapes.PUBLISHED.get(on_hub[0])
    assumed.append(
        f"{name} is not on this machine: "
        + ("its published shape was used" if known else "its size is unknown, and memory was not estimated")
    )
    return None, known


def _cached(repo: str, revision: str | None) -> Path | None:
    """Returns the folder of a model in the hub's cache, or None; does not use the network."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    path = try_to_load_from_cache(repo, "config.json", revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def _rows_an_image(recipe: Recipe) -> float:
    """Returns the average number of prompts per image and epoch."""
    tasks = training_tasks(recipe.tasks, recipe.data.prompt)
    total = sum(a.weight for a in tasks)
    return sum(a.weight / total * len(a.roles) for a in tasks)
