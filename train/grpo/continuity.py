"""Checks that a resumed run continues with the base and the data that its last checkpoint was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError, StoreError
from ssl4rl_bench.core.scheme import SCHEME
from ssl4rl_bench.engines.checkpoints.files import read_json
from ssl4rl_bench.engines.checkpoints.origin import read_origin
from ssl4rl_bench.engines.checkpoints.weights import Model

_PARTS = {
    "source": "the image source",
    "seed": "the seed",
    "frozen": "data.frozen",
    "shuffled": "reward.shuffled",
    "prompts_sha256": "the prompts of the tasks",
}
"""Keys of a manifest and what they are."""


def require_same_base(last: Path, base: Model) -> None:
    """Checks that the base is the one that a checkpoint was trained from.

    Raises:
        StoreError: its files have changed; the message names both fingerprints.
    """
    origin = read_origin(last)
    recorded = origin.get("base") or {}
    known = recorded.get("fingerprint")
    if known in (None, base.fingerprint) or origin.get("fingerprint_scheme") != SCHEME:
        return
    lora = (origin.get("recipe") or {}).get("lora")
    raise StoreError(
        f"cannot resume from {last}: "
        + ("its adapter belongs to another base" if lora else "it was trained from another base")
        + f" ({recorded.get('name')} with fingerprint {known[:12]}) than {base.path} has now "
        f"({base.fingerprint[:12]}): restore that base, or choose another --out"
    )


def require_same_data(last: Path, known: Path, facts: Mapping[str, Any]) -> None:
    """Checks that the data are those that a checkpoint was trained on.

    Args:
        known: data.json of the run; it provides the details of the message.
        facts: the contents of data.json for the images as they are now.

    Raises:
        StoreError: the data have changed; the message says in what.
    """
    recorded = (read_origin(last).get("data") or {}).get("manifest_sha256")
    if recorded in (None, facts["manifest_sha256"]):
        return
    changes = "the images, the tasks or the seed"
    try:
        old = read_json(known)
    except ModelError:
        old = {}
    if old.get("manifest_sha256") == recorded and isinstance(old.get("manifest"), Mapping):
        changes = ", ".join(_changes(old["manifest"], facts["manifest"])) or changes
    raise StoreError(
        f"cannot resume from {last}: its data have changed ({changes}): restore them, or choose another --out"
    )


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yields the differences between two manifests."""
    before, after = list(old.get("images", [])), list(new.get("images", []))
    added, removed = len(set(after) - set(before)), len(set(before) - set(after))
    if added or removed:
        yield f"{added} images added and {removed} removed"
    elif before != after:
        yield "the order of the images"
    tasks, others = old.get("tasks", {}), new.get("tasks", {})
    for name in sorted(tasks.keys() | others.keys()):
        if name not in tasks or name not in others:
            yield f"{name} {'added' if name in others else 'removed'}"
        elif tasks[name].get("identity") != others[name].get("identity"):
            yield f"the definition of {name}"
        elif tasks[name] != others[name]:
            yield f"the weight of {name}"
    for key, what in _PARTS.items():
        if old.get(key) != new.get(key):
            yield f"{what} ({old.get(key)} before, {new.get(key)} now)" if key == "seed" else what
