from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from many_tasks import many

from ssl4rl_bench.score.aggregate import AGGREGATIONS, group_sums, unit_counts
from ssl4rl_bench.score.headline import GroupKind, distinct_aggregations, group_kind, headline_of

VALUES = (np.random.default_rng(1).random(24) < 0.6).astype(float)
RUNS = {
    "single": many("a", {"x": VALUES}),
    "copies": many("a", {"x": VALUES}, copies={"x": 2}),
    "rows": many("a", {"x": VALUES}, copies={"x": 2}, rolls={"x": np.zeros(24)}),
}


@pytest.mark.parametrize("kind", RUNS)
def test_groups_are_named_and_equal_aggregations_are_left_out(kind: GroupKind) -> None:
    scores = RUNS[kind].outcomes["ssl4rl_x"]
    assert group_kind(scores) == kind
    means = {
        name: group_sums(scores, name).sum() / unit_counts(scores, name).sum() for name in AGGREGATIONS[:3]
    }
    for order in permutations(AGGREGATIONS):
        distinct = distinct_aggregations(order, kind)
        assert distinct == sorted(distinct, key=order.index) and distinct[0] == order[0]
        assert "row_l3_macro" in distinct
        micro = [name for name in distinct if name in means]
        assert len({means[name] for name in micro}) == len(micro) == len(set(means.values()))


def test_the_first_result_that_names_a_known_aggregation_decides() -> None:
    def result(headline: object) -> dict[str, object]:
        return {"tasks": {"x": {"headline": headline}}}

    assert headline_of([result("row_micro")], "x") == "row_micro"
    assert (
        headline_of([{}, {"tasks": 3}, result(None), result("micro"), result("row_micro")], "x")
        == "row_micro"
    )
    assert headline_of([result("row_micro")], "y") == headline_of([], "x") == "circular_micro"
