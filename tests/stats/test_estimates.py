from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats as reference

from ssl4rl_bench.stats import (
    Z95,
    VarianceComponents,
    variance_components,
    wilson,
)
from ssl4rl_bench.stats.effective import accuracy, accuracy_interval, mean_variance

any_speed = settings(deadline=None)
PROPORTIONS = st.floats(0.0, 1.0)
GROUPS = st.lists(
    st.integers(1, 4).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))), min_size=2, max_size=30
)
"""(right rows, rows) of each group."""


def cluster_mean_se(sums: ArrayLike, sizes: ArrayLike) -> tuple[float, float]:
    """Mean over rows, and its standard error over groups."""
    y, m = np.asarray(sums, float), np.asarray(sizes, float)
    weights = np.full(len(y), 1.0 / m.sum())
    return float(weights @ y), math.sqrt(mean_variance(weights, y, m).value)


def mean_se(values: ArrayLike) -> tuple[float, float]:
    return cluster_mean_se(values, np.ones(len(np.asarray(values))))


@any_speed
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts: tuple[int, int]) -> None:
    right, n = counts
    theirs = reference.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@any_speed
@given(PROPORTIONS, st.floats(1.0, 1e6))
def test_wilson_contains_its_value_within_bounds_and_mirrors(value: float, n: float) -> None:
    low, high = wilson(value, n)
    assert 0.0 <= low <= value <= high <= 1.0
    assert high - low > 0.0
    assert wilson(1.0 - value, n) == pytest.approx((1.0 - high, 1.0 - low), abs=1e-9)
    wider = wilson(value, n / 2)
    assert wider[1] - wider[0] > high - low


def test_wilson_covers_95_percent_on_average() -> None:
    n = 40
    right = np.arange(n + 1)
    ends = np.array([wilson(k / n, n) for k in right])
    truths = np.linspace(0.02, 0.98, 97)
    covered = [reference.binom.pmf(right, n, p)[(ends[:, 0] <= p) & (p <= ends[:, 1])].sum() for p in truths]
    assert 0.945 < np.mean(covered) < 0.96
    assert min(covered) > 0.85


@pytest.mark.parametrize(("value", "n"), [(-0.1, 5), (1.1, 5), (0.5, 0), (math.nan, 5)])
def test_wilson_refuses_what_is_no_proportion(value: float, n: float) -> None:
    with pytest.raises(ValueError, match="Wilson"):
        wilson(value, n)


@any_speed
@given(st.lists(PROPORTIONS, min_size=2, max_size=50))
def test_mean_se_agrees_with_scipy(values: list[float]) -> None:
    value, se = mean_se(values)
    assert value == pytest.approx(np.mean(values))
    assert se == pytest.approx(reference.sem(values), abs=1e-12)


@any_speed
@given(GROUPS)
def test_cluster_se_agrees_with_a_sandwich_variance_over_rows(groups: list[tuple[int, int]]) -> None:
    rows = [(g, float(i < right)) for g, (right, m) in enumerate(groups) for i in range(m)]
    mean = sum(y for _, y in rows) / len(rows)
    meat = 0.0
    for g in range(len(groups)):
        meat += sum(y - mean for group, y in rows if group == g) ** 2
    expected = math.sqrt(meat * len(groups) / (len(groups) - 1)) / len(rows)
    value, se = cluster_mean_se(*zip(*groups, strict=True))
    assert value == pytest.approx(mean)
    assert se == pytest.approx(expected, abs=1e-12)


@any_speed
@given(GROUPS)
def test_cluster_se_knows_copies_of_rows_from_new_groups(groups: list[tuple[int, int]]) -> None:
    sums, sizes = (np.array(column) for column in zip(*groups, strict=True))
    value, se = cluster_mean_se(sums, sizes)
    # Asking every row twice tells nothing new.
    assert cluster_mean_se(2 * sums, 2 * sizes) == pytest.approx((value, se))
    # Twice the groups halve the variance, up to the degrees of freedom.
    twice = cluster_mean_se(np.tile(sums, 2), np.tile(sizes, 2))
    n = len(groups)
    assert twice == pytest.approx((value, se * math.sqrt((n - 1) / (2 * n - 1))))


def _clusters(rng: np.random.Generator, shape: tuple[int, ...], p: float, icc: float) -> np.ndarray:
    """Each group's own chance of a right row: mean p, correlation `icc` of two rows of a group."""
    return rng.beta(p * (1 - icc) / icc, (1 - p) * (1 - icc) / icc, shape)


def test_cluster_se_agrees_with_the_cluster_bootstrap() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(2, 5, 400)
    sums = rng.binomial(sizes, _clusters(rng, (400,), 0.7, 0.6))
    drawn = rng.integers(0, 400, (4000, 400))
    bootstrap = (sums[drawn].sum(1) / sizes[drawn].sum(1)).std()
    _, se = cluster_mean_se(sums, sizes)
    assert se == pytest.approx(bootstrap, rel=0.05)
    naive = math.sqrt(0.7 * 0.3 / sizes.sum())
    assert se > 1.4 * naive


