"""Measures false alarms and missed losses of a gate: simulated checkpoints under the example policy.

    python benchmarks/gate_calibration.py                    # 10,000 checkpoints without a change, 500 for each drop
    python benchmarks/gate_calibration.py --null 500 --drops 50
    python benchmarks/gate_calibration.py --null 400 --drops 0 --series 0 --margin 5   # the margin of the example

Questions and models are those of stats_calibration.py. A checkpoint answers a share of the questions
(--redrawn) like another model and the others like the baseline. The policy consists of the two rules of the
example policy: at most a margin (3 points) worse overall, and no ability significantly worse. It is compared with two
gates that people write: "no ability falls by a point or more", and "no ability falls significantly by a z-test
over rows". Prints Markdown tables with 95% intervals.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr
from stats_calibration import TASK, Benchmark, rate

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.gating.judge import Gate, apply_policy
from ssl4rl_bench.gating.policy import Policy, parse_policy
from ssl4rl_bench.gating.series import share


def both_rules(margin: float) -> Policy:
    """Returns the policy of the two rules."""
    rules = [
        {"task": TASK, "kind": "no_worse_than", "margin": margin},
        {"task": TASK, "kind": "not_significantly_worse", "level": "l2"},
    ]
    return parse_policy({"alpha": 0.05, "rule": rules})


POLICY = both_rules(3)
OVERALL = parse_policy({"rule": [{"task": TASK, "kind": "no_worse_than", "margin": 3}]})
SKILL = 1.2


def any_point(gate: Gate) -> bool:
    """Whether an ability falls by a point or more (the first naive gate)."""
    return any(tested.difference.value <= -0.01 for tested in gate.tested if tested.difference.level == "l2")


def row_z(one: Evaluated, two: Evaluated, level: float = 0.05) -> bool:
    """Whether an ability falls by an unpaired one-sided z-test over its rows, each at 5% (the second)."""
    old, new = one.outcomes[TASK], two.outcomes[TASK]
    ability = np.repeat([place.l2 for place in old.places], old.sizes)
    for name in np.unique(ability):
        a, b = old.values[ability == name, 0], new.values[ability == name, 0]
        spread = np.sqrt(a.mean() * (1 - a.mean()) / len(a) + b.mean() * (1 - b.mean()) / len(b))
        if ndtr((b.mean() - a.mean()) / spread) < level:
            return True
    return False


def dropped(bench: Benchmark, right: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Returns the rows after making one copy wrong in a random share of the questions."""
    starts = np.concatenate([[0], np.cumsum(bench.sizes)[:-1]])
    right_groups = np.flatnonzero(np.minimum.reduceat(right, starts))
    hit = right_groups[rng.random(len(right_groups)) < share * len(bench.sizes) / max(1, len(right_groups))]
    out = right.copy()
    out[starts[hit] + rng.integers(0, bench.sizes[hit])] = False
    return out


