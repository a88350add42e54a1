"""Divides alpha over a series (family): checkpoints of a training run, with one baseline and one policy.

Each checkpoint is another chance of a false alarm. The k-th checkpoint of a series gets alpha / (k (k + 1)),
and all shares add up to alpha however long the series becomes. The charges are stored in a file `NAME.json`,
so that the same checkpoint is never charged twice. The file belongs to one name, one baseline and one policy:
another baseline or policy under its name, a renamed file, and a second name for the same baseline and policy
are refused. `gate` and `watch` call this module.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import reporting, sync_directory, write_json
from ssl4rl_bench.core.errors import BenchError, StoreError, UsageError
from ssl4rl_bench.core.identity import canonical_json, sha256_json
from ssl4rl_bench.core.versioned import parse_object
from ssl4rl_bench.gating.policy import Policy

SCHEMA = 2
"""Version 1 had neither the family's name nor the policy."""
LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Turn:
    """The position of a checkpoint in its series."""

    number: int
    """The position, counted from 1."""
    alpha: float
    """The share of alpha of this checkpoint."""


def share(alpha: float, number: int) -> float:
    """Returns the share of the k-th checkpoint, where k is `number`: alpha / (k (k + 1))."""
    return alpha / (number * (number + 1))


def policy_digest(policy: Policy) -> str:
    """Computes a digest of a policy's values that are not defaults. The order of rules does not matter."""
    rules = [
        _given(rule) | {"task": rule.full_task, "aggregation": rule.how, "level": rule.level}
        for rule in policy.rule
    ]
    content = _given(policy) | {
        "rule": sorted(rules, key=canonical_json),
        "alpha": policy.alpha,
        "allow": sorted(set(policy.allow)),
        "guards": _given(policy.guards),
    }
    return sha256_json(content)


@contextmanager
def turn(folder: Path, name: str, baseline: str, candidate: str, policy: Policy) -> Iterator[Turn]:
    """Gives a checkpoint its share of alpha, which is the first one that it got if it was judged before.

    Compare and judge in the body, and show the verdict after it. The share is charged, and the charge is on
    disk, when the body ends. A body that raises (a comparison that is refused, Ctrl-C) charges nothing. Until
    the body ends, other processes that ask for a turn in the same folder wait. The operating system releases
    the lock if this process dies.

    Args:
        folder: the folder of series, with one file per series.
        name: the name of the series.
        baseline, candidate: fingerprints of the runs that are compared.
        policy: the policy that judges the candidates.

    Raises:
        UsageError: a name that is not a file name; a series of another baseline or policy; a file that was
            renamed; a second series of the same baseline and policy.
        StoreError: the file is damaged or cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name):
        raise UsageError(
            f"--family {name} is not a valid name: use letters, digits, dots, dashes and underscores"
        )
    terms = {
        "family": name,
        "baseline": baseline,
        "policy": policy_digest(policy),
        "alpha": policy.alpha,
    }
    path = folder / f"{name}.json"
    with _locked(folder):
        known: list[str] = []
        if path.exists():
            stored = _read(path)
            _check_terms(path, stored, terms)
            known = stored["candidates"]
        else:
            _check_others(folder, terms)
        number = known.index(candidate) + 1 if candidate in known else len(known) + 1
        yield Turn(number, share(policy.alpha, number))
        if candidate not in known:
            write_json(path, {"schema": SCHEMA, **terms, "candidates": [*known, candidate]})


def order(folder: Path, name: str) -> list[str]:
    """Returns the fingerprints of a series, the baseline's first, then by turn; empty if it has not begun.

    Raises:
        StoreError: the file is damaged or has a newer version.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return []
    value = _read(path)
    return [value["baseline"], *value["candidates"]]


def _check_terms(path: Path, stored: Mapping[str, Any], terms: Mapping[str, Any]) -> None:
    """Checks that a series continues as it began.

    A file of version 1 takes the name and the policy of its next turn.
    """
    name = terms["family"]
    if stored.get("family", name) != name:
        raise UsageError(
            f"{path} is the file of series {stored['family']}: rename it to {stored['family']}.json and use "
            f"--family {stored['family']}"
        )
    for key in ("baseline", "alpha", "policy"):
        if stored.get(key, terms[key]) != terms[key]:
            raise UsageError(
                f"series {name} in {path.parent} has another {key}: use the same one, or choose another --family"
            )


def _check_others(folder: Path, terms: Mapping[str, Any]) -> None:
    """Checks that a new series has not already begun under another name, or in a file that was renamed."""
    for path in sorted(folder.glob("*.json")):
        try:
            stored = _read(path)
        except BenchError:
            continue  # not the file of a series
        if (stored.get("baseline"), stored.get("policy")) != (terms["baseline"], terms["policy"]):
            continue
        if path.stem != stored["family"]:
            raise UsageError(
                f"{path} is the file of series {stored['family']}: rename it to {stored['family']}.json"
            )
        raise UsageError(
            f"series {path.stem} in {folder} has the same baseline and policy: use --family {path.stem}, so that "
            "they share alpha"
        )


def _given(values: Any) -> dict[str, Any]:
    """Returns the fields that differ from their defaults, so that a field added later changes no digest."""
    assert is_dataclass(values) and not isinstance(values, type)
    content = asdict(values)
    return {
        field.name: content[field.name] for field in fields(values) if content[field.name] != field.default
    }


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits until no other process has a turn in this folder, then makes other processes wait."""
    path = folder / LOCK
    with reporting(path, "lock"):
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with reporting(path, "lock"):
            fcntl.flock(fd, fcntl.LOCK_EX)
            sync_directory(folder.parent)
        yield
    finally:
        os.close(fd)


def _read(path: Path) -> dict[str, Any]:
    fix = "restore it, or choose another --family"
    with reporting(path, "read"):
        value = parse_object(path.read_bytes(), path, SCHEMA, fix=fix)
    texts = ["baseline"] if value["schema"] == 1 else ["baseline", "family", "policy"]
    known = value.get("candidates")
    is_valid = isinstance(known, list) and all(isinstance(item, str) for item in known)
    if (
        not is_valid
        or len(set(known or [])) < len(known or [])
        or any(not isinstance(value.get(key), str) for key in texts)
        or type(value.get("alpha")) is not float
    ):
        raise StoreError(f"{path} is damaged: {fix}")
    return value
