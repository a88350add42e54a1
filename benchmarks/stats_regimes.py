"""Simulates error rates of intervals, gate rules and printed effects in many regimes (stats_calibration.py).

A regime consists of the number of questions, the share that changes, the scoring of rows and repeats, and the
distribution of questions over leaves. Draws are made directly (a question changes with a given probability,
by a given share of its rows), so that the true difference is known exactly. They are passed to the functions
that `compare`, `gate` and result.json use.
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np
from stats_designs import Change, Design, Simulated

from ssl4rl_bench.comparison.differences import differences
from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.gating.judge import judge_rule
from ssl4rl_bench.gating.policy import Rule, RuleKind
from ssl4rl_bench.gating.rule_tests import rule_mde, rule_p
from ssl4rl_bench.gating.series import share
from ssl4rl_bench.score import aggregate
from ssl4rl_bench.stats import wilson
from ssl4rl_bench.stats.power import detectable_change
from ssl4rl_bench.stats.seeds import crossed

ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table: how often an event occurred, and how often it may occur."""

    table: str
    name: str
    hits: int
    draws: int
    low: float | None
    """The nominal lower bound of the rate; None without one."""
    high: float | None
    """The nominal upper bound of the rate; None without one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hits", int(self.hits))  # a sum of numpy booleans is not an int

    @property
    def outside(self) -> bool:
        """Whether the rate's 99.9% interval (there are hundreds of regimes) lies outside the bounds."""
        low, high = wilson(self.hits / self.draws, self.draws, 3.29)
        return bool((self.low is not None and high < self.low) or (self.high is not None and low > self.high))


def difference_intervals(draws: int) -> Iterator[_Task]:
    """Yields tasks that measure the coverage of 95% intervals of differences."""
    sizes = (20, 60, 200, 1000, 5000)
    kinds = ("whole", "repeats", "rows", "six", "graded")
    designs = [Design(n, kind) for n in sizes for kind in kinds]
    designs += [Design(n, "rows", leaves) for n in sizes[:4] for leaves in ("ones", "twos", "mixed", "few")]
    changes = [Change(psi, gains) for psi in (0.01, 0.1, 0.3) for gains in (0.5, 0.85)]
    for design, change in itertools.product(designs, changes):
        yield _Task(_difference_interval, design, change, draws)


def _difference_interval(design: Design, change: Change, draws: int) -> Row:
    name = f"{design.name}, {100 * change.share:g}% change, {100 * change.gains:g}% of them gain"
    simulated = Simulated(design, change, name)
    hits = 0
    for _ in range(draws):
        ends = simulated.cell().ci95
        assert ends is not None and ends[0] < ends[1]
        hits += ends[0] - 1e-12 <= simulated.true <= ends[1] + 1e-12
    return Row(
        "95% intervals of differences", name, hits, draws, 0.93, 0.97 if simulated.expected >= 10.0 else None
    )


def accuracy_intervals(draws: int) -> Iterator[_Task]:
    """Yields tasks that measure the coverage of 95% intervals of a run's accuracy."""
    sizes = (20, 60, 200, 1000, 5000)
    designs = [Design(n, kind) for n in sizes for kind in ("whole", "repeats", "rows", "six", "graded")]
    designs += [Design(n, "rows", leaves) for n in sizes[:4] for leaves in ("ones", "twos", "mixed", "few")]
    designs += [Design(n, "graded", "mixed") for n in sizes[:4]]
    for design, p in itertools.product(designs, (0.01, 0.1, 0.5, 0.9, 0.99)):
        yield _Task(_accuracy_interval, design, p, draws)


