from __future__ import annotations

import itertools

import numpy as np
import pytest

from ssl4rl_bench.stats.paired import mcnemar
from ssl4rl_bench.stats.resampling import max_t, sign_flip


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
