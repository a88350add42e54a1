"""`python -m ssl4rl_bench.repair`: see `ssl4rl_bench.engines.checkpoints.repair`."""

from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.engines.checkpoints.repair import main

__all__ = ["main"]

if __name__ == "__main__":
    run_command(main)
