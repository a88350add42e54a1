"""The SSL tasks, each an object that corrupts an image, asks about it and scores the reply."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.task.ssl.base import MIN_SIDE, Corrupted, SSLTask, Unusable

__all__ = ["KINDS", "MIN_SIDE", "Corrupted", "SSLTask", "Unusable", "make_task"]

KINDS = ("rotation", "jigsaw", "contrastive", "position", "pair", "patch", "mirror", "count", "caption")
"""The kinds of SSL tasks. The class of a kind is in the module of its name: `Rotation` in ssl/rotation.py."""


def make_task(kind: str, params: Mapping[str, Any] | None = None) -> SSLTask:
    """Creates the SSL task of a kind with these parameters (the fields of its class).

    Raises:
        UsageError: for an unknown kind or parameter, or a value that the task does not accept.
    """
    if kind not in KINDS:
        raise UsageError(
            f"no SSL task {kind!r} (there are {', '.join(KINDS)}){did_you_mean(str(kind), KINDS)}"
        )
    cls = getattr(importlib.import_module(f"ssl4rl_bench.task.ssl.{kind}"), kind.title())
    return cast(SSLTask, fill(cls, params or {}, kind))
