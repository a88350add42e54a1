"""A policy over several benchmarks: rules for all of them, with the aggregation that each publishes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from many_tasks import many, some

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.gating.expand import concrete_rules
from ssl4rl_bench.gating.guards import check_guards
from ssl4rl_bench.gating.judge import apply_policy
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.gate.files import to_summary
from ssl4rl_bench.stats.multiple import holm

EVERY = {"task": "*", "kind": "not_significantly_worse"}


def made(label: str, right: dict[str, int]) -> Evaluated:
    """A run of questions, and of cycles that are published by row."""
    values = {
        name: np.repeat(some(100, k), 4) if name == "cycles" else some(100, k) for name, k in right.items()
    }
    return many(label, values, copies={"cycles": 4}, headlines={"cycles": "row_micro"})


BASE = made("base", {"plain": 60, "other": 60, "cycles": 60})


def test_a_rule_for_all_benchmarks_is_a_rule_for_each() -> None:
    new = made("new", {"plain": 60, "other": 30, "cycles": 62})
    gate = apply_policy(parse_policy({"rule": [EVERY]}), BASE, new)
    assert [(one.rule.task, one.rule.how, one.verdict) for one in gate.tested] == [
        ("plain", "circular_micro", "pass"),
        ("other", "circular_micro", "fail"),
        ("cycles", "row_micro", "pass"),
    ]
    assert gate.verdict == "fail"
    named = [{**EVERY, "task": name} for name in ("plain", "other", "cycles")]
    again = apply_policy(parse_policy({"rule": named}), BASE, new)
    assert [one.p_fail for one in again.tested] == [one.p_fail for one in gate.tested]
    assert [one.level for one in gate.tested] == [1 - 0.05 / 3] * 3


def test_evidence_is_corrected_over_all_benchmarks() -> None:
    names = ("plain", "other", "third")
    base = made("base", dict.fromkeys(names, 60))
    new = made("new", dict(zip(names, (52, 55, 58), strict=True)))
    gate = apply_policy(parse_policy({"rule": [EVERY]}), base, new)
    alone = [
        apply_policy(parse_policy({"rule": [{**EVERY, "task": name}]}), base, new).tested[0].p_fail
        for name in names
    ]
    assert [one.p_fail for one in gate.tested] == pytest.approx(list(holm(alone)))


def test_the_published_aggregation_is_used_and_named_unless_the_policy_names_one() -> None:
    (row,) = compare_task(BASE, [BASE], "ssl4rl_cycles", by="overall", aggregation="row_micro")
    rules = [{**EVERY, "task": "cycles"}, {**EVERY, "task": "cycles", "aggregation": "circular_micro"}]
    gate = apply_policy(parse_policy({"rule": rules}), BASE, made("new", {"cycles": 61}))
    assert [str(one.rule) for one in gate.tested] == [
        "cycles overall (row_micro): not significantly worse",
        "cycles overall (circular_micro): not significantly worse",
    ]
    assert gate.tested[0].difference.baseline == row.overall.baseline
    summary = to_summary(gate).replace("\\", "")
    assert "cycles overall (row_micro)" in summary and "copies" not in summary


def test_guards_are_checked_on_every_benchmark() -> None:
    policy = parse_policy({"rule": [EVERY], "guards": {"unread": 2}})
    guarded = check_guards(policy, BASE, made("new", {"plain": 1, "other": 2, "cycles": 3}))
    assert [guard.task for guard in guarded] == ["plain", "other", "cycles"]


def test_a_benchmark_that_the_candidate_lacks_is_no_pass() -> None:
    policy = parse_policy({"rule": [EVERY]})
    with pytest.raises(UsageError, match=r'task = "\*", and new did not answer other, cycles: evaluate it'):
        apply_policy(policy, BASE, made("new", {"plain": 90}))
    more = made("new", {"plain": 60, "other": 60, "cycles": 60, "more": 1})
    assert [rule.task for rule in concrete_rules(policy.rule, BASE, more)] == ["plain", "other", "cycles"]


def test_all_probes_are_those_of_the_baseline() -> None:
    probe = {"kind": "rotation", "difficulty": "step 90", "chance": 0.25}
    outcomes = BASE.outcomes | {"ssl4rl_other": replace(BASE.outcomes["ssl4rl_other"], probe=probe)}
    base = replace(BASE, outcomes=outcomes)
    rules = parse_policy({"rule": [{"task": "*", "kind": "better_than", "level": "probe"}, EVERY]}).rule
    names = [(rule.task, rule.how) for rule in concrete_rules(rules, base, base)]
    assert names == [("other", "row_micro"), ("plain", "circular_micro"), ("cycles", "row_micro")]
    with pytest.raises(UsageError, match="base has no probe: name a task"):
        concrete_rules(rules, BASE, BASE)


def test_a_category_needs_the_name_of_its_task() -> None:
    rule = {**EVERY, "level": "l2", "category": "math"}
    with pytest.raises(UsageError, match="a category needs the name of its task instead of"):
        parse_policy({"rule": [rule]})
    gate = apply_policy(parse_policy({"rule": [{**EVERY, "level": "l2"}]}), BASE, BASE)
    assert len(gate.tested) == 6  # two abilities of each benchmark
