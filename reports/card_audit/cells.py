"""The cells of a model card's tables: numbers with arrows, signs, changes and emphasis, as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

_ARROWS = {
    "↑": ("⬆️", "⬆", "▲", "△", "🔺", "⇧", "🡅", r"$\uparrow$", r"\uparrow", "&uarr;", ":arrow_up:"),
    "↓": ("⬇️", "⬇", "▼", "▽", "🔻", "⇩", "🡇", r"$\downarrow$", r"\downarrow", "&darr;", ":arrow_down:"),
}
_SIGNS = {"↑": 1, "↓": -1}
_PLAIN = str.maketrans({"−": "-", "＋": "+", "％": "%", "\u00a0": " ", "\u2009": " ", "\u202f": " "})
_BOLD = re.compile(
    r"\*\*[^*]+\*\*|__[^_]+__|<(?:b|strong)>[^<]+</(?:b|strong)>|\\(?:textbf|mathbf|bm)\{[^{}]+\}",
    re.IGNORECASE,
)
_FOOTNOTE_TAG = re.compile(r"<sup>\s*(?:[0-9a-z*†‡§]|\[\d\])\s*</sup>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,60}>")
_EMPHASIS = re.compile(r"[*`~\\]|(?<!\w)_+|_+(?!\w)")
_MARKUP = re.compile(r"[_${}]")
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_SIGNED = rf"[+-]?\s?{_NUMBER}"
_UNIT = r"(?:s|ms|min|h|hrs?|[GM]i?B|x|×)\b"
_CELL = re.compile(
    rf"(?P<lead>[↑↓])?\s*(?P<value>{_SIGNED})\s*(?:%|{_UNIT})?"
    rf"(?:\s*(?P<open>[(\[])?\s*(?P<arrow>[↑↓])?\s*(?P<delta>{_SIGNED})?\s*%?\s*(?P<tail>[↑↓])?\s*[)\]]?)?"
)
_SPREAD = re.compile(
    rf"\s*(?:[(\[]\s*)?(?:±|\+/-|\bpm\b)\s*(?P<spread>{_NUMBER})\s*%?\s*[)\]]?"
    rf"|\s*[(\[]\s*(?P<low>{_SIGNED})\s*%?\s*(?:,|;|–|—|-|\bto\b)\s*(?P<high>{_SIGNED})\s*%?\s*[)\]]"
)
"""A spread or an interval beside a value."""
_FOOTNOTES = re.compile(r"(?<=[\d%)\]])\s*(?:[†‡§¶#^]|[¹²³⁴⁵⁶⁷⁸⁹⁰]|\^?\s?[a-e])+$")
_COMMAND = re.compile(
    r"\\(?:textbf|mathbf|bm|bf|underline|uline|textit|mathit|emph|text|mathrm|textsc|tiny|small|scriptsize)\b\s*"
)
"""LaTeX's emphasis, of which only the text stays."""
_EMPTY = frozenset({"", "-", "--", "–", "—", "/", "n/a", "na", "n.a.", "nan", "none"})
MAX_CELL = 200
"""Characters; what is longer is no number."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as it is printed. All numbers in the unit printed (percent, mostly)."""

    text: str
    """As in the card."""
    value: Decimal | None = None
    """With the sign printed, or of an arrow before it: "↓ 3.1" is -3.1. None for a text or an empty cell."""
    decimals: int = 0
    """Digits printed after the point."""
    signed: bool = False
    """Whether an arrow or a sign stands before the value: then it is a change, not a level."""
    delta: Decimal | None = None
    """The change in "84.76 (↑2.70)", with its sign; None if only an arrow, or nothing, is printed."""
    delta_decimals: int = 0
    spread: Decimal | None = None
    """Half of the interval beside the value, as "± 0.5" prints it."""
    direction: int = 0
    """+1 or -1 by the arrow or sign beside the value; 0 without one."""
    bold: bool = False
    """The value (not only what stands beside it) is in bold."""

    @property
    def empty(self) -> bool:
        """Nothing is printed: blank, a dash, "n/a"."""
        return plain(self.text).lower() in _EMPTY


def read_cell(text: str) -> Cell:
    """Reads a cell; whatever is no number, with or without a change beside it, has no value."""
    if len(text) > MAX_CELL:
        return Cell(text[:MAX_CELL])
    written = _FOOTNOTES.sub("", plain(text))
    spread = _SPREAD.search(written)
    if spread is not None and spread.start() > 0:
        written = written[: spread.start()] + written[spread.end() :]
    match = _CELL.fullmatch(written.strip())
    if match is None:
        return Cell(text)
    half = None if spread is None else _half(spread)
    value = _decimal(match["value"])
    lead = _SIGNS.get(match["lead"], 0)
    if lead:
        value = lead * abs(value)
    arrow = _SIGNS.get(match["arrow"] or match["tail"], 0)
    delta = None
    if match["delta"] is not None:
        # "84.76 (3)" is a spread or a count; a change has an arrow or a sign.
        if not arrow and match["delta"][0] not in "+-":
            if not match["open"]:
                return Cell(text)
            return Cell(text, value, _decimals(match["value"]), bool(lead), spread=half, bold=_is_bold(text))
        delta = _decimal(match["delta"])
        if arrow:
            delta = arrow * abs(delta)
        elif delta:
            arrow = 1 if delta > 0 else -1
    return Cell(
        text=text,
        value=value,
        decimals=_decimals(match["value"]),
        signed=bool(lead) or match["value"][0] in "+-",
        delta=delta,
        delta_decimals=_decimals(match["delta"] or ""),
        spread=half,
        direction=arrow,
        bold=_is_bold(text),
    )


def plain(text: str) -> str:
    """A cell's text without emphasis, tags and LaTeX's marks, with one kind of arrow, minus and space."""
    return " ".join(_MARKUP.sub("", caption(text)).split())


def caption(text: str) -> str:
    """A label's or a line's text: as `plain`, but what may belong to a name stays (underscores inside words)."""
    for arrow, spellings in _ARROWS.items():
        for written in spellings:
            text = text.replace(written, f" {arrow} ")
    text = _COMMAND.sub("", text.replace(r"\pm", "±").replace("&plusmn;", "±").replace(r"\%", "%"))
    return " ".join(_EMPHASIS.sub("", _TAG.sub(" ", _FOOTNOTE_TAG.sub("", text))).translate(_PLAIN).split())


def _half(spread: re.Match[str]) -> Decimal:
    if spread["spread"] is not None:
        return _decimal(spread["spread"])
    return abs(_decimal(spread["high"]) - _decimal(spread["low"])) / 2


def _is_bold(text: str) -> bool:
    """Whether the first number of the text is inside a bold span."""
    first = re.search(r"\d", text)
    return first is not None and any(
        span.start() < first.start() < span.end() for span in _BOLD.finditer(text)
    )


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace(" ", ""))


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])
