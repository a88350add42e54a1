from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar

from ssl4rl_bench.stats.paired import mcnemar, t_interval, tango

any_speed = settings(deadline=None)
COUNTS = st.tuples(st.integers(0, 400), st.integers(0, 400))


@any_speed
@given(COUNTS)
def test_mcnemar_agrees_with_statsmodels_and_scipy(counts: tuple[int, int]) -> None:
    gained, lost = counts
    theirs = reference_mcnemar([[10, gained], [lost, 10]], exact=True).pvalue
    assert float(mcnemar(gained, lost, mid=False)) == pytest.approx(theirs, abs=1e-9)
    if gained + lost:
        binomial = reference.binomtest(gained, gained + lost).pvalue
        assert float(mcnemar(gained, lost, mid=False)) == pytest.approx(binomial, abs=1e-9)


@any_speed
@given(COUNTS)
def test_the_mid_p_takes_off_the_chance_of_what_was_seen(counts: tuple[int, int]) -> None:
    gained, lost = counts
    exact, mid = float(mcnemar(gained, lost, mid=False)), float(mcnemar(gained, lost))
    assert 0.0 < mid <= exact <= 1.0
    assert mid == float(mcnemar(lost, gained))
    if gained != lost:
        seen = reference.binom.pmf(min(counts), gained + lost, 0.5)
        assert mid == pytest.approx(exact - seen, abs=1e-9)


def test_without_a_change_nothing_is_shown() -> None:
    assert mcnemar([0, 5], [0, 5]).tolist() == [1.0, 1.0]


@pytest.mark.slow
@any_speed
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), st.data())
def test_tango_s_ends_solve_its_equation(sizes: tuple[int, int], data: st.DataObject) -> None:
    n, gained = sizes
    lost = data.draw(st.integers(0, n - gained))
    low, high = map(float, tango(gained, lost, n))
    value = (gained - lost) / n
    assert -1.0 <= low <= value <= high <= 1.0 and high > low
    assert tango(lost, gained, n) == pytest.approx((-high, -low), abs=1e-9)
    for end in (low, high):
        if abs(end) < 1.0 - 1e-6:
            # The constrained estimate maximises the likelihood of the table; found here by search.
            qs = np.linspace(max(0.0, -end) + 1e-9, (1.0 - abs(end)) / 2.0 + max(0.0, -end) - 1e-9, 200_001)
            likelihood = (
                np.where(gained > 0, gained * np.log(np.maximum(qs + end, 1e-300)), 0.0)
                + np.where(lost > 0, lost * np.log(np.maximum(qs, 1e-300)), 0.0)
                + (n - gained - lost) * np.log(np.maximum(1.0 - 2.0 * qs - end, 1e-300))
            )
            q = qs[likelihood.argmax()]
            spread = math.sqrt(n * max(2.0 * q + end * (1.0 - end), 1e-12))
            assert abs(gained - lost - n * end) / spread == pytest.approx(1.959964, rel=2e-2)


@pytest.mark.slow
def test_tango_covers_95_percent_where_the_normal_interval_does_not() -> None:
    rng = np.random.default_rng(0)
    n, p_gain, p_loss = 115, 0.035, 0.005
    gained, lost, _ = rng.multinomial(n, [p_gain, p_loss, 1.0 - p_gain - p_loss], 20_000).T
    truth = p_gain - p_loss
    low, high = tango(gained, lost, n)
    covered = ((low <= truth) & (truth <= high)).mean()
    d = (gained - lost) / n
    se = np.sqrt(((gained + lost) / n - d * d) / (n - 1))
    naive = (np.abs(d - truth) <= 1.96 * se).mean()
    assert 0.94 < covered < 0.97
    assert naive < 0.92


@any_speed
@given(st.floats(-1.0, 1.0), st.floats(0.001, 1.0), st.integers(1, 500))
def test_the_t_interval_is_scipy_s(value: float, se: float, df: int) -> None:
    assert t_interval(value, se, df) == pytest.approx(reference.t.interval(0.95, df, value, se), abs=1e-9)


def test_there_is_no_t_interval_without_a_standard_error() -> None:
    assert t_interval(0.5, None, 3) is None and t_interval(0.5, 0.1, 0) is None
