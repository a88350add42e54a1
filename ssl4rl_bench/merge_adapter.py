"""`python -m ssl4rl_bench.merge_adapter`: see `ssl4rl_bench.engines.adapters`."""

from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.engines.adapters import main

__all__ = ["main"]

if __name__ == "__main__":
    run_command(main)
