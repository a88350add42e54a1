"""The names of aggregations and corrections in tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping

from ssl4rl_bench.score.aggregate import UNITS
from ssl4rl_bench.score.headline import GroupKind

CORRECTIONS = {
    "holm": "Holm's correction",
    "max-t": "max-T correction",
    "bh": "Benjamini and Hochberg's correction",
    "none": "no correction",
}
"""Names of corrections of p-values, for sentences."""
AGGREGATION_NAMES: Mapping[GroupKind, Mapping[str, str]] = {
    "copies": {
        "circular_micro": "Every copy right",
        "row_micro": "Copies alike",
        "vanilla0_micro": "First copy only",
        "row_l3_macro": "Mean of leaves",
    },
    "rows": {
        "circular_micro": "Whole groups right",
        "row_micro": "Rows alike",
        "vanilla0_micro": "Rows alike",
        "row_l3_macro": "Mean of leaves",
    },
    "single": {
        "circular_micro": "Accuracy",
        "row_micro": "Accuracy",
        "vanilla0_micro": "Accuracy",
        "row_l3_macro": "Mean of leaves",
    },
}
"""Short names of aggregations, by what the groups of a benchmark are."""


CARD_NAMES: Mapping[GroupKind, Mapping[str, tuple[str, str]]] = {
    "copies": {
        "circular_micro": ("CircularEval accuracy", "Questions right"),
        "row_micro": ("Accuracy over rows", "Rows right"),
        "vanilla0_micro": ("Accuracy over first copies", "First copies right"),
        "row_l3_macro": ("Accuracy, mean of leaves", "Mean of leaves"),
    },
    "rows": {
        "circular_micro": ("Accuracy over groups", "Groups right"),
        "row_micro": ("Accuracy over rows", "Rows right"),
        "vanilla0_micro": ("Accuracy over rows", "Rows right"),
        "row_l3_macro": ("Accuracy, mean of leaves", "Mean of leaves"),
    },
    "single": {
        "circular_micro": ("Accuracy", "Questions right"),
        "row_micro": ("Accuracy", "Questions right"),
        "vanilla0_micro": ("Accuracy", "Questions right"),
        "row_l3_macro": ("Accuracy, mean of leaves", "Mean of leaves"),
    },
}
"""Names of aggregations in a model card: in its metadata, and at the head of a column."""


def aggregation_name(aggregation: str, kind: GroupKind = "copies") -> str:
    """Returns the short name of an aggregation for groups of this kind."""
    return AGGREGATION_NAMES[kind].get(aggregation, aggregation)


def unit_name(aggregation: str, kind: GroupKind = "copies") -> str:
    """Returns what n counts in an aggregation: "questions", "groups" of rows that are no copies, or "rows"."""
    if UNITS[aggregation] == "rows" or (kind == "rows" and aggregation == "vanilla0_micro"):
        return "rows"
    return "groups" if kind == "rows" else "questions"
