"""GRPO by a recipe, around TRL's trainer.

`run` does a whole run with the help of the others: `process`, `folder` and `dataset` make ready, `settings` and
`assembly` make the trainer, `provenance` makes what a checkpoint says of itself.
"""

from ssl4rl_bench.train.grpo.process import is_main
from ssl4rl_bench.train.grpo.run import train

__all__ = ["is_main", "train"]
