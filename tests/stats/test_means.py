from __future__ import annotations

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.stats import wilson
from ssl4rl_bench.stats.means import detectable_mean, mean_interval, mean_se

any_speed = settings(deadline=None, max_examples=examples(60))
ESTIMATES = st.lists(
    st.tuples(st.floats(-1.0, 1.0), st.floats(0.0, 0.5), st.floats(0.0, 0.5)), min_size=1, max_size=6
)


def test_the_standard_error_is_the_root_of_the_sum_of_squares_over_k() -> None:
    assert mean_se([0.03, 0.04]) == pytest.approx(0.05 / 2)
    assert mean_se([0.02]) == 0.02
    assert mean_se([0.03, None]) is None
    assert mean_se([]) is None


@any_speed
@given(ESTIMATES)
def test_symmetric_intervals_give_the_interval_of_the_standard_error(
    estimates: list[tuple[float, float, float]],
) -> None:
    values, errors = [value for value, _, _ in estimates], [error for _, error, _ in estimates]
    interval = mean_interval(
        values, [(v - 1.96 * e, v + 1.96 * e) for v, e in zip(values, errors, strict=True)]
    )
    se = mean_se(errors)
    assert interval is not None and se is not None
    mean = sum(values) / len(values)
    assert interval == pytest.approx((mean - 1.96 * se, mean + 1.96 * se), abs=1e-9)


@any_speed
@given(ESTIMATES)
def test_an_interval_contains_its_mean_and_lies_between_the_mean_ends(
    estimates: list[tuple[float, float, float]],
) -> None:
    values = [value for value, _, _ in estimates]
    ends = [(value - below, value + above) for value, below, above in estimates]
    interval = mean_interval(values, ends)
    assert interval is not None
    k = len(values)
    assert sum(low for low, _ in ends) / k - 1e-9 <= interval[0] <= sum(values) / k + 1e-9
    assert sum(values) / k - 1e-9 <= interval[1] <= sum(high for _, high in ends) / k + 1e-9


def test_an_interval_has_a_width_where_the_standard_error_is_0() -> None:
    ends = [wilson(1.0, 20), wilson(1.0, 30)]
    interval = mean_interval([1.0, 1.0], ends)
    assert interval is not None and ends[0][0] < interval[0] < interval[1] == 1.0
    assert mean_interval([1.0, 1.0], [ends[0], None]) is None
    assert mean_interval([], []) is None


def test_the_detectable_mean_is_that_of_a_z_test() -> None:
    se = 0.02
    effect = detectable_mean((-1.959964 * se, 1.959964 * se), 0.05)
    assert effect == pytest.approx((1.959964 + 0.841621) * se, rel=1e-5)
    assert detectable_mean((-0.1, 0.1), 0.05 / 9) > detectable_mean((-0.1, 0.1), 0.05)
    assert detectable_mean(None, 0.05) == detectable_mean((-1.0, 1.0), 0.05) == 1.0


@pytest.mark.slow
def test_intervals_cover_the_mean_and_the_detectable_mean_has_80_percent_power() -> None:
    """Three benchmarks of 60 to 200 questions, of one of which nearly all are right."""
    rng = np.random.default_rng(0)
    sizes, truth = (60, 120, 200), (0.5, 0.98, 0.7)
    covered, n = 0, 4000
    for _ in range(n):
        values = [rng.binomial(size, p) / size for size, p in zip(sizes, truth, strict=True)]
        interval = mean_interval(values, [wilson(v, size) for v, size in zip(values, sizes, strict=True)])
        assert interval is not None
        covered += interval[0] <= sum(truth) / 3 <= interval[1]
    assert covered / n == pytest.approx(0.95, abs=0.012)
    se = math.hypot(*(math.sqrt(p * (1 - p) / size) for size, p in zip(sizes, truth, strict=True))) / 3
    mde = detectable_mean((-1.959964 * se, 1.959964 * se), 0.05)
    assert np.mean(np.abs(rng.normal(mde, se, 40_000)) > 1.959964 * se) == pytest.approx(0.8, abs=0.01)
