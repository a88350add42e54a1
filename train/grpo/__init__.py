"""GRPO training from a recipe, based on TRL's trainer.

`run` carries out a training run. `process`, `folder` and `dataset` prepare it, `settings` and `assembly`
make the trainer, and `provenance` makes the description that is saved with each checkpoint.
"""

from ssl4rl_bench.train.grpo.process import is_main
from ssl4rl_bench.train.grpo.run import train_grpo

__all__ = ["is_main", "train_grpo"]