def interval(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    return accuracy_interval(accuracy(np.full(len(sizes), 1.0 / sizes.sum()), sums, sizes))


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [12, 40, 300])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("icc", [0.1, 0.8])
def test_clustered_intervals_cover_where_the_normal_one_does_not(n_groups: int, p: float, icc: float) -> None:
    rng = np.random.default_rng(2)
    sizes = rng.integers(2, 5, n_groups)
    n, covered, normal = 1000, 0, 0
    for chances in _clusters(rng, (n, n_groups), p, icc):
        sums = rng.binomial(sizes, chances)
        value, se = cluster_mean_se(sums, sizes)
        low, high = interval(sums, sizes)
        covered += low <= p <= high
        low, high = max(0.0, value - Z95 * se), min(1.0, value + Z95 * se)
        normal += low <= p <= high
    assert 0.93 <= covered / n <= 0.995
    assert covered >= normal - 10
    if n_groups == 12 and p == 0.95:
        assert normal / n < 0.9


@any_speed
@given(GROUPS)
def test_clustered_intervals_hold_the_value(groups: list[tuple[int, int]]) -> None:
    sums, sizes = (np.array(column) for column in zip(*groups, strict=True))
    value, _ = cluster_mean_se(sums, sizes)
    low, high = interval(sums, sizes)
    assert 0.0 <= low <= value + 1e-12 and value - 1e-12 <= high <= 1.0 and high - low > 0.0


@any_speed
@given(
    st.lists(st.booleans(), min_size=60, max_size=200).filter(lambda right: 10 < sum(right) < len(right) - 10)
)
def test_clustered_intervals_are_near_wilsons_for_one_reply_per_group(right: list[bool]) -> None:
    value, _ = mean_se(right)
    assert interval(np.array(right, float), np.ones(len(right))) == pytest.approx(
        wilson(value, len(right)), abs=0.01
    )


@any_speed
@given(st.lists(st.lists(PROPORTIONS, min_size=1, max_size=4), min_size=2, max_size=12))
def test_variance_components_agree_with_sums_of_squares(table: list[list[float]]) -> None:
    values = [x for row in table for x in row]
    groups = [g for g, row in enumerate(table) for _ in row]
    got = variance_components(values, groups)
    n, n_groups = len(values), len(table)
    assert got.repeats == max(map(len, table))
    if n == n_groups:
        assert got == VarianceComponents(None, None, 1)
        return
    within = sum((x - np.mean(row)) ** 2 for row in table for x in row) / (n - n_groups)
    between_ms = sum(len(row) * (np.mean(row) - np.mean(values)) ** 2 for row in table) / (n_groups - 1)
    k0 = (n - sum(len(row) ** 2 for row in table) / n) / (n_groups - 1)
    assert got.within == pytest.approx(within, abs=1e-12)
    assert got.between == pytest.approx((between_ms - within) / k0, abs=1e-12)


def test_variance_components_give_the_f_test_of_scipy() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(rng.normal(0, 2, (8, 1)), 1, (8, 5))
    got = variance_components(table.ravel(), np.repeat(np.arange(8), 5))
    assert got.between is not None
    assert got.within is not None
    assert (5 * got.between + got.within) / got.within == pytest.approx(reference.f_oneway(*table).statistic)


def test_variance_components_are_unbiased_for_unequal_repeats() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), rng.integers(1, 5, 20))
    got = [
        variance_components(rng.normal(0, 1.5, 20)[groups] + rng.normal(0, 0.5, groups.size), groups)
        for _ in range(2000)
    ]
    assert np.mean([part.between for part in got]) == pytest.approx(1.5**2, rel=0.05)
    assert np.mean([part.within for part in got]) == pytest.approx(0.5**2, rel=0.05)


def test_variance_components_at_the_edges() -> None:
    assert variance_components([], []) == VarianceComponents(None, None, 0)
    assert variance_components([0.0, 1.0], [0, 0]) == VarianceComponents(None, 0.5, 2)
    # Two questions, greedy: all variance is between them.
    assert variance_components([0, 0, 1, 1], [0, 0, 1, 1]) == VarianceComponents(0.5, 0.0, 2)
    # Two coins that fell the same way: the estimate is below 0, and stays so.
    assert variance_components([0, 1, 0, 1], [0, 0, 1, 1]).between == pytest.approx(-0.25)
    # Group numbers need not be contiguous.
    assert variance_components([0, 0, 1, 1], [2, 2, 7, 7]) == VarianceComponents(0.5, 0.0, 2)
