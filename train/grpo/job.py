"""What the parts of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.train.data import TrainingSet
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.reporting import Reporter


@dataclass(frozen=True)
class Length:
    """How long a run is."""

    steps: int
    """Of the whole run, as the recipe says; the learning rate's schedule is over these."""
    stop_at: int
    """Where this call stops."""


@dataclass(frozen=True)
class Job:
    """A run that is about to start."""

    recipe: Recipe
    out: Path
    """The run's folder."""
    base: Model
    parts: Sizes
    length: Length
    report: Reporter


def length_of(recipe: Recipe, training_set: TrainingSet, parts: Sizes, max_steps: int | None) -> Length:
    """The recipe's steps or whole steps of its epochs, whichever is less, and where `max_steps` cuts them.

    Raises:
        DataError: the epochs are less than one step.
    """
    g = recipe.grpo
    by_epochs = None if g.epochs is None else int(g.epochs * training_set.rows_an_epoch) // parts.prompts
    steps = min(n for n in (g.steps, by_epochs) if n is not None)
    if steps < 1:
        raise DataError(
            f"{g.epochs:g} epochs of {training_set.rows_an_epoch} prompts are less than one step of {parts.prompts}: "
            "lower grpo.prompts, or give more images"
        )
    return Length(steps, min(steps, max_steps or steps))
