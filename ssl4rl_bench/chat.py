"""`ssl4rl_bench.engines.chat` under its public name."""

from ssl4rl_bench.engines.chat import Chat

__all__ = ["Chat"]
