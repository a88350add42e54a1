"""Measures whether error rates are as stated: simulated runs through the functions that `compare` and `gate` use.

    python benchmarks/stats_calibration.py                                   # everything: 3 hours on one core
    python benchmarks/stats_calibration.py --jobs 14 --draws 2000 --rows rows.jsonl
    python benchmarks/stats_calibration.py --from rows.jsonl --full          # the tables again, with every regime
    python benchmarks/stats_calibration.py --parts seeds looks --draws 200   # some parts, quickly

The parts of stats_regimes.py cover many regimes: 20 to 5,000 questions, 1 to 30% of them changed, accuracies
from 1 to 99%, leaves of 1 to 100 questions, 2 to 6 rows, repeats, graded scores, 1 to 100 looks. Each prints
observed and nominal rates; a regime is called outside if the 99.9% interval of its rate does not reach the
bounds.

The part `mmbench` simulates pairs of runs on the questions of MMBench dev v1.0: 1,164 in 20 leaves, with 2 to 4
circular copies. A reply is right with probability sigmoid(skill + easiness of the question + interaction of
model and question); the last two are drawn once for all copies of a question. Copies therefore agree, and so do
models.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import stats_regimes
from stats_regimes import Row

from ssl4rl_bench.comparison.compare import best_of, compare_task
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import ALPHA, Comparison
from ssl4rl_bench.core.types import Categories, Sampling
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.stats import wilson
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.stats.paired import mcnemar
from ssl4rl_bench.stats.power import detectable_change
from ssl4rl_bench.task.mmbench.taxonomy import EDITIONS, L1_OF, L2_OF

TASK = "ssl4rl_simulated"
SPEC = RunSpec(
    model="simulated",
    fingerprint="0" * 64,
    tasks={TASK: TaskSpec("1", "0" * 64, "ssl4rl", 0, Sampling())},
    engine="mock",
    engine_version="0",
)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The structure of a benchmark: the categories and the numbers of rows of its questions."""

    places: tuple[Categories, ...]
    sizes: np.ndarray

    @classmethod
    def mmbench(cls, rng: np.random.Generator) -> Benchmark:
        leaves = EDITIONS["dev_v1.0"].leaves or {}
        places = [
            Categories(L1_OF[L2_OF[leaf]], L2_OF[leaf], leaf) for leaf, n in leaves.items() for _ in range(n)
        ]
        sizes = rng.permutation(np.repeat([4, 3, 2], [926, 149, 89]))
        return cls(tuple(places), sizes)

    def run(self, label: str, right: np.ndarray) -> Evaluated:
        """Makes a run in which the given rows are right."""
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        names = tuple(map(str, range(len(self.sizes))))
        n = len(right)
        outcomes = Outcomes(
            task=TASK,
            version="1",
            prompt="ssl4rl",
            data_sha256="0" * 64,
            extractor="default",
            image="real",
            probe=None,
            groups=names,
            content=names,
            places=self.places,
            starts=starts.astype(np.intp),
            ids=tuple(map(str, range(n))),
            rolls=(np.arange(n) - np.repeat(starts, self.sizes)).astype(np.intp),
            values=right.astype(np.float64)[:, None],
            status=np.zeros((n, 1), np.int8),
            answers=(("A",),) * n,
        )
        return Evaluated(label, Path(label), SPEC, {"partial_reasons": []}, {TASK: outcomes})

    def draw(self, rng: np.random.Generator, skills: list[float]) -> list[np.ndarray]:
        """Draws for each model, given its skill, which rows are right."""
        groups = len(self.sizes)
        easy = rng.normal(0.0, 2.0, groups)
        out = []
        for skill in skills:
            logit = skill + easy + rng.normal(0.0, 1.0, groups)
            out.append(rng.random(int(self.sizes.sum())) < np.repeat(1 / (1 + np.exp(-logit)), self.sizes))
        return out