def _accuracy_interval(design: Design, p: float, draws: int) -> Row:
    """Draws each question's probability from a beta distribution with mean p and row correlation 0.6."""
    name = f"{design.name}, accuracy {100 * p:g}%"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    units, steps = design.steps(rng)
    leaf = design.leaf()
    macro = design.leaves != "one"
    count = np.bincount(leaf, units)
    weights = units / (count[leaf] * len(count)) if macro else units / units.sum()
    effective = 1.0 / float(weights @ weights)
    passes = 3 if design.kind == "repeats" else 1
    hits = 0
    for _ in range(draws):
        chance = rng.beta(p / 1.5, (1.0 - p) / 1.5, design.n)
        sums = units * rng.binomial(steps.astype(int), chance) / steps
        ends = aggregate.estimate(
            sums,
            units,
            units * passes,
            design.n,
            binary=design.kind != "graded",
            leaf=leaf if macro else None,
        ).ci95
        assert ends is not None and ends[0] < ends[1]
        hits += ends[0] - 1e-12 <= p <= ends[1] + 1e-12
    high = 0.97 if effective * min(p, 1.0 - p) >= 10.0 else None
    return Row("95% intervals of accuracies", name, hits, draws, 0.93, high)


def gate_rules(draws: int) -> Iterator[_Task]:
    """Yields tasks that count false fails and passes of each rule at its margin, one test at alpha 5%."""
    designs = [Design(n, kind) for n in (20, 60, 200, 1000, 5000) for kind in ("whole", "rows")]
    designs += [Design(n, "rows", "mixed") for n in (60, 200, 1000)] + [Design(200, "graded")]
    for design in designs:
        for psi in (0.05, 0.3):
            for kind, margin, true in (
                ("not_significantly_worse", 0.0, 0.0),
                ("no_worse_than", 2.0, 0.0),
                ("no_worse_than", 2.0, -2.0),
                ("better_than", 0.0, 0.0),
                ("better_than", 2.0, 2.0),
            ):
                yield _Task(_rule_at, design, psi, kind, margin, true, draws)
        for floor in (1.0, 50.0, 99.0):
            yield _Task(_floor_at, design, floor, draws)


def _rule_at(design: Design, psi: float, kind: RuleKind, margin: float, true: float, draws: int) -> list[Row]:
    rule = Rule(task="simulated", kind=kind, margin=margin)
    change = _with_difference(design, psi, true / 100.0)
    if change is None:
        return []
    name = f"{kind} {margin:g}" if margin else kind
    name = f"{name}, truly {true:+g} points: {design.name}, {100 * change.share:.3g}% change"
    simulated = Simulated(design, change, name)
    fails = passes = 0
    for _ in range(draws):
        cell = simulated.cell()
        tested = judge_rule(rule, cell, rule_p(rule, cell, 1.0 - ALPHA), ALPHA, 1)
        fails += tested.verdict == "fail"
        passes += tested.verdict == "pass"
    rows = []
    at_limit = true == (margin if kind == "better_than" else -margin)
    if (true == 0.0 or at_limit) and not (kind == "no_worse_than" and at_limit):
        rows.append(Row("False fails of gate rules", name, fails, draws, None, ALPHA))
    if at_limit and kind != "not_significantly_worse":
        rows.append(Row("False passes of gate rules at their margin", name, passes, draws, None, ALPHA))
    return rows


def _with_difference(design: Design, psi: float, true: float) -> Change | None:
    """Returns the change with a given true difference, or None if even changing all questions is too little.

    The share of questions that change is `psi`, or more if the difference requires it.
    """
    rng = np.random.default_rng(0)
    units, steps = design.steps(rng)
    all_gain = Change(psi, 1.0).true(design.cells(units), units, steps)
    if abs(true) > all_gain:
        psi, all_gain = psi * abs(true) / all_gain, abs(true)
    if psi > 1.0:
        return None
    return Change(psi, (1.0 + true / all_gain) / 2.0)


def _floor_at(design: Design, floor: float, draws: int) -> list[Row]:
    """Counts false results of `at_least` if the accuracy equals the floor."""
    rule = Rule(task="simulated", kind="at_least", value=floor)
    p = floor / 100.0
    name = f"at_least {floor:g}%, truly {floor:g}%: {design.name}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    units, steps = design.steps(rng)
    cells = design.cells(units)
    fails = passes = 0
    for _ in range(draws):
        chance = rng.beta(p / 1.5, (1.0 - p) / 1.5, design.n)
        after = units * rng.binomial(steps.astype(int), chance) / steps
        (cell,) = differences(after * 0.0, after, units, cells, design.aggregation, replicates=2)
        tested = judge_rule(rule, cell, rule_p(rule, cell, 1.0 - ALPHA), ALPHA, 1)
        fails += tested.verdict == "fail"
        passes += tested.verdict == "pass"
    return [
        Row("False fails of gate rules", name, fails, draws, None, ALPHA),
        Row("False passes of gate rules at their margin", name, passes, draws, None, ALPHA),
    ]


