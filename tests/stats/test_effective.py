"""Means of rows, repeats, graded scores and leaves: their variance, and the counts that stand for them."""

from __future__ import annotations

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.stats.effective import SMALL, accuracy, counted, difference, mean_variance
from ssl4rl_bench.stats.estimates import exact_below, exact_lower, wilson
from ssl4rl_bench.stats.paired import lower_bound, tail, tango


def even(n: int) -> np.ndarray:
    return np.full(n, 1.0 / n)


def test_without_leaves_the_variance_is_the_cluster_robust_one() -> None:
    rng = np.random.default_rng(1)
    units = rng.integers(1, 7, 40).astype(float)
    sums = rng.binomial(units.astype(int), 0.7).astype(float)
    variance = mean_variance(np.full(40, 1 / units.sum()), sums, units)
    residual = sums - units * sums.sum() / units.sum()
    assert variance.value == pytest.approx(40 / 39 * (residual**2).sum() / units.sum() ** 2)
    assert (variance.df, variance.pooled) == (39.0, 0.0)


def test_leaves_with_enough_groups_have_variances_of_their_own() -> None:
    rng = np.random.default_rng(2)
    leaf = np.repeat([0, 1, 2], [SMALL, 20, 50])
    y = rng.normal(leaf, 1.0 + leaf)
    weights = 1.0 / (np.bincount(leaf)[leaf] * 3)
    parts = [y[leaf == at].std(ddof=1) / np.sqrt((leaf == at).sum()) for at in range(3)]
    variance = mean_variance(weights, y, np.ones(len(y)), leaf)
    assert variance.value == pytest.approx(sum(se**2 for se in parts) / 9) and variance.pooled == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[1] * 30, [2] * 20, [1, 2, 3, 5, 8, 13, 30], [40, 1, 1, 1], [3, 1]])
def test_the_variance_of_a_mean_over_leaves_of_any_size_is_right_on_average(sizes: list[int]) -> None:
    rng = np.random.default_rng(3)
    leaf = np.repeat(np.arange(len(sizes)), sizes)
    weights = 1.0 / (np.bincount(leaf)[leaf] * len(sizes))
    draws = rng.choice([-1.0, 0.0, 1.0], (4000, len(leaf)), p=[0.2, 0.6, 0.2])
    claimed = np.mean([mean_variance(weights, d, np.ones(len(d)), leaf).value for d in draws])
    assert claimed == pytest.approx((draws @ weights).var(), rel=0.08)


def test_a_single_group_has_no_variance() -> None:
    with pytest.raises(ValueError, match="two groups"):
        mean_variance([1.0], [1.0], [1.0])


def test_differences_of_0_and_1_count_about_as_many_as_they_are() -> None:
    d = np.array([1.0] * 30 + [-1.0] * 20 + [0.0] * 150)
    counts = difference(even(200), d, np.ones(200))
    assert (counts.up, counts.down) == pytest.approx((0.15, 0.1))
    assert counts.n == pytest.approx(200, rel=0.03)
    assert counted(30, 20, 200).counts(0.975) == (30.0, 20.0, 200.0)


def test_equal_copies_add_nothing_and_independent_rows_do() -> None:
    rng = np.random.default_rng(4)
    whole = rng.choice([-1.0, 0.0, 1.0], 300, p=[0.1, 0.8, 0.1])
    one = difference(even(300), whole, np.ones(300))
    copies = difference(even(300) / 4, 4 * whole, np.full(300, 4.0))
    assert copies.n == pytest.approx(one.n)
    rows = rng.choice([-1.0, 0.0, 1.0], (300, 4), p=[0.1, 0.8, 0.1]).sum(axis=1)
    assert difference(even(300) / 4, rows, np.full(300, 4.0)).n > 3 * one.n


