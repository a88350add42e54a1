"""A policy applied to two runs: may the candidate ship?

Each rule becomes one test a category. Evidence against the candidate is collected in one family for the whole policy,
so that one as good as the baseline fails with a chance of at most alpha; evidence for it are lower bounds that
hold together. What neither shows is inconclusive, and the number of questions that would decide it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ssl4rl_bench.comparison.compare import compare
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import Comparison, Difference, LeftOut
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.names import short_name
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
    """A rule in one category. Fractions."""

    rule: Rule
    name: str
    """Of the category."""
    difference: Difference
    """Not corrected: the family is `p_fail`'s."""
    p_fail: float
    """Evidence against the candidate: one-sided, corrected over the policy."""
    lower: float
    """Simultaneous lower bound of the difference, or of the accuracy for `at_least`."""
    level: float
    """Of that bound: 1 - alpha / tests."""
    mde: float
    """Smallest true shortfall that this rule, at its share of alpha, fails with 80% power: of the difference below 0,
    for `better_than` below its margin, for `at_least` of the accuracy below its floor. 1 where none would fail."""
    verdict: Verdict
    needed: int | None
    """Where inconclusive: questions that would decide it, if the data went on like this."""
    smallest_margin: float
    """The least margin that so many questions could ever show to be kept, if as many change as did."""
    left_out: LeftOut | None = None
    """Questions that do not count as a run has no value for them."""
    why: str = ""
    """Why what is left out makes it inconclusive; empty where it does not."""

    @property
    def n(self) -> int:
        return self.difference.n


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard and what it found."""

    name: str
    task: str
    found: str
    limit: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """The whole judgement."""

    baseline: str
    candidate: str
    policy: Policy
    alpha: float
    """What was spent here: the policy's, or this checkpoint's share of it in a series."""
    tested: tuple[Tested, ...]
    guarded: tuple[Guarded, ...]
    notes: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def found(self) -> Verdict:
        """The verdict before `on_inconclusive` is applied."""
        verdicts = {*(each.verdict for each in self.tested), *(each.verdict for each in self.guarded)}
        return "fail" if "fail" in verdicts else "inconclusive" if "inconclusive" in verdicts else "pass"

    @property
    def verdict(self) -> Verdict:
        return self.policy.on_inconclusive if self.found == "inconclusive" else self.found

    def table(self) -> pd.DataFrame:
        """The tests, one row per rule and category.

        Columns: `task`, `rule`, `level`, `category`, `verdict`, `n`, `difference`, `lower` (simultaneous lower bound
        of the difference, or of the accuracy for `at_least`), `p_fail` (corrected over the policy), `mde`. Values are
        fractions. Guards are in `guarded`.
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


def apply(
    policy: Policy,
    baseline: Evaluated,
    candidate: Evaluated,
    *,
    alpha: float | None = None,
    guarded: Sequence[Guarded] = (),
) -> Gate:
    """Judges a candidate.

    Args:
        alpha: instead of the policy's.
        guarded: from `guards.check`.

    Raises:
        UsageError: runs that must not be compared, a task that one lacks, or a category that there is not.
    """
    alpha = policy.alpha if alpha is None else alpha
    compared: dict[tuple[str, str, str], Comparison] = {}
    drafts: list[tuple[Rule, Difference, LeftOut | None]] = []
    empty: list[Guarded] = []
    for rule in policy.rule:
        by = "overall" if rule.level == "probe" else rule.level
        key = (rule.full_task, rule.how, by)
        if key not in compared:
            (compared[key],) = compare(
                baseline,
                [candidate],
                rule.full_task,
                by=by,
                aggregation=rule.how,
                correction="none",
                allow=policy.allow,
            )
        cells, lost = _chosen(rule, compared[key], by)
        drafts += [(rule, cell, compared[key].left_out_of(cell)) for cell in cells]
        empty += lost
    tests = len(drafts) + len(empty)
    p = _corrected(policy, [(rule, cell) for rule, cell, _ in drafts], tests, alpha)
    worst = _corrected(
        policy, [(rule, out.worst if out else cell) for rule, cell, out in drafts], tests, alpha
    )
    notes = [note for each in compared.values() for note in each.notes]
    tested = [
        _with_left_out(
            judge_rule(rule, cell, p_found, alpha, tests),
            out,
            judge_rule(rule, out.worst, p_worst, alpha, tests) if out else None,
            policy.left_out / 100.0,
        )
        for (rule, cell, out), p_found, p_worst in zip(drafts, p, worst, strict=True)
    ]
    notes += [warning for each in tested if (warning := _too_small(each))]
    return Gate(
        baseline.label,
        candidate.label,
        policy,
        alpha,
        tuple(tested),
        (*guarded, *dict.fromkeys(empty)),
        tuple(dict.fromkeys(notes)),
        tuple(compared.values()),
    )


def _chosen(rule: Rule, found: Comparison, by: str) -> tuple[list[Difference], list[Guarded]]:
    """The cells that a rule tests, and its categories without a question that counts: they show nothing.

    Raises:
        UsageError: the rule's category is not in the task.
    """
    cells = [cell for cell in found.cells if cell.level == by]
    empty = {name: n for level, name, n in found.emptied if level == by}
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
    """Each draft's p of the evidence that fails it, corrected over the policy."""
    raw = np.array([rule_p(rule, cell, 1.0 - alpha / tests) for rule, cell in drafts])
    p = holm(raw) if policy.correction == "holm" else np.minimum(raw * tests, 1.0)
    return [float(each) for each in p]


def _with_left_out(tested: Tested, out: LeftOut | None, worst: Tested | None, share: float) -> Tested:
    """Lets no pass rest on questions without a value.

    More of them than `share` are too many to tell how they would have come out; and with few, a pass must also hold
    if they are counted against the candidate. A fail stays one.
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
        why = f"counted against the candidate, the {n} questions left out would make it {value}, which is no pass"
    else:
        return tested
    return replace(tested, verdict="inconclusive", why=why)


def judge_rule(rule: Rule, cell: Difference, p_fail: float, alpha: float, tests: int) -> Tested:
    """Judges one rule in one category, before what is left out is looked at.

    Args:
        p_fail: `rule_tests.rule_p`, corrected for the number of tests.
        alpha: of all tests together.
        tests: how many share it.
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
        f"{tested.rule.task}, {tested.name}: with {tested.n} questions a margin of {tested.rule.margin:g} points can "
        f"hardly be decided; the smallest that can is {100 * tested.smallest_margin:.2f}."
    )
