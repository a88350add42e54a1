"""Finds the trainer's step of a checkpoint, from its name or from the files of the trainer in it."""

from __future__ import annotations

import re
from pathlib import Path

from ssl4rl_bench.core.errors import BenchError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.checkpoints.origin import read_origin

_NAMED = re.compile(
    r"(?:checkpoint|global[_-]?step|step|iter(?:ation)?)[_-]?(\d{1,12})(?:\.\d+)?", re.IGNORECASE
)
"""Names of the folders of Transformers (checkpoint-500), verl (global_step_100) and this project (step-000050)."""


def step_of(model: str) -> int | None:
    """Returns the step of a checkpoint; None if neither its name nor its files have one.

    The last part of the name that is the name of a step counts: 100 for "global_step_100/actor/huggingface".
    Otherwise the step in ssl4rl.json or trainer_state.json (`global_step`, as Transformers writes it), if the
    model is a folder with one.
    """
    for part in reversed(Path(model).parts):
        if match := _NAMED.fullmatch(part):
            return int(match[1])
    folder = Path(model).expanduser()
    try:
        step = read_origin(folder).get("step")
    except BenchError:
        step = None
    if step is None:
        try:
            state = parse_json((folder / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            return None
        step = state.get("global_step") if isinstance(state, dict) else None
    return step if type(step) is int and step >= 0 else None
