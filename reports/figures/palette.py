"""Colours of figures, by the names that the page's style sheet gives them: `--ink`, which dark mode changes.

Better and worse are blue and vermilion, which colour-blind readers tell apart; no figure says by colour alone what
it does not also say by a sign, a place or a word.
"""

from __future__ import annotations

from collections.abc import Mapping

INK, MUTED, RULE, PAPER, BETTER, WORSE = "ink", "muted", "rule", "paper", "better", "worse"
SERIES = (BETTER, WORSE, "s3", "s4", "s5", "s6", "s7", "s8")
"""For lines that have to be told apart."""
SIGN = {"better": BETTER, "worse": WORSE, "": MUTED}
"""Of a difference's mark."""

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
"""On paper."""
