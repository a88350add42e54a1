"""Which aggregations of a benchmark a model card shows, and their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl4rl_bench.reports.text.naming import CARD_NAMES
from ssl4rl_bench.score.headline import distinct_aggregations, group_kind_of, headline_of

FOOTNOTES = {
    "copies": "A question is right if all of its circular copies are; a row is one copy.",
    "rows": "A group is right if all of its rows are.",
    "single": "",
}
"""What is right, by what the groups of a benchmark are."""


def shown_aggregations(result: Mapping[str, Any], task: str) -> list[str]:
    """Returns the aggregations to show, without repetition: first the one that the benchmark publishes."""
    published = headline_of([result], task)
    names = (published, "circular_micro", "row_micro")
    return distinct_aggregations(names, group_kind_of(result["tasks"][task]))


def card_name(aggregation: str, task_result: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the name of an aggregation in the metadata, and at the head of a column."""
    return CARD_NAMES[group_kind_of(task_result)][aggregation]


def footnote(task_result: Mapping[str, Any]) -> str:
    """Returns what is right and what is unread, for below a table."""
    return f"{FOOTNOTES[group_kind_of(task_result)]} Unread: no answer was found.".strip()
