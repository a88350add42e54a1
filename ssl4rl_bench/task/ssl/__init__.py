"""The SSL tasks: Rotation, Jigsaw, Contrastive and Position, each one object that corrupts, asks and scores."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, cast

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.task.ssl.base import CONVENTIONS, MIN_SIDE, Corrupted, SSLTask, Unusable

__all__ = ["CONVENTIONS", "KINDS", "MIN_SIDE", "Corrupted", "SSLTask", "Unusable", "make"]

KINDS: dict[str, str] = {
    "rotation": "Rotation",
    "jigsaw": "Jigsaw",
    "contrastive": "Contrastive",
    "position": "Position",
}
"""Kind to class: class X of kind k is in the module ssl/k.py."""


def make(kind: str, params: Mapping[str, Any] | None = None) -> SSLTask:
    """The SSL task of a kind with these parameters (the fields of its class).

    Raises:
        UsageError: for an unknown kind or parameter, or a value that the task does not have.
    """
    if kind not in KINDS:
        raise UsageError(
            f"no SSL task {kind!r} (there are {', '.join(KINDS)}){did_you_mean(str(kind), KINDS)}"
        )
    cls = getattr(importlib.import_module(f"ssl4rl_bench.task.ssl.{kind}"), KINDS[kind])
    known = {field.name: field for field in dataclasses.fields(cls)}
    given = dict(params or {})
    for name, value in given.items():
        if name not in known:
            raise UsageError(
                f"{kind} has no parameter {name!r} (it has {', '.join(known)}){did_you_mean(name, known)}"
            )
        if name == "convention" and value not in CONVENTIONS:
            raise UsageError(
                f"convention {value!r} is not {' or '.join(CONVENTIONS)}{did_you_mean(str(value), CONVENTIONS)}"
            )
        wanted = type(known[name].default)
        if isinstance(value, bool) or not isinstance(value, (int, float) if wanted is float else wanted):
            raise UsageError(f"{kind}'s {name} must be a {wanted.__name__}, not {value!r}")
    return cast(SSLTask, cls(**given))
