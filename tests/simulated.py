"""Makes runs from arrays, with the data that comparisons need and without replies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.types import Categories, Sampling, Status
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.score.scores import ABSENT

TASK = "ssl4rl_simulated"
SERVED = {"chat_template": "0" * 16, "min_pixels": 3136, "max_pixels": 12544}
ABILITIES = ("logic_reasoning", "coarse_perception")


def run(
    label: str,
    values: ArrayLike,
    *,
    copies: int = 1,
    read: ArrayLike | None = None,
    content: Sequence[str] | None = None,
    partial: bool = False,
    sampling: Sampling | None = None,
    **changes: Any,
) -> Evaluated:
    """Makes a run of one task.

    Args:
        values: scores of shape (rows,) or (rows, repeats), ordered by group; NaN for a missing reply.
        copies: rows per group.
        read: whether an answer was found in each reply, of the same shape; the default is in all.
        content: content of each group; the default is its number.
        changes: other fields of the outcomes.
    """
    table = np.asarray(values, np.float64)
    table = table[:, None] if table.ndim == 1 else table
    n = len(table) // copies
    found = np.ones(table.shape, bool) if read is None else np.asarray(read, bool).reshape(table.shape)
    status = np.where(found, list(Status).index(Status.TAG), list(Status).index(Status.NONE))
    fields: dict[str, Any] = {
        "task": TASK,
        "version": "1",
        "prompt": "ssl4rl",
        "data_sha256": "0" * 64,
        "extractor": "default",
        "image": "real",
        "probe": None,
        "groups": tuple(f"g{at:05d}" for at in range(n)),
        "content": tuple(content or [str(at) for at in range(n)]),
        "places": tuple(
            Categories("both", ABILITIES[at % 2], f"leaf {at % 2} {at % 4 // 2}") for at in range(n)
        ),
        "starts": np.arange(0, n * copies, copies),
        "ids": tuple(str(at) for at in range(n * copies)),
        "rolls": np.tile(np.arange(copies), n),
        "values": table,
        "status": np.where(np.isnan(table), ABSENT, status).astype(np.int8),
        "answers": tuple(("A",) * table.shape[1] for _ in table),
    }
    outcomes = Outcomes(**(fields | changes))
    task = TaskSpec(
        outcomes.version, outcomes.data_sha256, outcomes.prompt, len(table), sampling or Sampling()
    )
    spec = RunSpec(
        label, "0" * 64, {outcomes.task: task}, "hf", "5.17.0", repeats=table.shape[1], served=SERVED
    )
    reasons = [f"{outcomes.task}: limited to {n} of 1000 questions"] if partial else []
    return Evaluated(label, Path(label), spec, {"partial_reasons": reasons}, {outcomes.task: outcomes})
