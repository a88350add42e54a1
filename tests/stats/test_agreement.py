from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.stats.agreement import Kappa, kappa

labels = st.sampled_from(["A", "B", "C", None])
pairs = st.lists(st.tuples(labels, labels), min_size=1, max_size=80)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(deadline=None)
@given(pairs)
def test_it_is_scikit_learn_s_and_its_error_statsmodels_(found: list[tuple[str | None, str | None]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    raters = pytest.importorskip("statsmodels.stats.inter_rater")
    first, second = ([str(pair[at]) for pair in found] for at in (0, 1))
    made = kappa(*zip(*found, strict=True))
    assert made.n == len(found)
    assert made.observed == pytest.approx(np.mean([a == b for a, b in found]))
    if made.value is None:
        assert len({*first, *second}) == 1
        return
    assert made.value == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-9)
    names = sorted({*first, *second})
    table = [[sum(pair == (a, b) for pair in zip(first, second, strict=True)) for b in names] for a in names]
    result = raters.cohens_kappa(np.array(table), return_results=True)
    # statsmodels gives nan where rounding takes a variance of 0 below it.
    expected = 0.0 if math.isnan(result.std_kappa) else result.std_kappa
    assert made.se == pytest.approx(expected, abs=1e-6)
    assert made.ci95 is not None and -1 <= made.ci95[0] <= made.value <= made.ci95[1] <= 1


def test_an_example_by_hand() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: p_o 0.7, p_e 0.5, kappa 0.4.
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    made = kappa(first, second)
    assert (made.observed, made.value) == (pytest.approx(0.7), pytest.approx(0.4))


def test_what_cannot_be_said_is_none() -> None:
    assert kappa([], []) == Kappa(0, None, None, None)
    assert kappa([None] * 3, [None] * 3) == Kappa(3, 1.0, None, None)
    assert kappa([None] * 3, [None] * 3).ci95 is None
    assert kappa("AAB", "AAB").value == 1.0
    with pytest.raises(ValueError):
        kappa("A", "AB")
