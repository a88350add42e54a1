"""`ssl4rl_bench.interop.lmms` under the name that installed entry points and older task files have for it."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from ssl4rl_bench.interop import lmms

    return getattr(lmms, name)
