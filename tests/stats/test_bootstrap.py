"""The bootstrap of documents: known intervals, and the same resamples for every run on the same documents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.stats.bootstrap import RESAMPLES, packed, percentiles, resampled, unpacked


def mean_of(scores: np.ndarray) -> np.ndarray:
    return resampled(lambda weights: weights @ scores / weights.sum(axis=1), len(scores))


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error() -> None:
    scores = np.arange(400.0) % 10
    low, high = percentiles(mean_of(scores))
    se = scores.std() / 20
    assert low < scores.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * se, rel=0.1)


def test_resamples_are_the_same_documents_in_every_run() -> None:
    scores = np.linspace(0, 1, 30)
    assert np.allclose(mean_of(scores + 0.25) - mean_of(scores), 0.25)
    assert mean_of(scores).shape == (RESAMPLES,)


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20))
def test_packing(values: list[float]) -> None:
    assert unpacked(packed(np.array(values, np.float64))).tolist() == values


def test_other_text_is_refused() -> None:
    with pytest.raises(ValueError):
        unpacked("not base64!")
