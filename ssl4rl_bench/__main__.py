"""`python -m ssl4rl_bench` is the `ssl4rl-bench` command."""

from ssl4rl_bench.cli import main

if __name__ == "__main__":
    main()
