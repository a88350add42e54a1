"""Makes runs of several benchmarks from arrays, with the aggregates that tables show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import simulated
from numpy.typing import ArrayLike

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.score.aggregate import aggregate

PREFIX = "ssl4rl_"


def many(
    label: str,
    values: Mapping[str, ArrayLike],
    *,
    copies: Mapping[str, int] | None = None,
    headlines: Mapping[str, str] | None = None,
    rolls: Mapping[str, ArrayLike] | None = None,
) -> Evaluated:
    """Makes a run of the benchmarks in `values`, whose names have no prefix.

    Args:
        values: scores of each benchmark, as in `simulated.run`.
        copies: the number of rows per group, by benchmark; the default is 1.
        headlines: the aggregations that benchmarks publish, if not `circular_micro`.
        rolls: the rolls of the rows, by benchmark; the default numbers the rows of each group.
    """
    outcomes, specs, results = {}, {}, {}
    runs = []
    for name, scores in values.items():
        changes: dict[str, Any] = {"task": PREFIX + name}
        if name in (rolls or {}):
            changes["rolls"] = np.asarray((rolls or {})[name], np.intp)
        run = simulated.run(label, scores, copies=(copies or {}).get(name, 1), **changes)
        runs.append(run)
        outcomes |= run.outcomes
        specs |= run.spec.tasks
        headline = (headlines or {}).get(name)
        result = {"aggregates": aggregate(run.outcomes[PREFIX + name])}
        results[PREFIX + name] = result | ({"headline": headline} if headline else {})
    spec = replace(runs[0].spec, tasks=specs)
    return Evaluated(label, runs[0].path, spec, {"partial_reasons": [], "tasks": results}, outcomes)


def some(n: int, k: int) -> np.ndarray:
    """Returns the scores of n rows, of which the first k are right."""
    return (np.arange(n) < k).astype(float)
