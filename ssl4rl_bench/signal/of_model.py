"""The Python API of `advise` (`ssl4rl_bench.advise`): from a model or a recipe to a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl4rl_bench.engines.base import as_pairs
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.signal import advising
from ssl4rl_bench.signal.asking import PICTURES, settings_of


def advise(
    model: str | Path | None = None,
    tasks: str | Sequence[str] = (),
    *,
    recipe: str | Path | None = None,
    images: str | Path | None = None,
    pictures: int = PICTURES,
    replies: int | None = None,
    scheme: str | None = None,
    prompt: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    engine: str = "auto",
    options: Mapping[str, Any] | None = None,
    progress: Observer = SILENT,
) -> advising.Advice:
    """Says before a training whether its rewards differ, whether the model sees, and what to change first.

    This is the command `advise` (docs/advise.md). Arguments that are None have the recipe's or the tasks' values.

    Args:
        model: a folder, a bundled checkpoint or a hub id.
        tasks: names of SSL tasks or of their groups.
        recipe: a bundled recipe of `train` or the path of one, whose model, tasks, images, sampling and reward are
            used.
        images: the source of the images.
        pictures: the number of pictures per task.
        replies: the number of replies per sample.
        scheme: the reward: "exact", "per_position", "scaled" or "released".
        prompt, temperature, max_tokens, seed: the prompt style and the sampling.
        engine: "auto", "vllm", "hf" or "openai"; only hf and vllm give the margin.
        options: engine options by name (`engines.base.EngineOptions`).
        progress: shows the progress; nothing by default.

    Raises:
        UsageError: no model or task is named, or a name or value is unknown.
        DataError: images that cannot be used.
        EngineError: the engine failed.

    Example:
        >>> advice = advise("tiny-base", "ssl_rotation_90", pictures=128, engine="hf")
        >>> advice.table()[["task", "verdict", "margin", "p_margin"]]
    """
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    settings = settings_of(
        None if recipe is None else str(recipe),
        set_options=list(as_pairs(options or {})),
        model=None if model is None else str(model),
        tasks=names,
        images=None if images is None else str(images),
        n_pictures=pictures,
        replies=replies,
        scheme=scheme,
        prompt=prompt,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        engine=engine,
    )
    return advising.advise(settings, progress)
