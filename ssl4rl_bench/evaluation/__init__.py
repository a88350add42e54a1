"""Evaluates checkpoints: loads the tasks, then asks, journals and scores each model.

The commands `run`, `demo` and `watch` and the Python API call this package. It prints nothing itself and
reports to an `Observer`.
"""

from ssl4rl_bench.evaluation.plan import (
    EvaluationPlan,
    Subject,
    engine_for,
    load_tasks,
    narrowed,
    spec_of,
    subjects_of,
)
from ssl4rl_bench.evaluation.running import Evaluation, Evaluator, evaluate, evaluate_one, evaluate_plan

__all__ = [
    "Evaluation",
    "EvaluationPlan",
    "Evaluator",
    "Subject",
    "engine_for",
    "evaluate",
    "evaluate_one",
    "evaluate_plan",
    "load_tasks",
    "narrowed",
    "spec_of",
    "subjects_of",
]
