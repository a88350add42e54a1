"""How lmms-eval averages is found from its aggregations, for any scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.task.lmms.layout import Layout, layout_of, score_of

Records = Sequence[Any]


def mean(items: Records) -> float:
    scores = [float(score_of(item) or 0.0) for item in items]
    return sum(scores) / len(scores)


def by_leaf(items: Records) -> float:
    parts = defaultdict(list)
    for item in items:
        parts[item["leaf"]].append(item["score"])
    return sum(sum(part) / len(part) for part in parts.values()) / len(parts)


def pairs(items: Records) -> float:
    parts = defaultdict(list)
    for item in items:
        parts[item["pair"]].append(item)
    complete = [part for part in parts.values() if len(part) == 2]
    return sum(all(item["score"] for item in part) for part in complete) / max(1, len(complete))


FUNCTIONS = {
    "mean": mean,
    "by_leaf": by_leaf,
    "pairs": pairs,
    "largest": lambda items: max(map(mean, [items])) + 1,
}


def aggregate(metric: str, items: Records) -> Any:
    return FUNCTIONS[metric](items)


def records(n: int) -> list[dict[str, Any]]:
    return [{"id": k, "leaf": "xyz"[k % 3], "pair": k // 2, "score": float(k % 5 == 0)} for k in range(n)]


def test_numbers() -> None:
    items = [{"mean": 1.0, "part": 1.0}, {"mean": 0.0}]
    assert layout_of(items, ["mean", "part"], aggregate) == Layout("mean", parts=("part",))


@pytest.mark.parametrize("n", range(8, 15))
def test_means_over_categories_of_equal_sizes_are_told_from_plain_means(n: int) -> None:
    """Leaves of one size have the same mean of means, so that only other scores tell which is meant."""
    items = records(3 * n)
    assert layout_of([{"by_leaf": item} for item in items], ["by_leaf"], aggregate).leaf == "leaf"
    assert layout_of([{"mean": item} for item in items], ["mean"], aggregate).leaf is None


@pytest.mark.parametrize("n", [4, 5, 17])
def test_pairs(n: int) -> None:
    items = [{"mean": item, "pairs": item} for item in records(2 * n)]
    assert layout_of(items, ["mean", "pairs"], aggregate) == Layout("mean", "pair", "pairs")


def test_an_aggregation_that_is_no_mean_has_no_group() -> None:
    items = [{"mean": item, "largest": item} for item in records(12)]
    assert layout_of(items, ["mean", "largest"], aggregate) == Layout("mean")


def test_texts_have_no_scores() -> None:
    items = [{"cider": {"pred": "a cat", "answer": ["a dog"]}} for _ in range(4)]
    assert layout_of(items, ["cider"], aggregate) == Layout()


SCORES = st.one_of(st.none(), st.sampled_from(["1", "A"]), st.floats(), st.booleans(), st.integers())


@given(SCORES | st.dictionaries(st.sampled_from(["score", "is_correct", "pred"]), SCORES))
def test_a_score_is_a_number_from_0_to_1_or_none(item: Any) -> None:
    score = score_of(item)
    assert score is None or (isinstance(score, float) and 0.0 <= score <= 1.0)
