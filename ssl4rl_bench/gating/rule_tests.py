"""Computes the tests of a gate's rules: evidence that fails a rule, the bound that passes it, and its power.

`judge` corrects them for the number of tests and turns them into verdicts. All tests work on
`Difference.counts` and `Difference.right`, so that rows, repeats, graded scores and means over leaves are
tested as the number of independent answers that they are worth (`stats.effective`).
"""

from __future__ import annotations

import math
from statistics import NormalDist

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.gating.policy import Rule
from ssl4rl_bench.stats.effective import Effective
from ssl4rl_bench.stats.estimates import exact_below, exact_lower
from ssl4rl_bench.stats.paired import lower_bound, tail
from ssl4rl_bench.stats.power import POWER, detectable_below, detectable_drop, detectable_shortfall

_NORMAL = NormalDist()


def limit_of(rule: Rule) -> float:
    """Returns the fraction that a rule's bound must clear: a difference, or an accuracy for `at_least`."""
    if rule.kind == "at_least":
        assert rule.value is not None
        return rule.value / 100.0
    return (rule.margin if rule.kind == "better_than" else -rule.margin) / 100.0


def rule_p(rule: Rule, cell: Difference, level: float) -> float:
    """Computes the one-sided p-value of the evidence that fails a rule, not corrected.

    The null hypothesis is no loss for `no_worse_than`, `not_significantly_worse` and a `better_than` without
    margin, and a gain of the margin for `better_than`. The test is `stats.paired.tail`, or McNemar's
    one-sided mid-p for no loss with 0/1 group scores. For `at_least` it is the exact binomial test of the
    floor. The result is 1 for a single group from which nothing can be concluded. The sign flips of `compare`
    are too few for the small levels of a series.

    Args:
        level: 1 - alpha / tests, the level of the effective counts (`Effective.counts`).
    """
    if rule.kind == "at_least":
        return exact_below(*_right(cell.right, level), limit_of(rule)) if cell.right else 1.0
    margin = limit_of(rule) if rule.kind == "better_than" else 0.0
    if cell.binary and margin == 0.0:
        return cell.p / 2.0 if cell.value < 0.0 else 1.0 - cell.p / 2.0
    if cell.counts is None:
        return 1.0
    gained, lost, n = cell.counts.counts(level)
    return tail(lost, gained, n, -margin)


def rule_fails(rule: Rule, cell: Difference) -> bool:
    """Checks whether the estimate is on the failing side. To fail, a rule also needs a small `rule_p`."""
    if rule.kind == "at_least":
        return cell.candidate < limit_of(rule)
    if rule.kind == "no_worse_than":
        return cell.value <= limit_of(rule)
    return cell.value < limit_of(rule)


def rule_bound(rule: Rule, cell: Difference, level: float) -> float:
    """Computes the one-sided lower bound of the difference, or of the candidate's accuracy for `at_least`.

    The bound is `stats.paired.lower_bound` for a difference, and Clopper-Pearson's for an accuracy.
    """
    if rule.kind == "at_least":
        return exact_lower(*_right(cell.right, level), level) if cell.right else 0.0
    return lower_bound(*cell.counts.counts(level), level) if cell.counts else -1.0


def rule_mde(rule: Rule, cell: Difference, alpha: float) -> float:
    """Computes the smallest true shortfall that a rule fails with 80% power at `alpha` (`judge.Tested.mde`).

    Assumes the share of groups that changed in the data. Holm's correction can only increase the power.
    """
    if rule.kind == "at_least":
        return (
            detectable_below(_right(cell.right, 1.0 - alpha)[1], limit_of(rule), alpha) if cell.right else 1.0
        )
    if cell.counts is None:
        return 1.0
    n = cell.counts.counts(1.0 - alpha)[2]
    n_groups, changed = max(1, round(n)), cell.counts.changed
    if rule.kind == "better_than" and rule.margin:
        return detectable_shortfall(n_groups, changed, limit_of(rule), alpha)
    least = -limit_of(rule) if rule.kind == "no_worse_than" else 0.0
    return detectable_drop(n_groups, changed, alpha, least)


def rule_needed(rule: Rule, cell: Difference, level: float) -> int | None:
    """Computes the number of questions at which an inconclusive rule would be decided with 80% power.

    Assumes that the data continue like this. None if no number would do: the estimate is on neither side of
    the limit.
    """
    counts = cell.right if rule.kind == "at_least" else cell.counts
    if counts is None:
        return None
    limit = limit_of(rule)
    value = cell.candidate if rule.kind == "at_least" else cell.value
    # Beyond its margin, `no_worse_than` fails once the drop itself is beyond chance.
    distance = -value if rule.kind == "no_worse_than" and value <= limit else abs(value - limit)
    if distance <= 0.0:
        return None
    if rule.kind == "at_least":
        square = max(value * (1.0 - value), 1e-9)
    else:
        square = max(counts.changed - value * value, 1e-9)
    z = _NORMAL.inv_cdf(level) + _NORMAL.inv_cdf(POWER)
    # If nothing varies, about log(1 / alpha) / distance groups are needed.
    effective = max(z * z * square / distance**2, -math.log(1.0 - level) / distance)
    return max(cell.n + 1, math.ceil(effective * cell.n / counts.n))


def smallest_margin(cell: Difference, level: float) -> float:
    """Computes the smallest margin that so many questions could show to be kept, if as many change as did."""
    if cell.counts is None:
        return 1.0
    n = cell.counts.counts(level)[2]
    none_changed = 1.0 - math.pow(1.0 - level, 1.0 / n)
    z = _NORMAL.inv_cdf(level) + _NORMAL.inv_cdf(POWER)
    return min(1.0, max(none_changed, z * math.sqrt(cell.counts.changed / n)))


def _right(right: Effective, level: float) -> tuple[float, float]:
    """Returns the effective numbers of right answers and of all answers."""
    up, _, n = right.counts(level)
    return up, n
