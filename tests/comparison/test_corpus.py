"""Metrics of a whole corpus: a paired bootstrap of the difference, and no test per question."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import simulated
from simulated import TASK

from ssl4rl_bench.comparison.corpus import (
    NOT_RESAMPLED,
    OTHER_DOCUMENTS,
    compare_metrics,
    shared_corpus,
)
from ssl4rl_bench.comparison.load import shared_tasks
from ssl4rl_bench.comparison.pairing import Evaluated, SettingsDiffer
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.gating.judge import apply_policy
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.views.corpus import corpus_view, view_markdown
from ssl4rl_bench.stats.bootstrap import packed, resampled

N = 60


def run(label: str, scores: np.ndarray, documents: str = "d", **changes: Any) -> Evaluated:
    """A run with one metric, the mean of scores of documents."""
    made = simulated.run(label, np.full(N, np.nan), **changes)
    values = resampled(lambda weights: weights @ scores / N, N)
    metric = {
        "value": float(scores.mean()),
        "n": N,
        "higher_is_better": True,
        "of": "corpus",
        "ci95": [0.0, 9.0],
        "bootstrap": {"documents": documents, "replicates": packed(values)},
    }
    result = {**made.result, "tasks": {TASK: {"metrics": {"CIDEr": metric}}}}
    return replace(made, result=result, outcomes={}, without_scores=made.outcomes)


def scores(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 2, N)


def test_the_interval_is_that_of_the_paired_differences() -> None:
    one, two = scores(1), scores(1) + 0.1 + scores(2) / 100
    ((difference,), _) = compare_metrics(run("base", one), [run("new", two)], TASK)
    assert difference.value == pytest.approx((two - one).mean())
    se = (two - one).std() / np.sqrt(N)
    assert difference.ci95 is not None
    assert difference.ci95[1] - difference.ci95[0] == pytest.approx(2 * 1.96 * se, rel=0.15)
    assert difference.ci95[0] > 0.09  # the runs by themselves have intervals of 0.3


def test_other_documents_have_no_interval() -> None:
    base = run("base", scores(1))
    ((difference,), _) = compare_metrics(base, [run("new", scores(2), documents="e")], TASK)
    assert (difference.ci95, difference.why) == (None, OTHER_DOCUMENTS)
    new = run("new", scores(2))
    del new.result["tasks"][TASK]["metrics"]["CIDEr"]["bootstrap"]
    ((difference,), _) = compare_metrics(base, [new], TASK)
    assert (difference.ci95, difference.why) == (None, NOT_RESAMPLED)
    assert difference.value is not None
    assert NOT_RESAMPLED in view_markdown(corpus_view([difference]))


def test_settings_are_compared_as_for_any_task() -> None:
    base, new = run("base", scores(1)), run("new", scores(2), prompt="direct")
    with pytest.raises(SettingsDiffer, match="prompt"):
        compare_metrics(base, [new], TASK)
    assert compare_metrics(base, [new], TASK, ["prompt"])[1]


def test_such_a_task_is_shared_but_has_no_test_per_question() -> None:
    base, new = run("base", scores(1)), run("new", scores(2))
    assert shared_corpus([base, new]) == shared_corpus([base, new], [TASK]) == [TASK]
    assert shared_tasks([base, new]) == ([], [])
    with pytest.raises(UsageError, match=r"has no score per question.*\(CIDEr\)"):
        base.task(TASK)


def test_the_gate_refuses_it_by_name() -> None:
    rule = {"task": TASK, "kind": "no_worse_than", "margin": 0.05}
    with pytest.raises(UsageError, match="has no score per question"):
        apply_policy(parse_policy({"rule": [rule]}), run("base", scores(1)), run("new", scores(2)))