def rate(hits: int, n: int) -> str:
    low, high = wilson(hits / n, n)
    return f"{100 * hits / n:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def null_pairs(pairs: int, rng: np.random.Generator) -> Iterator[str]:
    """Yields tables of false alarms and coverage of `circular_micro`, for pairs of equally good models."""
    bench = Benchmark.mmbench(rng)
    alarms = dict.fromkeys(
        ("Holm, mid-p (the default)", "max-T by sign flips", "Holm, exact p", "no correction"), 0
    )
    overall = {"mid-p": 0, "exact p": 0}
    covered: dict[str, int] = {}
    changed = 0.0
    for _ in range(pairs):
        one, two = (
            bench.run(name, right) for name, right in zip("ab", bench.draw(rng, [1.2, 1.2]), strict=True)
        )
        (comparison,) = compare_task(one, [two], TASK)
        cells = comparison.cells[1:]
        gained, lost = np.array([cell.gained for cell in cells]), np.array([cell.lost for cell in cells])
        (flips,) = compare_task(one, [two], TASK, correction="max-t", replicates=2000)
        alarms["Holm, mid-p (the default)"] += any(cell.p_corrected < ALPHA for cell in cells)
        alarms["max-T by sign flips"] += any(cell.p_corrected < ALPHA for cell in flips.cells[1:])
        alarms["Holm, exact p"] += bool((holm(mcnemar(gained, lost, mid=False)) < ALPHA).any())
        alarms["no correction"] += any(cell.p < ALPHA for cell in cells)
        overall["mid-p"] += comparison.overall.p < ALPHA
        overall["exact p"] += bool(
            mcnemar(comparison.overall.gained, comparison.overall.lost, mid=False) < ALPHA
        )
        changed += (comparison.overall.gained + comparison.overall.lost) / comparison.overall.n / pairs
        for cell in comparison.cells:
            assert cell.ci95 is not None
            covered[f"{cell.name} (n {cell.n})"] = covered.get(f"{cell.name} (n {cell.n})", 0) + (
                cell.ci95[0] <= 0.0 <= cell.ci95[1]
            )
    yield f"### No true difference, {pairs} pairs, circular_micro; {100 * changed:.1f}% of questions change\n"
    yield "| At least one false alarm among six abilities | % of pairs |\n| --- | ---: |"
    for name, hits in alarms.items():
        yield f"| {name} | {rate(hits, pairs)} |"
    yield "\n| False alarm on the Average | % of pairs |\n| --- | ---: |"
    for name, hits in overall.items():
        yield f"| {name} | {rate(hits, pairs)} |"
    yield "\n| The 95% interval covers 0 | % of pairs |\n| --- | ---: |"
    for name, hits in covered.items():
        yield f"| {name} | {rate(hits, pairs)} |"


def null_rows(pairs: int, rng: np.random.Generator) -> Iterator[str]:
    """Yields the same table for `row_micro`, with permutation p-values and bootstrap intervals."""
    bench = Benchmark.mmbench(rng)
    alarms, covered, n_intervals, overall = 0, 0, 0, 0
    for _ in range(pairs):
        one, two = (
            bench.run(name, right) for name, right in zip("ab", bench.draw(rng, [1.2, 1.2]), strict=True)
        )
        (comparison,) = compare_task(one, [two], TASK, aggregation="row_micro", replicates=2000)
        alarms += any(cell.p_corrected < ALPHA for cell in comparison.cells[1:])
        overall += comparison.overall.p < ALPHA
        for cell in comparison.cells:
            assert cell.ci95 is not None
            covered += cell.ci95[0] <= 0.0 <= cell.ci95[1]
            n_intervals += 1
    yield f"\n### No true difference, {pairs} pairs, row_micro\n"
    yield "| | % |\n| --- | ---: |"
    yield f"| At least one false alarm among six abilities (Holm, sign flips) | {rate(alarms, pairs)} |"
    yield f"| False alarm on the Average | {rate(overall, pairs)} |"
    yield f"| The 95% interval covers 0 (seven cells) | {rate(covered, n_intervals)} |"


def best_of_four(pairs: int, rng: np.random.Generator) -> Iterator[str]:
    """Yields how often the best of four candidates, all as good as the baseline, is called better."""
    bench = Benchmark.mmbench(rng)
    corrected, naive = 0, 0
    for _ in range(pairs):
        runs = [
            bench.run(name, right) for name, right in zip("abcde", bench.draw(rng, [1.2] * 5), strict=True)
        ]
        comparisons = compare_task(runs[0], runs[1:], TASK)
        corrected += any(best.p < ALPHA for best in best_of(comparisons, 2000) if best.level == "overall")
        naive += max(_one_sided(comparison) for comparison in comparisons) > 1 - ALPHA
    yield f"\n### Maximal improvement of four equal checkpoints, {pairs} draws\n"
    yield "| The best is called better on the Average | % |\n| --- | ---: |"
    yield f"| max-T over candidates | {rate(corrected, pairs)} |"
    yield f"| one-sided p of the best alone | {rate(naive, pairs)} |"


def _one_sided(comparison: Comparison) -> float:
    """Returns the confidence that the candidate is better, not corrected for its selection."""
    cell = comparison.overall
    return 1 - cell.p / 2 if cell.value > 0 else cell.p / 2


