"""MMBench's three levels of ability, and the numbers of questions in its known editions.

The counts are from the tables in the MMBench repository. The questions of an edition are its circular groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ssl4rl_bench.core.types import Categories

_SINGLE = "finegrained_perception (instance-level)"
_CROSS = "finegrained_perception (cross-instance)"

CARD_COLUMNS: tuple[tuple[str, str], ...] = (
    ("Logical", "logic_reasoning"),
    ("Relation", "relation_reasoning"),
    ("Attribute", "attribute_reasoning"),
    ("Coarse", "coarse_perception"),
    ("Cross-Inst.", _CROSS),
    ("Single-Inst.", _SINGLE),
)
"""The header and the L2 ability of each column of the table in SSL4RL's model card, in its order."""

L1_OF: Mapping[str, str] = {
    "logic_reasoning": "reasoning",
    "relation_reasoning": "reasoning",
    "attribute_reasoning": "reasoning",
    "coarse_perception": "perception",
    _CROSS: "perception",
    _SINGLE: "perception",
}
"""Ability (L2) to level (L1), in the order of `CARD_COLUMNS`."""

_LEAVES: Mapping[str, tuple[str, int, int]] = {
    "image_style": ("coarse_perception", 53, 62),
    "image_topic": ("coarse_perception", 36, 60),
    "image_scene": ("coarse_perception", 104, 96),
    "image_emotion": ("coarse_perception", 50, 60),
    "image_quality": ("coarse_perception", 53, 84),
    "attribute_recognition": (_SINGLE, 74, 60),
    "celebrity_recognition": (_SINGLE, 99, 99),
    "object_localization": (_SINGLE, 81, 70),
    "ocr": (_SINGLE, 39, 60),
    "spatial_relationship": (_CROSS, 45, 50),
    "attribute_comparison": (_CROSS, 44, 51),
    "action_recognition": (_CROSS, 54, 78),
    "physical_property_reasoning": ("attribute_reasoning", 75, 53),
    "function_reasoning": ("attribute_reasoning", 79, 60),
    "identity_reasoning": ("attribute_reasoning", 45, 51),
    "social_relation": ("relation_reasoning", 43, 62),
    "nature_relation": ("relation_reasoning", 48, 62),
    "physical_relation": ("relation_reasoning", 24, 50),
    "structuralized_imagetext_understanding": ("logic_reasoning", 78, 74),
    "future_prediction": ("logic_reasoning", 40, 50),
}
"""Leaf (L3) to ability, questions in dev v1.0, and questions in dev v1.1."""

L2_OF: Mapping[str, str] = {leaf: entry[0] for leaf, entry in _LEAVES.items()}
"""Leaf (L3) to ability (L2)."""

_SPELLINGS = {"logical_reasoning": "logic_reasoning"}
UNKNOWN = "other"


@dataclass(frozen=True, slots=True)
class Edition:
    """The known numbers of questions of one edition of MMBench."""

    title: str
    n_groups: int
    n_rows: int | None = None
    leaves: Mapping[str, int] | None = None
    """The number of questions per leaf."""


EDITIONS: Mapping[str, Edition] = {
    "dev_v1.0": Edition("MMBench dev v1.0", 1164, 4329, {leaf: entry[1] for leaf, entry in _LEAVES.items()}),
    "dev_v1.1": Edition("MMBench dev v1.1", 1292, None, {leaf: entry[2] for leaf, entry in _LEAVES.items()}),
    "test_v1.0": Edition("MMBench test v1.0", 1784, 6666),
}
"""The editions, keyed by the name that a task file gives as `metadata: edition`."""

LEGACY_DEV = Edition("the legacy MMBench dev of 2023-07-12", 1176, 4377)


@cache
def categories(category: str, l2: str) -> Categories:
    """Returns the categories of a question from their spellings in the data.

    If `l2` is empty, the ability is that of the leaf. Names that MMBench does not have are kept, under the
    level "other".
    """
    leaf = category.strip().lower() or UNKNOWN
    ability = l2.strip().lower()
    ability = _SPELLINGS.get(ability, ability) or L2_OF.get(leaf, UNKNOWN)
    return Categories(l1=L1_OF.get(ability, UNKNOWN), l2=ability, l3=leaf)


def edition_warning(name: str, leaves: Mapping[str, int], n_rows: int) -> str | None:
    """Returns a sentence if the data does not have the counts of its edition, or None if it does.

    Args:
        name: A key of `EDITIONS`.
        leaves: The number of questions per leaf in the data.
    """
    edition = EDITIONS[name]
    n_groups = sum(leaves.values())
    if (n_groups, n_rows) == (LEGACY_DEV.n_groups, LEGACY_DEV.n_rows):
        return f"This is {LEGACY_DEV.title} (1176 questions), not {edition.title} ({edition.n_groups})."
    differences = [
        f"{leaf} {leaves.get(leaf, 0)} instead of {(edition.leaves or {}).get(leaf, 0)}"
        for leaf in sorted({*leaves, *(edition.leaves or leaves)})
        if edition.leaves and leaves.get(leaf, 0) != edition.leaves.get(leaf, 0)
    ]
    if n_groups == edition.n_groups and n_rows == (edition.n_rows or n_rows) and not differences:
        return None
    more = f", and {len(differences) - 3} more leaves" if len(differences) > 3 else ""
    listed = f": {', '.join(differences[:3])}{more}" if differences else ""
    rows = f" and {edition.n_rows} rows" if edition.n_rows else ""
    return (
        f"These are not the questions of {edition.title}: {n_groups} questions and {n_rows} rows "
        f"instead of {edition.n_groups} questions{rows}{listed}."
    )
