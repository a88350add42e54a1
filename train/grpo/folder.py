"""The folder of a run: checks that it belongs to the recipe, and finds the checkpoint to resume from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.engines.checkpoints.files import read_json
from ssl4rl_bench.train import checkpoint
from ssl4rl_bench.train.recipe import Recipe

RECIPE, DATA = "recipe.json", "data.json"

_FREE = ("save.", "log.", "hardware.", "rollout.", "grpo.micro_batch", "model.gradient_checkpointing")
"""Prefixes of keys that only determine how a run is executed, and so may change when it is resumed."""


def open_folder(out: Path, recipe: Recipe, *, resume: bool, main: bool) -> Path | None:
    """Prepares the folder of a run and returns the checkpoint to resume from, or None.

    Args:
        main: whether this process writes files.

    Raises:
        StoreError: the folder holds other files or a run of another recipe, or it holds this run and
            `resume` is false.
    """
    known = out / RECIPE
    if known.is_file():
        _require_same(known, recipe, out)
        last = checkpoint.last_resumable(out)
        if last and not resume:
            raise StoreError(
                f"{out} already holds a run, up to {last.name}: --resume continues it, --out starts another"
            )
    elif out.is_dir() and atomic.contents(out):
        raise StoreError(f"{out} is not empty and contains no run of this command: choose another --out")
    else:
        last = None
    if main:
        with atomic.reporting(out):
            out.mkdir(parents=True, exist_ok=True)
        checkpoint.remove_interrupted(out)
        atomic.write_json(known, recipe.values())
    return last


def steps_done(folder: Path) -> int:
    """Returns the number of complete steps of a checkpoint, read from the name of its folder."""
    return int(folder.name.removeprefix("step-").split(".")[0])


def _require_same(known: Path, recipe: Recipe, out: Path) -> None:
    old, new = _flat(read_json(known)), _flat(json.loads(atomic.to_text(recipe.values())))
    differ = [
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(_FREE)
    ]
    if differ:
        raise StoreError(
            f"{out} contains a run of another recipe ({', '.join(differ)} "
            f"{'differs' if len(differ) == 1 else 'differ'}): choose another --out"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested values to a dictionary with dotted keys."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out
