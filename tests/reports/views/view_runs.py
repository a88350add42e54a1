"""Makes runs for views from arrays, over the six abilities."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from simulated import TASK, run

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.types import Categories
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS, L1_OF

__all__ = ["HOSTILE", "TASK", "asked", "drawn", "with_probes"]

HOSTILE = "$x_{1}$ <b>&\"'[red]\x1b[31m\u202e" + "very-long-name-" * 9


def asked(label: str, values: ArrayLike, weights: str = "", **changes: Any) -> Evaluated:
    """Makes a run whose groups belong to the six abilities in turn.

    Args:
        weights: the text from which the fingerprint of the weights is made; the default is the label.
    """
    n = len(np.asarray(values)) // changes.get("copies", 1)
    places = tuple(Categories(L1_OF[name], name, f"{name} leaf") for _, name in CARD_COLUMNS)
    made = run(label, values, places=tuple(places[at % 6] for at in range(n)), **changes)
    fingerprint = (weights or label).encode().hex().ljust(64, "0")[:64]
    return dataclasses.replace(made, spec=dataclasses.replace(made.spec, fingerprint=fingerprint))


def drawn(rng: np.random.Generator, p: float, n: int = 240) -> np.ndarray:
    return (rng.random(n) < p).astype(float)


def with_probes(base: Evaluated, found: dict[str, tuple[str, str, float, float]], n: int = 120) -> Evaluated:
    """Adds probes to a run.

    Args:
        found: kind, difficulty, chance and accuracy of each probe, by name.
    """
    outcomes: dict[str, Outcomes] = dict(base.outcomes)
    tasks = dict(base.spec.tasks)
    results: dict[str, Any] = {}
    for name, (kind, difficulty, chance, accuracy) in found.items():
        right = (np.arange(n) < round(accuracy * n)).astype(float)
        probe = {"kind": kind, "difficulty": difficulty, "chance": chance}
        other = run(base.label, right, task=name, probe=probe)
        outcomes[name], tasks[name] = other.outcomes[name], other.spec.tasks[name]
        above, half = (accuracy - chance) / (1 - chance), 1.0 / np.sqrt(n)
        results[name] = {
            "probe": {
                "chance": chance,
                "accuracy": {"value": accuracy, "n": n},
                "chance_corrected": {"value": above, "ci95": [above - half, above + half]},
            }
        }
    return dataclasses.replace(
        base,
        outcomes=outcomes,
        spec=dataclasses.replace(base.spec, tasks=tasks),
        result={**base.result, "tasks": results},
    )
