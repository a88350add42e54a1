"""Alpha for a series: many checkpoints of one training run against the same baseline.

Each look is another chance of a false alarm. The k-th checkpoint of a series gets alpha / (k (k + 1)), and all shares
add up to alpha however long the series goes on. What was spent is kept in a file, so that the same
checkpoint is never charged twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.errors import StoreError, UsageError
from ssl4rl_bench.store.atomic import reporting, write_json
from ssl4rl_bench.versioned import parse_object

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """A checkpoint's place in its series."""

    number: int
    """From 1."""
    alpha: float
    """Its share."""


def share(alpha: float, number: int) -> float:
    """Of the `number`-th look: alpha / (k (k + 1))."""
    return alpha / (number * (number + 1))


def turn(folder: Path, name: str, baseline: str, candidate: str, alpha: float) -> Turn:
    """A checkpoint's share of alpha; its first one, if it was judged before.

    Args:
        folder: where series are kept, a file each.
        name: of the series.
        baseline, candidate: fingerprints of what is compared.

    Raises:
        UsageError: a name that is no file name; a series with another baseline or alpha.
        StoreError: the file is damaged or cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name):
        raise UsageError(f"--family {name} is no name: use letters, digits, dots, dashes and underscores")
    path = folder / f"{name}.json"
    value: dict[str, Any] = {"schema": SCHEMA, "baseline": baseline, "alpha": alpha, "candidates": []}
    if path.exists():
        value = _read(path)
        if value["baseline"] != baseline or value["alpha"] != alpha:
            what = "baseline" if value["baseline"] != baseline else "alpha"
            raise UsageError(f"series {name} has another {what}: choose another --family, or delete {path}")
    known = list(value["candidates"])
    if candidate not in known:
        known.append(candidate)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value | {"candidates": known})
    number = known.index(candidate) + 1
    return Turn(number, share(alpha, number))


def order(folder: Path, name: str) -> list[str]:
    """Fingerprints of a series in the order of their turns, the baseline's first; empty if it has not begun.

    Raises:
        StoreError: the file is damaged or of a newer version.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return []
    value = _read(path)
    return [value["baseline"], *value["candidates"]]


def _read(path: Path) -> dict[str, Any]:
    fix = "restore it, or choose another --family"
    with reporting(path, "read"):
        value = parse_object(path.read_bytes(), path, SCHEMA, fix=fix)
    known = value.get("candidates")
    whole = isinstance(known, list) and all(isinstance(each, str) for each in known)
    if not whole or len(set(known or [])) < len(known or []) or not isinstance(value.get("baseline"), str):
        raise StoreError(f"{path} is damaged: {fix}")
    if type(value.get("alpha")) is not float:
        raise StoreError(f"{path} is damaged: {fix}")
    return value
