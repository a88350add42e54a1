"""Trains and measures vision-language checkpoints: SSL rewards, MMBench by ability, probes, tested differences.

The public Python API (docs/python.md). Importing this package imports neither torch nor pandas: each name is loaded
when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "evaluate": "evaluation",
    "merge": "score.merging",
    "open_run": "score.runs",
    "load_runs": "score.runs",
    "compare": "comparison.of_runs",
    "advise": "signal.of_model",
    "explain": "comparison.explaining.explain",
    "gate": "gating.of_runs",
    "load_task": "task.handle",
    "task_names": "task.taskfile",
    "fetch": "datasets.fetching",
    "import_predictions": "interop.predictions.importing",
    "make_reward": "train.rewards",
    "export_run": "interop.exports",
    "Run": "score.runs",
    "Runs": "score.runs",
    "Comparisons": "comparison.of_runs",
    "Explanation": "comparison.explaining.explanation",
    "Gate": "gating.judge",
    "Advice": "signal.advising",
    "TaskHandle": "task.handle",
    "SSLReward": "train.rewards",
    "Progress": "cli.progress:Terminal",
}
"""Public name to the module that defines it; `__init__.pyi` says the same to type checkers."""

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, inside = _WHERE[name].partition(":")
    value = getattr(import_module(f"{__name__}.{module}"), inside or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
