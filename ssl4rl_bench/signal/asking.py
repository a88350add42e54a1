"""What `advise` asks: settings from options or from a recipe, and the sampled replies of the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl4rl_bench.core.errors import EngineError, UsageError
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Completion, Engine, Request
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.task.ssl.probe import ProbeTask
from ssl4rl_bench.task.taskfile import expand
from ssl4rl_bench.train.recipe import Recipe, find_recipe, read_recipe

PICTURES = 256
"""The default number of pictures."""
REPLIES = 8
"""The default number of replies per sample, without a recipe."""


@dataclass(frozen=True)
class AdviseSettings:
    """What is asked. Fields that are None have the tasks' values."""

    model: str
    tasks: tuple[str, ...]
    images: str | None = None
    n_pictures: int = PICTURES
    replies: int = REPLIES
    """Replies per sample: the size of a group."""
    scheme: str = "exact"
    extractor: str = "default"
    prompt: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int | None = None
    seed: int = 0
    engine: str = "auto"
    options: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        if self.replies < 2:
            raise UsageError(f"--replies {self.replies} makes no group: give 2 or more")
        if self.temperature <= 0:
            raise UsageError("--temperature 0 makes all replies of a group equal: give a number above 0")


def settings_of(
    recipe: str | None = None, *, set_options: Sequence[str] = (), **given: Any
) -> AdviseSettings:
    """Creates settings from a recipe of `train` and from options; options that are not None take precedence.

    Args:
        recipe: a bundled recipe or the path of one. It sets the model, the tasks, the images, the prompt, the size of
            a group, the sampling and the reward.
        set_options: engine options as "KEY=VALUE".
        given: fields of `AdviseSettings`.

    Raises:
        UsageError: no model or task is named, or the recipe or a value is invalid.
    """
    values = _of_recipe(read_recipe(find_recipe(recipe))) if recipe else {}
    values |= {key: value for key, value in given.items() if value is not None and value != []}
    for key, option in (("model", "--model"), ("tasks", "--tasks")):
        if not values.get(key):
            raise UsageError(f"{option} is missing: give {option}, or --recipe with a recipe of `train`")
    values["tasks"] = tuple(expand(values["tasks"]))
    values["options"] = EngineOptions.from_pairs(set_options, values.get("options"))
    return AdviseSettings(**values)


def _of_recipe(recipe: Recipe) -> dict[str, Any]:
    return {
        "model": recipe.model.base,
        "tasks": tuple(recipe.tasks),
        "images": recipe.data.images,
        "replies": recipe.grpo.group,
        "scheme": recipe.reward.scheme,
        "extractor": recipe.reward.extractor,
        "prompt": recipe.data.prompt,
        "temperature": recipe.grpo.temperature,
        "top_p": recipe.grpo.top_p,
        "top_k": recipe.grpo.top_k,
        "max_tokens": recipe.grpo.max_reply_tokens,
        "options": EngineOptions(min_pixels=recipe.model.min_pixels, max_pixels=recipe.model.max_pixels),
    }


@dataclass(frozen=True, eq=False)
class Asked:
    """The sampled replies to a task's samples."""

    replies: dict[str, list[Completion]]
    """Completions by sample id, without failed requests."""
    n_failed: int
    n_prompt_tokens: int
    """Tokens of the prompts, each prompt counted once."""
    n_reply_tokens: int


def ask(task: ProbeTask, engine: Engine, settings: AdviseSettings) -> Asked:
    """Samples `settings.replies` replies to each sample.

    Raises:
        EngineError: every request fails, or the engine does.
    """
    requests = [
        Request(
            sample,
            repeat,
            seed_of(sample.id, repeat, *((settings.seed,) if settings.seed else ())),
            task.name,
        )
        for sample in task.samples
        for repeat in range(settings.replies)
    ]
    replies: dict[str, dict[int, Completion]] = defaultdict(dict)
    errors: list[str] = []
    for request, completion in engine.run(requests, task.sampling):
        if completion.error is None:
            replies[request.sample.id][request.repeat] = completion
        else:
            errors.append(completion.error)
    if not replies:
        raise EngineError(f"every request of {task.name} failed: {errors[0] if errors else 'no reply'}")
    ordered = {name: [by_repeat[i] for i in sorted(by_repeat)] for name, by_repeat in replies.items()}
    every = [completion for completions in ordered.values() for completion in completions]
    return Asked(
        ordered,
        len(errors),
        sum(completions[0].n_prompt_tokens for completions in ordered.values()),
        sum(completion.n_completion_tokens for completion in every),
    )
