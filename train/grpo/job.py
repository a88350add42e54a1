"""What the parts of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.reporting import Reporter


@dataclass(frozen=True)
class Job:
    """A run that is about to start."""

    recipe: Recipe
    out: Path
    """The run's folder."""
    base: Model
    parts: Sizes
    steps: int
    """Of the whole run, as the recipe says; the learning rate's schedule is over these."""
    stop_at: int
    """The step after which this call stops."""
    report: Reporter