def siblings(bench: Benchmark, redrawn: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws two equally good models; the second redraws its answers to a share of the questions only."""
    old, other = bench.draw(rng, [SKILL, SKILL])
    anew = np.repeat(rng.random(len(bench.sizes)) < redrawn, bench.sizes)
    return old, np.where(anew, other, old)


def judged(
    policy: Policy, bench: Benchmark, redrawn: float, drop: float, rng: np.random.Generator
) -> tuple[Gate, Evaluated, Evaluated]:
    old, new = siblings(bench, redrawn, rng)
    if drop:
        new = dropped(bench, new, drop, rng)
    one, two = bench.run("old", old), bench.run("new", new)
    return apply_policy(policy, one, two), one, two


def no_change(n: int, redrawn: float, policy: Policy, rng: np.random.Generator) -> Iterator[str]:
    """Yields a table of false alarms."""
    bench = Benchmark.mmbench(rng)
    counts: Counter[str] = Counter()
    changed = 0.0
    for _ in range(n):
        gate, one, two = judged(policy, bench, redrawn, 0.0, rng)
        counts[gate.raw_verdict] += 1
        counts["point"] += any_point(gate)
        counts["z"] += row_z(one, two)
        overall = gate.tested[0].difference
        changed += (overall.gained + overall.lost) / overall.n / n
    yield f"\n### {n} checkpoints as good as the baseline; {100 * changed:.1f}% of 1,164 questions change\n"
    yield "| gate | fails, % | passes, % | inconclusive, % |\n| --- | ---: | ---: | ---: |"
    shown = " | ".join(rate(counts[name], n) for name in ("fail", "pass", "inconclusive"))
    yield f"| the policy (alpha 5%) | {shown} |"
    yield f"| any ability a point lower | {rate(counts['point'], n)} | | |"
    yield f"| any ability lower by a z-test over rows | {rate(counts['z'], n)} | | |"


def real_drops(n: int, redrawn: float, rng: np.random.Generator) -> Iterator[str]:
    """Yields a table of power and wrong passes by the size of the drop and the number of questions."""
    anew = f"{100 * redrawn:g}% answered anew"
    yield f"\n### True drops of the Average, margin 3 points, {n} checkpoints each, {anew}\n"
    yield "| questions | drop, points | MDE, points | fails, % | inconclusive, % | passes, % |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for factor in (1, 4):
        bench = Benchmark.mmbench(rng)
        bench = Benchmark(bench.places * factor, np.tile(bench.sizes, factor))
        for drop in (0.0, 0.01, 0.03, 0.05, 0.08, 0.12):
            counts: Counter[str] = Counter()
            mde = 0.0
            for _ in range(n):
                gate = judged(OVERALL, bench, redrawn, drop, rng)[0]
                counts[gate.raw_verdict] += 1
                mde += gate.tested[0].mde / n
            shown = " | ".join(rate(counts[name], n) for name in ("fail", "inconclusive", "pass"))
            yield f"| {len(bench.sizes):,} | {100 * drop:g} | {100 * mde:.1f} | {shown} |"


def series(n: int, redrawn: float, rng: np.random.Generator) -> Iterator[str]:
    """Yields a table of false fails among twenty equally good checkpoints, with and without a family."""
    bench = Benchmark.mmbench(rng)
    counts: Counter[str] = Counter()
    for _ in range(n):
        first, other, *drawn = bench.draw(rng, [SKILL] * 22)
        old = bench.run("old", first)
        alarms = {"family": False, "none": False}
        for number, fresh in enumerate(drawn, 1):
            # Checkpoints of the same training resemble each other: half of the redrawn answers stay from one
            # to the next.
            unchanged = np.repeat(rng.random(len(bench.sizes)) < 0.5, bench.sizes)
            other = np.where(unchanged, other, fresh)
            anew = np.repeat(rng.random(len(bench.sizes)) < redrawn, bench.sizes)
            new = bench.run("new", np.where(anew, other, first))
            gate = apply_policy(POLICY, old, new, alpha=share(POLICY.alpha, number))
            alarms["family"] |= gate.raw_verdict == "fail"
            worst = min(
                tested.p_fail for tested in gate.tested if tested.rule.kind == "not_significantly_worse"
            )
            alarms["none"] |= worst < POLICY.alpha
        for name, rang in alarms.items():
            counts[name] += rang
    share_anew = f"{100 * redrawn:g}% answered anew"
    yield f"\n### Twenty checkpoints of a training run, none of them worse, {n} runs, {share_anew}\n"
    yield "| | at least one false fail, % |\n| --- | ---: |"
    yield f"| with `--family` | {rate(counts['family'], n)} |"
    yield f"| each at alpha 5% | {rate(counts['none'], n)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--null", type=int, default=10_000)
    parser.add_argument("--drops", type=int, default=500)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--margin", type=float, default=3, help="of the first table's policy, in points")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--redrawn", type=float, nargs="+", default=[0.3, 1.0])
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    start = time.monotonic()
    for redrawn in args.redrawn:
        parts = (
            (args.null, no_change(args.null, redrawn, both_rules(args.margin), rng)),
            (args.drops, real_drops(args.drops, redrawn, rng)),
            (args.series, series(args.series, redrawn, rng)),
        )
        for part in (lines for n, lines in parts if n):
            for line in part:
                print(line, flush=True)
    print(f"\nSeed {args.seed}, {time.monotonic() - start:.0f} s.")


if __name__ == "__main__":
    main()