def power_at_mde(pairs: int, rng: np.random.Generator) -> Iterator[str]:
    """Yields how often an ability that is truly better by the printed MDE is detected, with Holm over six."""
    yield f"\n### Power where one ability differs by its MDE, {pairs} pairs each; the MDE claims 80%\n"
    yield "| n | changed % | MDE, points | found % | mean MDE that the data print |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for n in (115, 143, 199, 296):
        for psi in (0.1, 0.2, 0.3):
            delta = detectable_change(n, psi, ALPHA / 6)
            share = max(psi, delta)
            changes = rng.multinomial(n, [(share + delta) / 2, (share - delta) / 2, 1 - share], pairs)
            gained, lost = changes[:, 0], changes[:, 1]
            others = rng.multinomial(200, [psi / 2, psi / 2, 1 - psi], (pairs, 5))
            p = np.column_stack([mcnemar(gained, lost), mcnemar(others[:, :, 0], others[:, :, 1])])
            n_found = sum(holm(row)[0] < ALPHA for row in p)
            printed = np.mean([detectable_change(n, share / n, ALPHA / 6) for share in (gained + lost)[:500]])
            yield f"| {n} | {100 * psi:.0f} | {100 * delta:.2f} | {rate(int(n_found), pairs)} | {100 * printed:.2f} |"


def table(rows: Sequence[Row], full: bool) -> Iterator[str]:
    """Yields Markdown tables of the rates by rule and number of questions, and of regimes outside bounds.

    Args:
        full: whether each regime has a separate line.
    """
    for title in sorted({row.table for row in rows}):
        members = sorted(
            (row for row in rows if row.table == title), key=lambda row: (*_group(row), row.name)
        )
        outside = [row for row in members if row.outside]
        yield f"\n### {title}\n"
        draws = min(row.draws for row in members)
        yield f"{len(members)} regimes, {draws:,} draws or more each; outside: {len(outside)}.\n"
        if not full:
            yield "| | n | regimes | lowest, % | median, % | highest, % | bounds, % |"
            yield "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
            for (what, n), group in itertools.groupby(members, _group):
                regimes = list(group)
                rates = np.array([100.0 * row.hits / row.draws for row in regimes])
                bounds = ", ".join(sorted({_bounds(row) for row in regimes}))
                yield (
                    f"| {what} | {n:,} | {len(regimes)} | {rates.min():.1f} | {np.median(rates):.1f} | "
                    f"{rates.max():.1f} | {bounds} |"
                )
        if full or outside:
            yield "\n| regime | observed, % [95% interval] | bounds, % | |\n| --- | ---: | ---: | --- |"
        for row in members if full else outside:
            low, high = wilson(row.hits / row.draws, row.draws)
            rate = f"{100 * row.hits / row.draws:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
            yield f"| {row.name} | {rate} | {_bounds(row)} | {'outside' if row.outside else ''} |"


def _group(row: Row) -> tuple[str, int]:
    """Returns the rule or the kind of scores of a row, and its number of questions."""
    number = re.search(r"\bn ([\d,]+)", row.name)
    what = re.match(
        r"[a-z_]+_[a-z]+( \d+%?)?|mean|one more seed|.*(?=, n )", re.sub(r"^MDE [\d.]+: ", "", row.name)
    )
    return what[0] if what else "", int(number[1].replace(",", "")) if number else 0


def _bounds(row: Row) -> str:
    low, high = ("" if end is None else f"{100 * end:g}" for end in (row.low, row.high))
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = [*stats_regimes.PARTS, "mmbench"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--draws", type=int, default=2_000, help="number of draws per regime")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument(
        "--full", action="store_true", help="print every regime, not only those outside their bounds"
    )
    parser.add_argument("--rows", type=Path, help="append each regime to this file (JSON lines)")
    parser.add_argument(
        "--from", dest="known", type=Path, help="print the tables of such a file without simulating"
    )
    parser.add_argument("--pairs", type=int, default=10_000, help="mmbench: pairs of runs")
    parser.add_argument(
        "--row-pairs", type=int, default=1_000, help="mmbench: pairs for rows and for the best of four"
    )
    parser.add_argument("--seed", type=int, default=0, help="mmbench: seed of the draws")
    args = parser.parse_args()
    if args.known:
        rows = [Row(**json.loads(line)) for line in args.known.read_text(encoding="utf-8").splitlines()]
        print("\n".join(table(rows, args.full)))
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the worker processes
    start = time.monotonic()
    rows = []
    for row in stats_regimes.run([part for part in args.parts if part != "mmbench"], args.draws, args.jobs):
        rows.append(row)
        if args.rows:
            with args.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(row)) + "\n")
        if sys.stderr.isatty():
            print(f"{time.monotonic() - start:.0f} s, {len(rows)} regimes", end="\r", file=sys.stderr)
    print("\n".join(table(rows, args.full)), flush=True)
    if "mmbench" in args.parts:
        rng = np.random.default_rng(args.seed)
        for lines in (
            power_at_mde(args.pairs, rng),
            null_pairs(args.pairs, rng),
            null_rows(args.row_pairs, rng),
            best_of_four(args.row_pairs, rng),
        ):
            for line in lines:
                print(line, flush=True)
    print(f"\n{args.draws} draws per regime, {time.monotonic() - start:.0f} s on {args.jobs} processes.")


if __name__ == "__main__":
    main()
