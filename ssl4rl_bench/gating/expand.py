"""Applies a policy's rules to the tasks of two runs: tasks named "*", and the aggregations that are published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.gating.policy import ALL_TASKS, Rule
from ssl4rl_bench.score.aggregate import DEFAULT_AGGREGATION
from ssl4rl_bench.score.headline import headline_of


def concrete_rules(rules: Iterable[Rule], baseline: Evaluated, candidate: Evaluated) -> list[Rule]:
    """Returns rules that name a task, with the aggregation that the task publishes by default.

    The task "*" stands for every benchmark of the baseline, or for every probe if the level is "probe", but not
    for tasks with metrics of the whole corpus only (`not_judged`). A rule
    names its aggregation only if the policy does or if the benchmark does not publish the usual one.

    Raises:
        UsageError: a run lacks a task, or "*" stands for none.
    """
    out = []
    for rule in rules:
        names = [rule.full_task]
        if rule.task == ALL_TASKS:
            is_probe = rule.level == "probe"
            names = [name for name, task in baseline.outcomes.items() if bool(task.probe) is is_probe]
            if not names:
                what = "probe" if is_probe else "benchmark"
                raise UsageError(
                    f'a rule has task = "{ALL_TASKS}", and {baseline.label} has no {what}: name a task'
                )
            if lacking := [short_name(name) for name in names if name not in candidate.outcomes]:
                raise UsageError(
                    f'a rule has task = "{ALL_TASKS}", and {candidate.label} did not answer {", ".join(lacking)}: '
                    "evaluate it there, or name the tasks in the policy"
                )
        for name in names:
            for run in (baseline, candidate):
                run.task(name)
            published = headline_of([baseline.result, candidate.result], name)
            task = short_name(name) if rule.task == ALL_TASKS else rule.task
            usual = rule.aggregation or rule.level == "probe" or published == DEFAULT_AGGREGATION
            out.append(replace(rule, task=task, aggregation=rule.aggregation if usual else published))
    return out


def not_judged(rules: Iterable[Rule], baseline: Evaluated) -> list[str]:
    """Returns a note on the benchmarks for which a rule for "*" does not stand, as their replies have no scores."""
    if not any(rule.task == ALL_TASKS and rule.level != "probe" for rule in rules):
        return []
    return [
        f'{short_name(name)} is not judged by the rule for "{ALL_TASKS}": it has only metrics of the whole corpus.'
        for name in baseline.corpus
    ]
