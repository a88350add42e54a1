"""Finds questions that changed from right to wrong or back, in order of decreasing change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssl4rl_bench.comparison.result import Comparison
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.score.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class Flip:
    """A question whose score changed. Answers are from its first copy that changed, in the first repeat."""

    group: str
    sample: str
    """The id of that copy."""
    leaf: str
    change: float
    """The change of the group's score, below 0 for a loss."""
    rows: float
    """The number of copies gained, below 0 if copies were lost."""
    before: str
    """The baseline's answer, or in brackets the status of a reply from which none was read."""
    after: str


def flips(
    comparison: Comparison, name: str | None = None, *, lost: bool = True, limit: int = 5
) -> list[Flip]:
    """Returns the losses (or gains), those with the greatest change of the group's score first.

    Args:
        name: a category of any level; None for all categories.
    """
    pairing = comparison.pairing
    one, two = pairing.baseline, pairing.candidate
    sign = -1.0 if lost else 1.0
    out = []
    for index in np.flatnonzero(sign * comparison.groups > 0.0):
        left, right = int(pairing.left[index]), int(pairing.right[index])
        place = one.places[left]
        if name not in (None, "overall", place.l1, place.l2, place.l3):
            continue
        size = int(one.sizes[left])
        rows, others = one.starts[left] + np.arange(size), two.starts[right] + np.arange(size)
        moved = np.nan_to_num(two.values[others, 0] - one.values[rows, 0])
        row = int(np.argmax(sign * moved))
        out.append(
            Flip(
                group=one.groups[left],
                sample=one.ids[rows[row]],
                leaf=place.l3,
                change=float(comparison.groups[index]),
                rows=float(moved.sum()),
                before=_answer(one, int(rows[row])),
                after=_answer(two, int(others[row])),
            )
        )
    return sorted(out, key=lambda flip: (sign * -flip.change, sign * -flip.rows, flip.group))[:limit]


def _answer(outcomes: Outcomes, row: int) -> str:
    answer = outcomes.answers[row][0]
    if answer is not None:
        return str(answer)
    number = int(outcomes.status[row, 0])
    return f"({list(Status)[number].value})" if number >= 0 else "(missing)"
