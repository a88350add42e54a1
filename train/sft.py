"""`python -m ssl4rl_bench.train.sft`: see `ssl4rl_bench.train.tiny.sft`."""

from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.train.tiny.sft import main, train

__all__ = ["main", "train"]

if __name__ == "__main__":
    run_command(main)
