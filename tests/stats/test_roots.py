"""Roots: the same as scipy's to the last bit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from ssl4rl_bench.stats.roots import brentq


@given(st.floats(-0.99, 0.99), st.sampled_from([1e-4, 1e-8, 1e-12]), st.floats(0.1, 50.0))
def test_roots_are_those_of_scipy_to_the_last_bit(root: float, xtol: float, steep: float) -> None:
    def function(x: float) -> float:
        return math.exp(x) * math.atan(steep * (x - root))

    assert brentq(function, -1.0, 1.0, xtol=xtol) == optimize.brentq(function, -1.0, 1.0, xtol=xtol)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 0.0)])
def test_a_root_at_an_end_is_found(low: float, high: float) -> None:
    assert brentq(lambda x: x, low, high, xtol=1e-8) == 0.0


def test_steps_are_found_within_the_tolerance() -> None:
    assert brentq(lambda x: 1.0 if x > 1 / 3 else -1.0, 0.0, 1.0, xtol=1e-8) == pytest.approx(1 / 3, abs=1e-8)


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_the_signs_must_differ(value: float) -> None:
    with pytest.raises(ValueError, match="different signs"):
        brentq(lambda _: value, 0.0, 1.0, xtol=1e-8)
