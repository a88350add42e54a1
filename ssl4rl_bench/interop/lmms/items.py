"""The JSON values that lmms-eval stores for each scored reply, from scoring to aggregation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ssl4rl_bench.core.types import Categories, Score, ScoredSample, Status
from ssl4rl_bench.score.aggregate import overall
from ssl4rl_bench.score.scores import arrange

PLACE = ("id", "group", "roll", "copies", "l1", "l2", "l3")
"""The keys that an item copies from its document."""


def score_item(doc: Mapping[str, Any], score: Score) -> dict[str, Any]:
    """Returns everything that aggregation needs about a reply to a document."""
    return {key: doc[key] for key in PLACE} | {
        "value": score.value,
        "answer": score.answer,
        "status": str(score.status),
    }


def value(aggregation: str, items: Iterable[Mapping[str, Any]]) -> float:
    """Computes the overall value of an aggregation (`score.aggregate`). NaN without a complete group."""
    items = list(items)
    scored = [
        ScoredSample(
            id=one["id"],
            group=one["group"],
            roll=one["roll"],
            repeat=0,
            categories=Categories(one["l1"], one["l2"], one["l3"]),
            score=Score(one["value"], one["answer"], Status(one["status"])),
        )
        for one in items
    ]
    result = overall(arrange(scored, {one["group"]: int(one["copies"]) for one in items}), aggregation)[
        "value"
    ]
    return float("nan") if result is None else float(result)
