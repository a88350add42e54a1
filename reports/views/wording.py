"""Texts that several views use."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA, interval, p_value, points
from ssl4rl_bench.reports.views.contrasts import Contrast

MOST = 8
_BLINDED = re.compile(
    r".* differ, as allowed: images blanked, shuffled or left out in one run only \([^()]*\)\."
)
"""The note on a run with images and one without; a view of both says so anyway."""


def difference_cells(cell: Difference | Contrast | None) -> tuple[str, str, str]:
    """Formats a difference for a table: points with its mark, the interval, and the corrected p."""
    if cell is None:
        return NO_DATA, NO_DATA, NO_DATA
    p = p_value(cell.p_corrected).replace("<", "< ")
    return points(cell.value) + MARKS[cell.mark], interval(cell.ci95, True), p


def noted(notes: Sequence[str]) -> str:
    """Formats the notes that follow a view's sentence, at most `MOST` of them."""
    distinct = list(dict.fromkeys(note for note in notes if not _BLINDED.fullmatch(note)))
    if not distinct:
        return ""
    more = (
        f" {len(distinct) - MOST} more notes are left out; `compare` prints them."
        if len(distinct) > MOST
        else ""
    )
    return f" {' '.join(distinct[:MOST])}{more}"
