"""The folder of a run: checks that it belongs to the recipe, and finds the checkpoint to resume from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.engines.checkpoints.files import read_json
from ssl4rl_bench.train import checkpoint
from ssl4rl_bench.train.lock import FILE as LOCK
from ssl4rl_bench.train.recipe import Recipe

RECIPE, DATA = "recipe.json", "data.json"

_FREE = (
    "save.",
    "log.",
    "hardware.",
    "rollout.engine",
    "rollout.gpu_memory",
    "rollout.tensor_parallel",
    "rollout.sleep",
    "rollout.server",
    "grpo.micro_batch",
    "model.attention",
    "model.gradient_checkpointing",
    "model.share_prompts",
)
"""Prefixes of keys that only determine how a run is executed, and so may change when it is resumed."""
_LENGTH = ("grpo.steps", "grpo.epochs")
"""Keys of the length of a run, which may grow if the learning rate does not depend on it."""


def require_own_folder(out: Path) -> None:
    """Checks that a folder is missing, empty, or that of a run. Nothing is written.

    Raises:
        StoreError: it holds other files.
    """
    if (out / RECIPE).is_file() or not out.is_dir():
        return
    if any(path.name != LOCK for path in atomic.contents(out)):
        raise StoreError(f"{out} is not empty and contains no run of this command: choose another --out")


def open_folder(out: Path, recipe: Recipe, *, resume: bool) -> Path | None:
    """Prepares the locked folder of a run and returns the checkpoint to resume from, or None.

    Raises:
        StoreError: the folder holds a run of another recipe, or it holds this run and `resume` is false.
    """
    known = out / RECIPE
    last = None
    if known.is_file():
        _require_same(known, recipe, out)
        last = checkpoint.last_resumable(out)
        if last and not resume:
            raise StoreError(
                f"{out} already holds a run, up to {last.name}: --resume continues it, --out starts another"
            )
    checkpoint.remove_interrupted(out)
    return last


def steps_done(folder: Path) -> int:
    """Returns the number of complete steps of a checkpoint, read from the name of its folder."""
    return int(folder.name.removeprefix("step-").split(".")[0])


def _require_same(known: Path, recipe: Recipe, out: Path) -> None:
    old, new = _flat(_with_defaults(read_json(known))), _flat(_as_json(recipe))
    differ = [
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(_FREE)
    ]
    longer = all(_end(new.get(key)) >= _end(old.get(key)) for key in _LENGTH)
    if differ and set(differ) <= set(_LENGTH):
        if recipe.optimizer.schedule != "constant":
            raise StoreError(
                f"{out} contains a run of another length ({', '.join(differ)}), and its {recipe.optimizer.schedule} "
                "schedule covers the whole run, so that all learning rates would be different: choose another "
                "--out, or restore the length"
            )
        if not longer:
            raise StoreError(
                f"{out} contains a longer run ({', '.join(differ)}): --max-steps stops it earlier"
            )
        return
    if differ:
        raise StoreError(
            f"{out} contains a run of another recipe ({', '.join(differ)} "
            f"{'differs' if len(differ) == 1 else 'differ'}): choose another --out"
        )


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Adds the keys that recipes did not have when a run began; they count as having their defaults."""
    try:
        return _as_json(fill(Recipe, values, RECIPE))
    except UsageError:  # a recipe of another version, whose keys are compared as they are
        return values


def _as_json(recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(atomic.to_text(recipe.values()))
    return values


def _end(length: float | None) -> float:
    """Returns the length of a run, which is infinite if a key does not limit it."""
    return math.inf if length is None else length


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested values to a dictionary with dotted keys."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out
