"""Applies a policy to two runs, to decide whether the candidate may ship.

Each rule becomes one test per category. The evidence against the candidate is corrected as one family over
the whole policy, so that a candidate as good as the baseline fails with a probability of at most alpha. The
evidence for the candidate consists of simultaneous lower bounds. A test that shows neither is inconclusive,
and reports the number of questions that would decide it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.pairing import Evaluated, SettingsDiffer
from ssl4rl_bench.comparison.result import HEADERS, Comparison, Difference, LeftOut
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.gating.expand import concrete_rules, not_judged
from ssl4rl_bench.gating.policy import Policy, Rule, Verdict
from ssl4rl_bench.gating.rule_tests import (
    limit_of,
    rule_bound,
    rule_fails,
    rule_mde,
    rule_needed,
    rule_p,
    smallest_margin,
)
from ssl4rl_bench.stats.multiple import holm

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Tested:
    """The result of a rule in one category. Values are fractions."""

    rule: Rule
    name: str
    """The name of the category."""
    difference: Difference
    """The difference; its p-value is not corrected, because only `p_fail` has a family."""
    p_fail: float
    """The one-sided p-value of the evidence against the candidate, corrected over the policy."""
    lower: float
    """The simultaneous lower bound of the difference, or of the accuracy for `at_least`."""
    level: float
    """The level of that bound: 1 - alpha / tests."""
    mde: float
    """The smallest true shortfall that this rule, at its share of alpha, fails with 80% power; 1 if there is
    none. A shortfall is a difference below 0, or below its margin for `better_than`, or an accuracy below its
    floor for `at_least`."""
    verdict: Verdict
    needed: int | None
    """If inconclusive, the number of questions that would decide it, if the data continued like this."""
    smallest_margin: float
    """The smallest margin that this number of questions could show to be kept, if as many change as did."""
    left_out: LeftOut | None = None
    """The questions that do not count because a run has no value for them."""
    why: str = ""
    """Why the questions left out make the test inconclusive; empty if they do not."""
    number: int = 0
    """The number of its `[[rule]]` in the policy, counted from 1; a rule for "*" has tests of several tasks."""

    @property
    def n(self) -> int:
        """The number of questions that the test rests on."""
        return self.difference.n


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard, the measured value, and its verdict."""

    name: str
    task: str
    measured: str
    limit: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """The result of applying a policy to two runs."""

    baseline: str
    candidate: str
    policy: Policy
    alpha: float
    """The alpha spent on this candidate: that of the policy, or the candidate's share of it in a series."""
    tested: tuple[Tested, ...]
    guarded: tuple[Guarded, ...]
    notes: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def raw_verdict(self) -> Verdict:
        """The verdict before `on_inconclusive` is applied."""
        verdicts = {*(part.verdict for part in self.tested), *(part.verdict for part in self.guarded)}
        return "fail" if "fail" in verdicts else "inconclusive" if "inconclusive" in verdicts else "pass"

    @property
    def verdict(self) -> Verdict:
        """The verdict after `on_inconclusive` is applied."""
        return self.policy.on_inconclusive if self.raw_verdict == "inconclusive" else self.raw_verdict

    @property
    def deciding(self) -> Tested | Guarded | None:
        """The test or guard that decided the verdict; None for a pass, which needs all of them.

        Of several failed tests, the one with the strongest evidence. Of several inconclusive ones, one whose
        questions without a value are the reason, or else the one that needs the most questions. Guards decide
        where no test does.
        """
        verdict = self.raw_verdict
        if verdict == "pass":
            return None
        tested = [part for part in self.tested if part.verdict == verdict]
        if not tested:
            return next(part for part in self.guarded if part.verdict == verdict)
        if verdict == "fail":
            return min(tested, key=lambda part: part.p_fail)
        return max(tested, key=lambda part: (bool(part.why), part.needed or math.inf))

    def table(self) -> pd.DataFrame:
        """Returns the tests as a data frame, one row per rule and category.

        Columns: `task`, `rule`, `level`, `category`, `verdict`, `n`, `difference`, `lower` (simultaneous
        lower bound of the difference, or of the accuracy for `at_least`), `p_fail` (corrected over the
        policy), `mde`. Values are fractions. Guards are in `guarded`.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "task": short_name(test.rule.full_task),
                "rule": test.rule.kind,
                "level": test.rule.level,
                "category": test.name,
                "verdict": test.verdict,
                "n": test.n,
                "difference": test.difference.value,
                "lower": test.lower,
                "p_fail": test.p_fail,
                "mde": test.mde,
            }
            for test in self.tested
        )


def apply_policy(
    policy: Policy,
    baseline: Evaluated,
    candidate: Evaluated,
    *,
    alpha: float | None = None,
    guarded: Sequence[Guarded] = (),
    notes: Sequence[str] = (),
) -> Gate:
    """Judges a candidate by the rules of a policy.

    Args:
        alpha: replaces the alpha of the policy.
        guarded: the results of `guards.check_guards`.
        notes: more notes, such as those of `guards.provenance_notes`.

    Raises:
        UsageError: runs that must not be compared, a task that one lacks, or an unknown category.
    """
    alpha = policy.alpha if alpha is None else alpha
    compared: dict[tuple[str, str, str], Comparison] = {}
    drafts: list[tuple[Rule, Difference, LeftOut | None]] = []
    numbers: list[int] = []
    empty: list[Guarded] = []
    for number, rule in _numbered(policy, baseline, candidate):
        by = "overall" if rule.level == "probe" else rule.level
        key = (rule.full_task, rule.how, by)
        if key not in compared:
            compared[key] = _compared(policy, baseline, candidate, rule, by)
        cells, lost = _chosen(rule, compared[key], by)
        drafts += [(rule, cell, compared[key].left_out_of(cell)) for cell in cells]
        numbers += [number] * len(cells)
        empty += lost
    tests = len(drafts) + len(empty)
    p = _corrected(policy, [(rule, cell) for rule, cell, _ in drafts], tests, alpha)
    worst = _corrected(
        policy, [(rule, out.worst if out else cell) for rule, cell, out in drafts], tests, alpha
    )
    all_notes = [note for comparison in compared.values() for note in comparison.notes]
    tested = [
        _with_left_out(
            judge_rule(rule, cell, p_rule, alpha, tests),
            out,
            judge_rule(rule, out.worst, p_worst, alpha, tests) if out else None,
            policy.left_out / 100.0,
        )
        for (rule, cell, out), p_rule, p_worst in zip(drafts, p, worst, strict=True)
    ]
    all_notes += [warning for rule_result in tested if (warning := _too_small(rule_result))]
    return Gate(
        baseline.label,
        candidate.label,
        policy,
        alpha,
        tuple(replace(part, number=number) for part, number in zip(tested, numbers, strict=True)),
        (*guarded, *dict.fromkeys(empty)),
        tuple(dict.fromkeys((*all_notes, *not_judged(policy.rule, baseline), *notes))),
        tuple(compared.values()),
    )


def _compared(policy: Policy, baseline: Evaluated, candidate: Evaluated, rule: Rule, by: str) -> Comparison:
    """Compares the runs for a rule.

    Raises:
        UsageError: runs that must not be compared; the message names the policy's key that allows it.
    """
    try:
        (comparison,) = compare_task(
            baseline,
            [candidate],
            rule.full_task,
            by=by,
            aggregation=rule.how,
            correction="none",
            allow=policy.allow,
        )
    except SettingsDiffer as error:
        names = ", ".join(f'"{name}"' for name in dict.fromkeys((*policy.allow, *error.names)))
        raise UsageError(f"{error.problem} in the policy: allow = [{names}]") from None
    return comparison


def _numbered(policy: Policy, baseline: Evaluated, candidate: Evaluated) -> Iterator[tuple[int, Rule]]:
    """Yields the rules for each task with their numbers in the policy."""
    for number, rule in enumerate(policy.rule, start=1):
        for concrete in concrete_rules([rule], baseline, candidate):
            yield number, concrete


def _chosen(rule: Rule, comparison: Comparison, by: str) -> tuple[list[Difference], list[Guarded]]:
    """Returns the cells that a rule tests, and a guard for each category in which no question counts.

    Raises:
        UsageError: the rule's category is not in the task.
    """
    cells = [cell for cell in comparison.cells if cell.level == by]
    empty = {name: n for level, name, n in comparison.emptied if level == by}
    if rule.category is not None:
        names = [*(cell.name for cell in cells), *empty]
        if rule.category not in names:
            hint = did_you_mean(rule.category, names)
            raise UsageError(f"{rule.full_task} has no {rule.level} category {rule.category}{hint}")
        cells = [cell for cell in cells if cell.name == rule.category]
        empty = {name: n for name, n in empty.items() if name == rule.category}
    task = short_name(rule.task)
    return cells, [
        Guarded("answered questions", task, f"{name}: 0 of {n}", "at least 1", "inconclusive")
        for name, n in empty.items()
    ]


def _corrected(
    policy: Policy, drafts: Sequence[tuple[Rule, Difference]], tests: int, alpha: float
) -> list[float]:
    """Computes each draft's p-value of the evidence that fails it, corrected over the policy."""
    raw = np.array([rule_p(rule, cell, 1.0 - alpha / tests) for rule, cell in drafts])
    p = holm(raw) if policy.correction == "holm" else np.minimum(raw * tests, 1.0)
    return [float(value) for value in p]


