"""Finds out how lmms-eval averages a task's scores: over documents, over groups of them, or over categories.

`process_results` gives a number or a record per metric and document, and only the code of an aggregation knows
what it does with them. `layout_of` therefore aggregates made-up scores, and compares the value with those of
the means that this project computes with intervals. A metric for which none is equal keeps lmms-eval's value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import seed_of

_KEYS = ("score", "is_correct", "correct", "exact_match")
"""Keys of a record under which tasks store its score; the first is lmms-eval's default `score_key`."""
_NEAR = 1e-9
_TRIALS = 3
Items = Sequence[Mapping[str, Any]]
"""The result of `process_results` of each document, by metric."""
Aggregate = Callable[[str, Sequence[Any]], Any]
"""Aggregates the items of a metric."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the scores of a task are averaged."""

    metric: str | None = None
    """The metric that scores each document; None if there is none."""
    group: str | None = None
    """The key of its records whose value documents of one group share, such as the pair of two pictures."""
    group_metric: str | None = None
    """The metric that counts the groups in which every document is right."""
    leaf: str | None = None
    """The key of its records whose value is the category that is averaged first."""
    parts: tuple[str, ...] = ()
    """Metrics that only some of the documents have: categories above the leaves."""

    def score(self, result: Mapping[str, Any]) -> float | None:
        """Returns the score of a document; None if it has none, or if it is not in [0, 1]."""
        return None if self.metric is None else score_of(result.get(self.metric))


def score_of(item: Any) -> float | None:
    """Returns the number of an item, or the score in its record; None if that is no number in [0, 1]."""
    if isinstance(item, Mapping):
        key = score_key(item)
        item = None if key is None else item[key]
    if isinstance(item, bool | int | float | np.number) and 0.0 <= float(item) <= 1.0:
        return float(item)
    return None


def score_key(item: Mapping[str, Any]) -> str | None:
    """Returns the key of a record's score; None if it has none."""
    return next((key for key in _KEYS if isinstance(item.get(key), bool | int | float | np.number)), None)


def layout_of(items: Items, metrics: Sequence[str], aggregate: Aggregate) -> Layout:
    """Finds the layout of a task.

    Args:
        items: the results of all documents for some replies.
        metrics: the names of the metrics, in order.
    """
    everywhere = [name for name in metrics if all(name in item for item in items)]
    metric = next(
        (name for name in everywhere if all(score_of(item[name]) is not None for item in items)), None
    )
    if metric is None:
        return Layout()
    records = [item[metric] for item in items]
    parts = tuple(name for name in metrics if name not in everywhere and any(name in item for item in items))
    if not all(isinstance(record, Mapping) for record in records):
        return Layout(metric, parts=parts)
    keys = [key for key in records[0] if _divides(records, key)]
    leaf = None
    if not _equals(records, metric, aggregate, None, _mean_of_means, share=0.7):
        leaf = next(
            (key for key in keys if _equals(records, metric, aggregate, key, _mean_of_means, share=0.7)), None
        )
    others = [
        name for name in everywhere if name != metric and all(item[name] == item[metric] for item in items)
    ]
    group, counted = next(
        (
            (key, name)
            for key in keys
            for name in others
            if _equals(records, name, aggregate, key, _all_right)
        ),
        (None, None),
    )
    return Layout(metric, group, counted, leaf, parts)


def _divides(records: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Checks whether a key's values put documents together, without putting all together."""
    values = [record.get(key) for record in records]
    if key in _KEYS or not all(isinstance(value, str | int) for value in values):
        return False
    return 1 < len(set(values)) < len(values)


def _equals(
    records: Sequence[Mapping[str, Any]],
    metric: str,
    aggregate: Aggregate,
    key: str | None,
    mean: Callable[[Sequence[float], Sequence[Any]], float],
    *,
    share: float = 1.0,
) -> bool:
    """Checks whether a metric is a mean of made-up scores, in every trial.

    Args:
        key: the key of the records that puts documents together; None for each document by itself.
        share: the share of the documents in a trial, of which each further trial has one less. If categories
            have equal sizes, only such numbers tell the mean over categories from that over documents.
    """
    for trial in range(_TRIALS):
        draw = np.random.default_rng(seed_of("layout", trial))
        n_places = len(records) if share == 1.0 else max(1, round(share * len(records)) - trial)
        places = np.sort(draw.permutation(len(records))[:n_places]).tolist()
        scores = draw.integers(0, 2, len(places)).tolist()
        made_up = []
        for place, score in zip(places, scores, strict=True):
            name = score_key(records[place])
            made_up.append({**records[place], str(name): type(records[place][str(name)])(score)})
        values = [place if key is None else records[place][key] for place in places]
        try:
            got = aggregate(metric, made_up)
        except DataError:  # the task's code does not accept these records
            return False
        if not isinstance(got, int | float) or abs(got - mean([float(s) for s in scores], values)) > _NEAR:
            return False
    return True


def _by_value(scores: Sequence[float], values: Sequence[Any]) -> list[list[float]]:
    parts: dict[Any, list[float]] = {}
    for score, value in zip(scores, values, strict=True):
        parts.setdefault(value, []).append(score)
    return list(parts.values())


def _mean_of_means(scores: Sequence[float], values: Sequence[Any]) -> float:
    means = [sum(part) / len(part) for part in _by_value(scores, values)]
    return sum(means) / len(means)


def _all_right(scores: Sequence[float], values: Sequence[Any]) -> float:
    parts = _by_value(scores, values)
    return sum(min(part) for part in parts) / len(parts)
