"""Sentences that views share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.reports.text.numbers import p_value

MOST = 8
_BLINDED = re.compile(
    r".* differ, as allowed: images blanked, shuffled or left out in one run only \([^()]*\)\."
)
"""The note of a run with images and one without, which a view of both says already."""


def listed(texts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def worst_first(found: Sequence[tuple[str, str, Difference]]) -> list[tuple[str, str, Difference]]:
    return sorted(found, key=lambda each: each[2].value)


def noted(notes: Sequence[str]) -> str:
    """What a reader must know besides, after the sentence; at most `MOST` notes."""
    own = list(dict.fromkeys(note for note in notes if not _BLINDED.fullmatch(note)))
    if not own:
        return ""
    more = f" {len(own) - MOST} more notes are left out; `compare` prints them." if len(own) > MOST else ""
    return f" {' '.join(own[:MOST])}{more}"


def p_is(p: float) -> str:
    """ "p = 0.012", "p < 0.001"."""
    text = p_value(p)
    return f"p {text[0]} {text[1:]}" if text.startswith("<") else f"p = {text}"
