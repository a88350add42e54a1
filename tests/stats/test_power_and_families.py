from __future__ import annotations

import gc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests

from ssl4rl_bench.stats.multiple import benjamini_hochberg, holm
from ssl4rl_bench.stats.paired import mcnemar
from ssl4rl_bench.stats.power import detectable_change, groups_needed, mcnemar_power
from ssl4rl_bench.stats.seeds import crossed

any_speed = settings(deadline=None)
PS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40)


@any_speed
@given(PS)
def test_holm_and_benjamini_hochberg_are_statsmodels_s(p: list[float]) -> None:
    with mock.patch.object(
        gc, "collect"
    ):  # statsmodels collects garbage in each call for Holm, 30 ms and more
        theirs = multipletests(p, method="holm")[1]
    assert holm(p) == pytest.approx(theirs, abs=1e-9)
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-9)


@any_speed
@given(PS | st.lists(st.sampled_from([0.0, 1e-300, 0.01, 0.5, 1.0]), min_size=2, max_size=40))
def test_benjamini_hochberg_is_scipy_s_to_the_last_bit(p: list[float]) -> None:
    before = np.array(p)
    assert benjamini_hochberg(p).tolist() == np.atleast_1d(reference.false_discovery_control(p)).tolist()
    assert benjamini_hochberg(before) is not before or len(p) == 1
    assert before.tolist() == p


@pytest.mark.parametrize("p", [[0.1, float("nan")], [1.5], [-0.1, 0.2]])
def test_what_is_no_p_value_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        benjamini_hochberg(p)


def test_no_tests_need_no_correction() -> None:
    assert holm([]).size == 0 and benjamini_hochberg([]).size == 0


@pytest.mark.parametrize(
    ("n", "share", "difference", "alpha"), [(115, 0.2, 0.1, 0.05), (296, 0.1, 0.05, 0.01)]
)
def test_the_power_of_mcnemar_is_what_simulation_finds(
    n: int, share: float, difference: float, alpha: float
) -> None:
    rng = np.random.default_rng(5)
    chances = [(share + difference) / 2, (share - difference) / 2, 1 - share]
    gained, lost, _ = rng.multinomial(n, chances, 40_000).T
    found = (mcnemar(gained, lost) <= alpha).mean()
    assert mcnemar_power(n, share, difference, alpha) == pytest.approx(found, abs=0.01)


@any_speed
@given(st.integers(20, 1200), st.floats(0.0, 0.6), st.sampled_from([0.05, 0.05 / 6]))
def test_the_detectable_change_has_the_power_that_it_claims(n: int, share: float, alpha: float) -> None:
    d = detectable_change(n, share, alpha)
    assert 0.0 < d <= 1.0
    assert mcnemar_power(n, max(share, d), d, alpha) >= 0.8 - 1e-6
    less = d - 1e-3
    if less > 0.0:
        assert mcnemar_power(n, max(share, less), less, alpha) < 0.8


@pytest.mark.slow
def test_exact_and_approximate_power_meet_in_the_large() -> None:
    approximate = (reference.norm.ppf(0.975) + reference.norm.ppf(0.8)) * (0.3 / 20_000) ** 0.5
    assert detectable_change(20_000, 0.3) == pytest.approx(approximate, rel=0.02)


@any_speed
@given(st.floats(0.02, 0.3), st.floats(0.0, 0.5))
def test_the_groups_needed_detect_the_difference(difference: float, more: float) -> None:
    v = min(1.0, difference + more)
    n = groups_needed(difference, v)
    normal = reference.norm
    for size, enough in ((n, True), (n - 1, False)):
        shift = difference * np.sqrt(size) - normal.ppf(0.975) * np.sqrt(v)
        power = normal.cdf(shift / np.sqrt(v - difference**2))
        assert (power >= 0.8 - 1e-9) == enough


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="0 groups"):
        detectable_change(0, 0.1)
    with pytest.raises(ValueError, match="difference of 0"):
        groups_needed(0.0, 0.1)


@pytest.mark.slow
def test_several_seeds_make_the_interval_hold_for_another_one() -> None:
    rng = np.random.default_rng(6)
    covered = {"crossed": 0, "questions alone": 0}
    for _ in range(1500):
        questions, seeds = rng.normal(0.0, 0.4, (200, 1)), rng.normal(0.0, 0.05, (1, 3))
        table = questions + seeds + rng.normal(0.0, 0.3, (200, 3))
        found = crossed(table)
        assert found.ci95 is not None
        covered["crossed"] += found.ci95[0] <= 0.0 <= found.ci95[1]
        means = table.mean(axis=1)
        half = 1.96 * means.std(ddof=1) / np.sqrt(200)
        covered["questions alone"] += abs(means.mean()) <= half
    assert 0.93 < covered["crossed"] / 1500 < 0.985
    assert covered["questions alone"] / 1500 < 0.88


def test_one_seed_has_no_such_interval() -> None:
    found = crossed(np.ones((10, 1)))
    assert (found.value, found.se, found.ci95, found.between_seeds) == (1.0, None, None, None)
    with pytest.raises(ValueError, match="no scores"):
        crossed(np.ones((0, 2)))
