from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as reference

from ssl4rl_bench.stats.estimates import cluster_mean_se
from ssl4rl_bench.stats.paired import mcnemar
from ssl4rl_bench.stats.resampling import cluster_bootstrap, max_t, percentiles, sign_flip


def test_the_bootstrap_agrees_with_scipy_s() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(0.3, 1.0, 300)
    ours = cluster_bootstrap(y, np.ones(300), np.zeros(300, int), np.ones((1, 1)), replicates=20_000)
    theirs = reference.bootstrap((y,), np.mean, n_resamples=20_000, method="percentile", rng=2)
    low, high = percentiles(ours)
    # Monte Carlo: the 2.5% quantile of 20,000 replicates has a standard error of some 0.02 standard deviations.
    tolerance = 4 * 0.025 * theirs.standard_error
    assert low[0] == pytest.approx(theirs.confidence_interval.low, abs=tolerance)
    assert high[0] == pytest.approx(theirs.confidence_interval.high, abs=tolerance)


def test_groups_are_drawn_whole_and_inside_their_strata() -> None:
    rng = np.random.default_rng(2)
    sizes = rng.integers(2, 5, 400)
    sums = rng.binomial(sizes, rng.beta(1.0, 1.0, 400)).astype(float)
    strata = np.repeat([0, 1], [100, 300])
    members = np.array([[1, 0, 1], [0, 1, 1]])
    drawn = cluster_bootstrap(sums, sizes, strata, members, replicates=8000)
    assert drawn.shape == (8000, 3)
    for cell, own in enumerate((strata == 0, strata == 1)):
        value, se = cluster_mean_se(sums[own], sizes[own])
        assert se is not None
        assert drawn[:, cell].mean() == pytest.approx(value, abs=4 * se / 80)
        assert drawn[:, cell].std() == pytest.approx(se, rel=0.04)
    # A stratum that does not vary adds nothing, though the strata differ.
    fixed = cluster_bootstrap(np.where(strata == 0, 0.0, sizes), sizes, strata, members, replicates=500)
    assert fixed[:, 0].std() == 0.0 and fixed[:, 1].std() == 0.0
    assert fixed[:, 2].std() < 0.02


def test_several_quantities_share_their_draws() -> None:
    y = np.arange(20.0)
    drawn = cluster_bootstrap(
        np.column_stack([y, 2 * y]), np.ones(20), np.zeros(20, int), np.ones((1, 1)), replicates=50
    )
    assert drawn.shape == (50, 1, 2)
    assert drawn[:, 0, 1] == pytest.approx(2 * drawn[:, 0, 0])


def test_sign_flips_agree_with_all_flips_enumerated() -> None:
    x = np.array([0.5, -0.25, 1.0, 0.75, 0.25, -0.5, 1.0, 0.5])
    sums = np.array([abs((x * signs).sum()) for signs in itertools.product((1, -1), repeat=len(x))])
    exact = (sums > x.sum() + 1e-9).mean() + 0.5 * (np.abs(sums - x.sum()) < 1e-9).mean()
    (p,) = sign_flip(x[:, None], replicates=60_000)
    assert p == pytest.approx(exact, abs=0.004)


def test_sign_flips_of_wins_and_losses_are_mcnemar_s_mid_p() -> None:
    x = np.array([1.0] * 14 + [-1.0] * 5 + [0.0] * 60)
    (p,) = sign_flip(x[:, None], replicates=60_000)
    assert p == pytest.approx(float(mcnemar(14, 5)), abs=0.004)


def test_max_t_of_independent_tests_is_sidak_s_and_of_equal_tests_no_correction() -> None:
    rng = np.random.default_rng(3)
    x = np.zeros((400, 4))
    for test in range(4):  # disjoint groups: independent
        x[100 * test : 100 * test + 100, test] = rng.choice([-1.0, 1.0], 100, p=[0.42, 0.58])
    single = sign_flip(x, replicates=40_000)
    together = max_t(x, replicates=40_000)
    first = int(single.argmin())
    assert together[first] == pytest.approx(1 - (1 - single[first]) ** 4, abs=0.02)
    assert (together >= single - 0.01).all()
    same = max_t(np.repeat(x[:, [0]], 4, axis=1), replicates=40_000)
    assert same == pytest.approx([single[0]] * 4, abs=0.01)


def test_one_sided_max_t_knows_that_the_best_was_taken() -> None:
    rng = np.random.default_rng(4)
    alarms = {"naive": 0, "max-T": 0}
    for seed in range(400):
        x = rng.choice([-1.0, 0.0, 1.0], (200, 5), p=[0.1, 0.8, 0.1])
        best = int(x.sum(axis=0).argmax())
        alarms["max-T"] += max_t(x, one_sided=True, replicates=400, seed=seed)[best] < 0.05
        alarms["naive"] += max_t(x[:, [best]], one_sided=True, replicates=400, seed=seed)[0] < 0.05
    assert 5 <= alarms["max-T"] <= 36  # 20 expected; 3.7 standard deviations
    assert alarms["naive"] > 60


def test_an_unchanged_test_has_p_1_and_hurts_nobody() -> None:
    x = np.zeros((50, 2))
    x[:20, 0] = 1.0
    p = max_t(x, replicates=1000)
    assert p[1] == 1.0 and p[0] < 0.01