def _with_left_out(tested: Tested, out: LeftOut | None, worst: Tested | None, share: float) -> Tested:
    """Makes a pass inconclusive if it depends on questions without a value.

    If their share is greater than `share`, their outcome is too uncertain. Otherwise a pass must also hold
    when they are counted against the candidate. A fail remains a fail.
    """
    if out is None or worst is None:
        return tested
    tested = replace(tested, left_out=out)
    if tested.verdict != "pass":
        return tested
    floor = tested.rule.kind == "at_least"
    n = out.candidate.missing if floor else out.n
    most = math.ceil(share * out.n_asked - 1e-9)
    if n > most:
        allowed = f"the {most} that left_out = {100 * share:g} (percent) allows"
        why = f"{n} of {out.n_asked} questions are left out, more than {allowed}"
    elif worst.verdict != "pass":
        cell = worst.difference
        value = f"{100 * cell.candidate:.2f}%" if floor else f"{100 * cell.value:+.2f} points"
        why = f"counted against the candidate, the {n} questions left out would make it {value}, which does not pass"
    else:
        return tested
    return replace(tested, verdict="inconclusive", why=why)


def judge_rule(rule: Rule, cell: Difference, p_fail: float, alpha: float, tests: int) -> Tested:
    """Judges one rule in one category, without regard to questions that are left out.

    Args:
        p_fail: `rule_tests.rule_p`, corrected for the number of tests.
        alpha: the alpha of all tests together.
        tests: the number of tests that share alpha.
    """
    level = 1.0 - alpha / tests
    failed = p_fail < alpha and rule_fails(rule, cell)
    lower, limit = rule_bound(rule, cell, level), limit_of(rule)
    clears = lower >= limit if rule.kind == "at_least" else lower > limit
    if rule.kind == "not_significantly_worse":
        verdict: Verdict = "fail" if failed else "pass"
    else:
        verdict = "pass" if clears else "fail" if failed else "inconclusive"
    return Tested(
        rule,
        cell.name,
        cell,
        p_fail,
        lower,
        level,
        rule_mde(rule, cell, 1.0 - level),
        verdict,
        rule_needed(rule, cell, level) if verdict == "inconclusive" else None,
        smallest_margin(cell, level),
    )


def _too_small(tested: Tested) -> str:
    margin = tested.rule.margin / 100.0
    if tested.rule.kind != "no_worse_than" or margin >= tested.smallest_margin:
        return ""
    return (
        f"{tested.rule.task}, {HEADERS.get(tested.name, tested.name)}: with {tested.n} questions a margin of "
        f"{tested.rule.margin:g} points can hardly be decided; the smallest that can is "
        f"{100 * tested.smallest_margin:.2f}."
    )
