"""The values that all modules of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.train.lora_targets import Adapters
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.reporting import Reporter


@dataclass(frozen=True)
class TrainingJob:
    """A run that is about to start."""

    recipe: Recipe
    out: Path
    """The run's folder."""
    base: Model
    parts: Sizes
    steps: int
    """Steps of the run according to the recipe; the learning rate schedule covers all of them."""
    stop_at: int
    """The step after which this call stops."""
    report: Reporter
    adapters: Adapters | None = None
    """The matrices with adapters, if they are known."""
