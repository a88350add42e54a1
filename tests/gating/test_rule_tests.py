"""The tests behind a gate's rules: no verdict without evidence, and the power that is printed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ssl4rl_bench.comparison.differences import differences
from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.types import Categories
from ssl4rl_bench.gating import judge as gate
from ssl4rl_bench.gating.policy import Rule, RuleKind
from ssl4rl_bench.gating.rule_tests import rule_mde, rule_p
from ssl4rl_bench.score.aggregate import cells_of
from ssl4rl_bench.stats.power import drop_power

PLACE = Categories("all", "all", "all")


def cell(before: np.ndarray, after: np.ndarray, units: float = 1.0) -> Difference:
    size = np.full(len(before), units)
    cells = cells_of([PLACE] * len(before), size, "row_micro").of(["overall"])
    (found,) = differences(before, after, size, cells, "row_micro", replicates=200)
    return found


def verdict(rule: Rule, found: Difference, alpha: float = 0.05, tests: int = 1) -> str:
    p = min(1.0, tests * rule_p(rule, found, 1.0 - alpha / tests))
    return gate.judge_rule(rule, found, p, alpha, tests).verdict


def rule(kind: RuleKind, margin: float = 0.0, value: float | None = None) -> Rule:
    return Rule(task="scenes", kind=kind, margin=margin, value=value)


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("units", [1.0, 4.0])
@pytest.mark.parametrize("kind", ["better_than", "no_worse_than", "not_significantly_worse"])
@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_identical_replies_never_fail(n: int, units: float, kind: RuleKind, margin: float) -> None:
    same = np.where(np.arange(n) % 3 > 0, units, 0.0)
    asked = rule(kind, 0.0 if kind == "not_significantly_worse" else margin)
    assert verdict(asked, cell(same, same, units)) != "fail"


def test_identical_replies_on_few_questions_do_not_show_a_small_margin_is_kept() -> None:
    same = np.ones(60)
    assert verdict(rule("no_worse_than", 2.0), cell(same, same)) == "inconclusive"
    assert verdict(rule("no_worse_than", 6.0), cell(same, same)) == "pass"


def _rate(
    asked: Rule, n: int, units: int, true: float, changed: float, wanted: str, draws: int = 300
) -> float:
    """How often a candidate that differs by `true` gets a verdict."""
    rng = np.random.default_rng(7)
    verdicts: dict[
        bytes, str
    ] = {}  # the order of questions does not matter, and many draws differ in it alone
    hits = 0
    for _ in range(draws):
        sign = rng.choice([1.0, -1.0, 0.0], n, p=[(changed + true) / 2, (changed - true) / 2, 1 - changed])
        size = rng.integers(1, units + 1, n) if units > 1 else 1.0
        # A change of 1 to all rows of a question: the true difference is that of the mean size.
        d = np.sort(sign * size * (2 * units / (units + 1) if units > 1 else 1.0))
        if d.tobytes() not in verdicts:
            before = np.where(d < 0, -d, 0.0)
            verdicts[d.tobytes()] = verdict(asked, cell(before, before + d, float(2 * units)))
        hits += verdicts[d.tobytes()] == wanted
    return hits / draws


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "changed"), [(20, 0.05), (60, 0.05), (200, 0.05), (20, 0.3), (60, 0.3), (200, 0.3)]
)
def test_better_than_fails_no_one_who_reaches_its_margin(n: int, changed: float) -> None:
    assert _rate(rule("better_than", 2.0), n, 1, 0.04, changed, "fail") < 0.092


@pytest.mark.slow
@pytest.mark.parametrize(("n", "units"), [(20, 1), (60, 1), (200, 1), (60, 3), (20, 3), (200, 3)])
def test_no_worse_than_passes_no_one_who_loses_its_margin(n: int, units: int) -> None:
    assert _rate(rule("no_worse_than", 5.0), n, units, -0.10, 0.2, "pass") < 0.092


@pytest.mark.parametrize("floor", [1.0, 50.0, 99.0])
@pytest.mark.parametrize("n", [20, 200])
def test_at_least_is_right_at_its_floor(floor: float, n: int) -> None:
    rng = np.random.default_rng(8)
    rights = Counter((rng.random((500, n)) < floor / 100.0).sum(axis=1).tolist())
    verdicts: Counter[str] = Counter()
    for right, draws in rights.items():
        after = (np.arange(n) < right).astype(float)
        verdicts[verdict(rule("at_least", value=floor), cell(np.zeros(n), after))] += draws
    assert verdicts["pass"] / 500 < 0.08 and verdicts["fail"] / 500 < 0.08


def test_the_printed_mde_is_that_of_the_gate_s_own_test() -> None:
    # 199 questions of which 29% change, among seven tests: the two-sided 5% test finds 10.5 points, the gate's 12.35.
    d = np.array([1.0] * 29 + [-1.0] * 29 + [0.0] * 141)
    found = cell(np.where(d < 0, 1.0, 0.0), np.where(d > 0, 1.0, 0.0))
    for alpha, points in ((0.05 / 7, 12.35), (0.05 / 420 / 7, 18.2)):
        mde = rule_mde(rule("not_significantly_worse"), found, alpha)
        assert 100 * mde == pytest.approx(points, abs=0.3)
        assert drop_power(199, max(58 / 199, mde), mde, alpha) == pytest.approx(0.8, abs=0.002)
    # What must be measured as well can only raise it.
    assert rule_mde(rule("no_worse_than", 20.0), found, 0.05 / 7) > 0.2


def test_a_rule_on_rows_can_fail_late_in_a_series() -> None:
    # With 10,000 sign flips no p is below 0.00005, however clear the loss.
    before, after = np.full(200, 4.0), np.where(np.arange(200) < 60, 1.0, 4.0)
    assert verdict(rule("not_significantly_worse"), cell(before, after, 4.0), 0.05 / 10_100, 7) == "fail"
