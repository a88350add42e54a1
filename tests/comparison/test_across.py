"""Differences on several benchmarks as one family, and averages over benchmarks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from many_tasks import PREFIX, many, some
from statsmodels.stats.multitest import multipletests

from ssl4rl_bench.comparison.across import Average, FamilyKey, correct_across, parse_averages
from ssl4rl_bench.comparison.compare import CORRECTIONS, compare_task
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import Comparison, Difference
from ssl4rl_bench.core.errors import UsageError

SIZES = {"one": 60, "two": 80, "three": 50}
TASKS = [PREFIX + name for name in SIZES]
MEAN = Average("Mean", (TASKS[0], TASKS[1]))


def made(label: str, seed: int, share: float = 0.6) -> Evaluated:
    rng = np.random.default_rng(seed)
    return many(label, {name: (rng.random(n) < share).astype(float) for name, n in SIZES.items()})


def compared(base: Evaluated, candidates: list[Evaluated]) -> list[Comparison]:
    return [
        comparison
        for task in base.outcomes
        for comparison in compare_task(base, [run for run in candidates if task in run.outcomes], task)
    ]


BASE = made("base", 1)
COMPARED = compared(BASE, [made("new", 2, 0.75), made("other", 3, 0.5)])


@pytest.mark.parametrize(("correction", "method"), [("holm", "holm"), ("bh", "fdr_bh")])
@pytest.mark.parametrize("averages", [(), (MEAN,)])
def test_the_family_is_all_that_is_returned(
    correction: str, method: str, averages: tuple[Average, ...]
) -> None:
    differences = list(correct_across(COMPARED, averages, correction).values())
    assert len(differences) == 2 * (3 + len(averages))
    assert {one.family for one in differences} == {len(differences)}
    expected = multipletests([one.p for one in differences], method=method)[1]
    assert [one.p_corrected for one in differences] == pytest.approx(list(expected))


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_estimates_are_those_of_the_comparisons(correction: str) -> None:
    differences = correct_across(COMPARED, [MEAN], correction)
    for comparison in COMPARED:
        own, one = comparison.overall, differences[FamilyKey(comparison.candidate, comparison.task)]
        assert (one.value, one.ci95, one.p, one.n, one.se) == (own.value, own.ci95, own.p, own.n, own.se)
        if correction == "none":
            assert one.p_corrected == one.p and one.mde < own.mde
        else:
            assert one.p_corrected >= one.p - 0.02  # max-T is drawn
            assert one.mde > own.mde  # the family is larger than that of the benchmark's table


def test_an_average_is_the_mean_and_its_error_that_of_independent_benchmarks() -> None:
    differences = correct_across(COMPARED, [MEAN])
    one, two = (differences[FamilyKey("new", task)] for task in MEAN.tasks)
    mean = differences[FamilyKey("new", "Mean")]
    assert mean.value == pytest.approx((one.value + two.value) / 2)
    assert (mean.baseline, mean.candidate) == pytest.approx(
        ((one.baseline + two.baseline) / 2, (one.candidate + two.candidate) / 2)
    )
    assert one.se is not None and two.se is not None
    assert mean.se == pytest.approx(math.hypot(one.se, two.se) / 2)
    assert mean.n == one.n + two.n and (mean.gained, mean.lost) == (
        one.gained + two.gained,
        one.lost + two.lost,
    )
    assert mean.ci95 is not None and mean.se is not None
    assert mean.ci95 == pytest.approx((mean.value - 1.96 * mean.se, mean.value + 1.96 * mean.se), abs=0.01)
    z = mean.value / mean.se
    assert mean.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=0.02)
    assert mean.mde == pytest.approx((2.7344 + 0.8416) * mean.se, rel=0.05)  # z(1 - 0.05 / 8 / 2)


def test_an_average_finds_what_no_benchmark_shows_alone() -> None:
    base = many("base", {name: some(40, 18) for name in SIZES})
    new = many("new", {name: some(40, 22) for name in SIZES})
    mean = Average("All", tuple(TASKS))
    differences = correct_across(compared(base, [new]), [mean])
    assert all(not differences[FamilyKey("new", task)].mark for task in TASKS)
    assert differences[FamilyKey("new", "All")].mark == "better"


def test_a_few_questions_on_which_all_changes_agree_are_no_evidence() -> None:
    base = many("base", {"one": [0.0, 0.0], "two": [0.0]})
    new = many("new", {"one": [1.0, 1.0], "two": [1.0]})
    differences = correct_across(compared(base, [new]), [Average("All", tuple(TASKS[:2]))])
    mean = differences[FamilyKey("new", "All")]
    assert mean.value == 1.0 and mean.p > 0.05 and mean.mark == ""
    assert mean.ci95 is None and mean.mde == 1.0  # a single question has no interval


def test_a_candidate_that_lacks_a_benchmark_has_no_average_and_no_test() -> None:
    lacking = many("lacking", {"one": some(60, 50)})
    differences = correct_across(compared(BASE, [made("new", 2), lacking]), [MEAN])
    assert {key.column for key in differences if key.candidate == "lacking"} == {TASKS[0]}
    assert {one.family for one in differences.values()} == {5}


@settings(deadline=None, max_examples=examples(20))
@given(st.integers(0, 10_000))
@pytest.mark.slow
def test_exchanging_the_runs_turns_an_average_around(seed: int) -> None:
    a, b = made("a", seed), made("b", seed + 1)

    def mean(base: Evaluated, candidate: Evaluated) -> Difference:
        return correct_across(compared(base, [candidate]), [MEAN], replicates=200)[
            FamilyKey(candidate.label, "Mean")
        ]

    there, back = mean(a, b), mean(b, a)
    assert there.value == pytest.approx(-back.value) and there.p == back.p
    assert there.ci95 == pytest.approx(tuple(-end for end in reversed(back.ci95 or ())))


def test_averages_are_named_after_their_benchmarks_or_by_the_user() -> None:
    (plain, named) = parse_averages(["one, two", "Both = three,ssl4rl_one"], TASKS)
    assert plain == Average("Average of one, two", (TASKS[0], TASKS[1]))
    assert named == Average("Both", (TASKS[2], TASKS[0]))
    more = [PREFIX + f"t{number}" for number in range(5)]
    (long,) = parse_averages([",".join(more)], more)
    assert long.name == "Average of 5 benchmarks"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["one,tow"], "tow is not a benchmark of these runs .*did you mean two"),
        (["one"], "needs two or more different benchmarks"),
        (["one,one"], "needs two or more different benchmarks"),
        (["Mean="], "needs two or more different benchmarks"),
        (["A=one,two", "A=two,three"], "another column is called A; name it with NAME=two,three"),
        (["one=two,three"], "another column is called one"),
    ],
)
def test_wrong_averages_are_refused_by_name(values: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_averages(values, TASKS)


@pytest.mark.slow
@pytest.mark.parametrize(("drop", "least", "most"), [(False, 0.01, 0.09), (True, 0.70, 0.92)])
def test_an_average_errs_and_finds_as_often_as_it_claims(drop: bool, least: float, most: float) -> None:
    """Pairs of runs that agree on 70% of the questions; with `drop`, the second one loses the printed MDE."""
    sizes = {"one": 150, "two": 250, "three": 100}
    mean = Average("All", tuple(PREFIX + name for name in sizes))
    rng = np.random.default_rng(4)

    def pair(loss: float) -> Difference:
        base, new = {}, {}
        for name, n in sizes.items():
            base[name] = (rng.random(n) < 0.7).astype(float)
            again = rng.random(n) < 0.3
            new[name] = np.where(again, rng.random(n) < 0.7 - loss / 0.3, base[name]).astype(float)
        runs = many("base", base), many("new", new)
        key = FamilyKey("new", "All")
        return correct_across(compared(runs[0], [runs[1]]), [mean], "none", replicates=2000)[key]

    mde = np.mean([pair(0.0).mde for _ in range(20)]) if drop else 0.0
    marked = np.mean([bool(pair(float(mde)).mark) for _ in range(200)])
    assert least < marked < most