def gate_power(draws: int) -> Iterator[_Task]:
    """Yields tasks on how often one of seven rules fails a checkpoint that is worse by the printed MDE."""
    for design in [Design(n, kind) for n in (60, 200, 1000, 5000) for kind in ("whole", "rows")]:
        for psi in (0.05, 0.3):
            for look in (1, 20, 100):
                for kind, margin in (
                    ("not_significantly_worse", 0.0),
                    ("no_worse_than", 3.0),
                    ("better_than", 2.0),
                ):
                    yield _Task(_power_at, design, psi, look, kind, margin, draws)
    for n, floor in itertools.product((60, 200, 1000, 5000), (50.0, 90.0)):
        yield _Task(_floor_power, Design(n, "whole"), floor, draws)


def _power_at(design: Design, psi: float, look: int, kind: RuleKind, margin: float, draws: int) -> list[Row]:
    rule = Rule(task="simulated", kind=kind, margin=margin)
    alpha = share(ALPHA, look) / 7.0
    start = margin / 100.0 if kind == "better_than" else 0.0
    mde = 0.0
    # The printed MDE depends on the share that changes, which depends on the drop; a few iterations converge.
    for _ in range(6):
        change = _with_difference(design, psi, start - mde)
        if change is None:
            return []
        mde = rule_mde(rule, Simulated(design, change, f"printed {design.name}").typical(), alpha)
    change = _with_difference(design, psi, start - mde)
    if change is None or mde >= 1.0:
        return []
    name = f"{kind} {margin:g}" if margin else kind
    name = f"{name}, look {look}, MDE {100 * mde:.2f}: {design.name}, {100 * change.share:.3g}% change"
    simulated = Simulated(design, change, name)
    fails = 0
    for _ in range(draws):
        cell = simulated.cell()
        fails += (
            judge_rule(rule, cell, 7.0 * rule_p(rule, cell, 1.0 - alpha), 7.0 * alpha, 7).verdict == "fail"
        )
    return [Row("Power at the gate's printed MDE", name, fails, draws, 0.75, None)]


def _floor_power(design: Design, floor: float, draws: int) -> list[Row]:
    rule = Rule(task="simulated", kind="at_least", value=floor)
    rng = np.random.default_rng(zlib.crc32(f"{design.name} {floor}".encode()))
    units, _ = design.steps(rng)
    cells = design.cells(units)

    def cell(p: float) -> Difference:
        after = (rng.random(design.n) < p).astype(float)
        return differences(after * 0.0, after, units, cells, design.aggregation, replicates=2)[0]

    mde = rule_mde(rule, cell(floor / 100.0), ALPHA)
    fails = 0
    for _ in range(draws):
        drawn = cell(floor / 100.0 - mde)
        fails += judge_rule(rule, drawn, rule_p(rule, drawn, 1.0 - ALPHA), ALPHA, 1).verdict == "fail"
    name = f"at_least {floor:g}%, MDE {100 * mde:.2f}: {design.name}"
    return [Row("Power at the gate's printed MDE", name, fails, draws, 0.75, None)]


def compare_power(draws: int) -> Iterator[_Task]:
    """Yields tasks on how often `compare` detects the printed MDE, as one of six tests, each at alpha / 6."""
    for design in [
        Design(n, kind) for n in (60, 200, 1000) for kind in ("whole", "rows", "repeats", "graded")
    ]:
        for psi in (0.1, 0.3):
            yield _Task(_compare_power, design, psi, draws)


def _compare_power(design: Design, psi: float, draws: int) -> list[Row]:
    alpha, mde = ALPHA / 6.0, 0.0
    for _ in range(6):
        change = _with_difference(design, psi, mde)
        if change is None:
            return []
        counts = Simulated(design, change, f"printed {design.name}").typical().counts
        assert counts is not None
        mde = detectable_change(max(1, round(counts.n)), counts.changed, alpha)
    change = _with_difference(design, psi, mde)
    if change is None or mde >= 1.0:
        return []
    name = f"MDE {100 * mde:.2f}: {design.name}, {100 * change.share:.3g}% change"
    simulated = Simulated(design, change, name)
    hits = sum(simulated.cell(4000).p < alpha for _ in range(draws))
    return [Row("Power at the MDE that compare prints", name, hits, draws, 0.75, None)]


