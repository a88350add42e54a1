"""The colours of figures, by their names in the page's style sheet (as in `--ink`), which dark mode changes.

Better and worse are blue and vermilion, which colour-blind readers can tell apart. No figure relies on colour
alone: a sign, a position or a word says the same.
"""

from __future__ import annotations

from collections.abc import Mapping

INK, MUTED, RULE, PAPER, BETTER, WORSE = "ink", "muted", "rule", "paper", "better", "worse"
SERIES = (BETTER, WORSE, "s3", "s4", "s5", "s6", "s7", "s8")
"""Colours of series that must be told apart."""
SIGN = {"better": BETTER, "worse": WORSE, "": MUTED}
"""The colour of a difference, by its mark."""

HEX: Mapping[str, str] = {
    INK: "#1c1c1a",
    MUTED: "#5d5b55",
    RULE: "#d6d4cc",
    PAPER: "#fdfdfb",
    BETTER: "#1d5fa6",
    WORSE: "#b03c14",
    "s3": "#2f6f3e",
    "s4": "#7b4a9c",
    "s5": "#8a6100",
    "s6": "#0f7378",
    "s7": "#a1346d",
    "s8": "#56606b",
}
"""The colours in light mode and in PNG files."""
