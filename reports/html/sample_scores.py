"""How the sample browser counts: the score of each question in each run, and the words for what is counted.

The scores are those of the leaderboard (`score.aggregate.group_sums`), so that the number of questions that a run
lost is the number in the leaderboard's "down" column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.pairing import Evaluated, shared_groups
from ssl4rl_bench.reports.text.naming import aggregation_name
from ssl4rl_bench.score.aggregate import AGGREGATIONS, group_sums, unit_counts
from ssl4rl_bench.score.headline import GroupKind, distinct_aggregations, group_kind, headline_of
from ssl4rl_bench.score.outcomes import Outcomes

_Floats = NDArray[np.float64]
UNITS: Mapping[GroupKind, tuple[str, str]] = {
    "copies": ("questions", "copies"),
    "rows": ("groups", "rows"),
    "single": ("questions", ""),
}
"""The plurals for groups and for their rows, by what the groups of a benchmark are."""
_RULES: Mapping[GroupKind, Mapping[str, str]] = {
    "copies": {
        "circular_micro": "A question is right if every copy of it is answered right.",
        "row_micro": "The score of a question is the share of its copies that are answered right.",
        "vanilla0_micro": "A question is right if its first copy is answered right.",
    },
    "rows": {
        "circular_micro": "A group is right if every row of it is answered right.",
        "row_micro": "The score of a group is the share of its rows that are answered right.",
    },
    "single": {},
}
"""What makes a group right, by aggregation, for the kinds of groups with several rows."""


def units(outcomes: Outcomes) -> tuple[str, str]:
    """Returns the plurals for the groups of a task and for their rows; the latter is empty if they are the same."""
    if outcomes.probe is None:
        return UNITS[group_kind(outcomes)]
    return ("samples", "") if group_kind(outcomes) == "single" else ("images", "samples")


def counted_by(runs: Sequence[Evaluated], task: str) -> list[tuple[str, str, str]]:
    """Returns the aggregations by which questions of a task can be counted, the published one first.

    Each has its name, its short name for a menu, and the sentence that says when a question is right.
    `row_l3_macro` is left out: it weights the same scores as `row_micro` differently.
    """
    outcomes = runs[0].outcomes[task]
    kind = group_kind(outcomes)
    if outcomes.probe is not None:
        words = (
            "" if kind == "single" else "The score of an image is the share of its samples that are right."
        )
        return [("row_micro", "Samples alike", words)]
    published = headline_of((run.result for run in runs), task)
    names = ["row_micro" if name == "row_l3_macro" else name for name in (published, *AGGREGATIONS)]
    return [
        (name, aggregation_name(name, kind), _RULES[kind].get(name, ""))
        for name in distinct_aggregations(names, kind)
    ]


def question_scores(outcomes: Outcomes, asked: Outcomes, aggregation: str) -> _Floats:
    """Computes the score of each question of `asked` in a run, shape (groups,).

    Returns:
        The mean over the question's units and all repeats, in [0, 1]; NaN if the run was not asked the question,
        or has no value for it.
    """
    counts = unit_counts(outcomes, aggregation)
    sums = group_sums(outcomes, aggregation)
    means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    out = np.full(len(asked.groups), np.nan)
    shared = shared_groups(asked, outcomes)
    out[shared[:, 0]] = means[shared[:, 1]]
    return out


def best_candidate(scores: Sequence[_Floats | None]) -> int:
    """Returns the index of the run with the highest mean among those after the first; 0 if there is none.

    Args:
        scores: the scores of each run, the baseline's first; None for a run that cannot be shown.
    """
    means = {
        index: float(np.nanmean(values))
        for index, values in enumerate(scores)
        if index and values is not None and not np.isnan(values).all()
    }
    return max(means, key=lambda index: means[index], default=0)
