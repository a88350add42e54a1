"""Colours of figures. On paper as they stand here; on the HTML page each becomes a name that dark mode gives another.

Better and worse are blue and vermilion, which colour-blind readers tell apart; no figure says by colour alone what
it does not also say by a sign, a place or a word.
"""

from __future__ import annotations

from collections.abc import Mapping

INK = "#1c1c1a"
MUTED = "#5d5b55"
RULE = "#d6d4cc"
PAPER = "#fdfdfb"
BETTER = "#1d5fa6"
WORSE = "#b03c14"
SERIES = ("#1d5fa6", "#b03c14", "#2f6f3e", "#7b4a9c", "#8a6100", "#0f7378", "#a1346d", "#56606b")
"""For lines that have to be told apart."""

NAMES: Mapping[str, str] = {
    INK: "ink",
    "#000000": "ink",
    MUTED: "muted",
    RULE: "rule",
    PAPER: "paper",
    "#ffffff": "paper",
    **{colour: f"s{at}" for at, colour in enumerate(SERIES, start=1)},
    BETTER: "better",
    WORSE: "worse",
}
"""Colour to the name that the page's style sheet knows it by (`--ink`)."""