def looks(draws: int) -> Iterator[_Task]:
    """Yields tasks that count series of checkpoints, all as good as the baseline, with a false fail."""
    for n, number in itertools.product((60, 1000), (1, 5, 20, 100)):
        yield _Task(_looks, n, number, max(200, draws // 5))


def _looks(n: int, number: int, draws: int) -> list[Row]:
    rule = Rule(task="simulated", kind="not_significantly_worse")
    name = f"{number} looks, n {n:,}, 20% change"
    simulated = Simulated(Design(n, "whole"), Change(0.2, 0.5), name)
    hits = 0
    for _ in range(draws):
        for look in range(1, number + 1):
            alpha = share(ALPHA, look)
            cell = simulated.cell()
            if judge_rule(rule, cell, rule_p(rule, cell, 1.0 - alpha), alpha, 1).verdict == "fail":
                hits += 1
                break
    return [Row("At least one false fail in a series with --family", name, hits, draws, None, ALPHA)]


def seeds(draws: int) -> Iterator[_Task]:
    """Yields tasks on the intervals of a method's mean over seeds, and of one more seed."""
    for n_seeds, n, spread in itertools.product((2, 3, 5), (60, 1000), (0.0, 0.01, 0.05)):
        yield _Task(_seeds, n_seeds, n, spread, draws)


def _seeds(n_seeds: int, n: int, spread: float, draws: int) -> list[Row]:
    name = f"{n_seeds} seeds, n {n:,}, seeds' means vary by {100 * spread:g} points"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    mean = next_seed = 0
    for _ in range(draws):
        # Differences of 0/1 scores have three sources: the question, the seed, and chance.
        tendency = rng.normal(0.0, 0.15, n)[:, None] + rng.normal(0.0, spread, n_seeds + 1)[None, :]
        up, down = np.clip(0.15 + tendency / 2.0, 0.0, 0.5), np.clip(0.15 - tendency / 2.0, 0.0, 0.5)
        u = rng.random((n, n_seeds + 1))
        d = np.where(u < up, 1.0, np.where(u > 1.0 - down, -1.0, 0.0))
        method = crossed(d[:, :-1])
        assert method.ci95 is not None and method.next_seed is not None
        mean += method.ci95[0] <= 0.0 <= method.ci95[1]
        next_seed += method.next_seed[0] <= d[:, -1].mean() <= method.next_seed[1]
    return [
        Row("95% intervals over training seeds", f"mean: {name}", mean, draws, 0.93, None),
        Row("95% intervals over training seeds", f"one more seed: {name}", next_seed, draws, 0.93, None),
    ]


PARTS: dict[str, Callable[[int], Iterator[_Task]]] = {
    "rules": gate_rules,
    "gate-power": gate_power,
    "accuracies": accuracy_intervals,
    "seeds": seeds,
    "differences": difference_intervals,
    "looks": looks,
    "compare-power": compare_power,
}


class _Task:
    """A call that can be sent to another process."""

    def __init__(self, function: Callable[..., Row | list[Row]], *args: object) -> None:
        self.function, self.args = function, args

    def __call__(self) -> list[Row]:
        out = self.function(*self.args)
        return out if isinstance(out, list) else [out]


def run(parts: Sequence[str], draws: int, jobs: int = 1) -> Iterator[Row]:
    """Yields all rows of the given parts as they are completed."""
    tasks = [task for part in parts for task in PARTS[part](draws)]
    if jobs == 1:
        for task in tasks:
            yield from task()
        return
    with ProcessPoolExecutor(jobs) as pool:
        # In order of completion, so that an interruption loses no finished rows; the tables are sorted later.
        for done in as_completed([pool.submit(_call, task) for task in tasks]):
            yield from done.result()


def _call(task: _Task) -> list[Row]:
    return task()