@settings(deadline=None, max_examples=examples(150))
@given(
    n=st.integers(2, 60),
    size=st.integers(1, 6),
    leaves=st.integers(1, 20),
    chance=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 999),
)
def test_no_interval_has_width_0(n: int, size: int, leaves: int, chance: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    leaf = rng.integers(0, leaves, n)
    _, leaf = np.unique(leaf, return_inverse=True)
    units = np.full(n, float(size))
    weights = 1.0 / (np.bincount(leaf, units)[leaf] * (leaf.max() + 1))
    d = rng.integers(-size, size + 1, n) * (rng.random(n) < chance)
    counts = difference(weights, d, units, leaf)
    low, high = tango(*counts.counts(0.975))
    assert low < weights @ d < high or abs(weights @ d) == pytest.approx(1.0)
    assert high - low > 0.5 / (n * size)
    right = accuracy(weights, np.abs(d), units, leaf)
    ends = wilson(min(1.0, right.up), right.counts(0.975)[2])
    assert ends[1] - ends[0] > 0.2 / (n * size)


def test_one_row_gained_of_sixty_questions_does_not_exclude_0() -> None:
    # 24 leaves; a bootstrap inside leaves gave +0.54 [+0.51, +0.58].
    leaf = np.arange(60) % 24
    units = np.full(60, 4.0)
    weights = 1.0 / (np.bincount(leaf, units)[leaf] * 24)
    d = np.zeros(60)
    d[7] = 1.0
    low, high = tango(*difference(weights, d, units, leaf).counts(0.975))
    assert low < 0.0 and high > 0.02


def test_the_tail_is_exact_where_nothing_changed() -> None:
    for n, margin in ((20, 0.02), (60, 0.05), (300, 0.01)):
        for effective in (n - 0.4, n, n + 0.4):
            assert tail(0, 0, effective, -margin) == pytest.approx((1.0 - margin) ** n)
        assert lower_bound(0, 0, n, 0.95) == pytest.approx(-(1.0 - 0.05 ** (1.0 / n)), abs=1e-6)


def test_the_tail_is_the_normal_one_where_much_changes() -> None:
    for gained, lost, n in ((300, 260, 2000), (900, 800, 5000)):
        bound = lower_bound(gained, lost, n, 0.95)
        assert bound == pytest.approx(float(tango(gained, lost, n, 1.6449)[0]), abs=2e-4)


@pytest.mark.parametrize(
    ("n", "changed"),
    [
        (20, 0.05),
        (20, 0.3),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((60, 0.1), (200, 0.02), (200, 0.3))),
    ],
)
@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_bounds_of_the_difference_keep_their_level(n: int, changed: float, margin: float) -> None:
    rng = np.random.default_rng(5)
    share = max(changed, margin)
    draws = rng.multinomial(n, [(share - margin) / 2, (share + margin) / 2, 1 - share], 800)
    distinct, times = np.unique(draws, axis=0, return_counts=True)
    wrong = sum(
        count * (lower_bound(int(b), int(c), n, 0.95) > -margin)
        for (b, c, _), count in zip(distinct, times, strict=True)
    )
    assert wrong / 800 < 0.076  # 5%, and 3.3 standard errors


@pytest.mark.parametrize("p", [0.01, 0.05, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [20, 100, 1000])
def test_bounds_of_an_accuracy_keep_their_level(n: int, p: float) -> None:
    rng = np.random.default_rng(6)
    distinct, times = np.unique(rng.binomial(n, p, 2000), return_counts=True)
    assert times @ [exact_lower(int(x), n, 0.95) > p for x in distinct] / 2000 < 0.066
    assert times @ [exact_below(int(x), n, p) < 0.05 for x in distinct] / 2000 < 0.066


@settings(deadline=None, max_examples=examples(60))
@given(
    n=st.integers(5, 400),
    gained=st.floats(0, 1),
    lost=st.floats(0, 1),
    level=st.sampled_from([0.9, 0.95, 0.999]),
)
def test_bounds_lie_below_the_estimate_and_fall_with_the_level(
    n: int, gained: float, lost: float, level: float
) -> None:
    b, c = gained * n / 2, lost * n / 2
    bound = lower_bound(b, c, n, level)
    assert -1.0 <= bound <= (b - c) / n + 1e-9
    assert bound <= lower_bound(b, c, n, 0.8) + 1e-9
