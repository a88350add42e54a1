"""Reads the cells of a model card's tables: numbers with arrows, signs, changes and emphasis."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

_SIGNS = {"↑": 1, "↓": -1}
_BOLD = re.compile(
    r"\*\*[^*]+\*\*|__[^_]+__|<(?:b|strong)>[^<]+</(?:b|strong)>|\\(?:textbf|mathbf|bm)\{[^{}]+\}",
    re.IGNORECASE,
)
_REWRITTEN = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"⬆\ufe0f?|[▲△🔺⇧🡅]|\$\\uparrow\$|\\uparrow|&uarr;|:arrow_up:", " ↑ "),
        (r"⬇\ufe0f?|[▼▽🔻⇩🡇]|\$\\downarrow\$|\\downarrow|&darr;|:arrow_down:", " ↓ "),
        (r"\\pm|&plusmn;", "±"),
        (r"\\%|％", "%"),
        (
            r"\\(?:text(?:bf|it|sc)?|math(?:bf|it|rm)|bm|bf|u(?:nder)?line|emph|tiny|small|scriptsize)\b\s*",
            "",
        ),
        (r"(?i:<sup>\s*(?:[0-9a-z*†‡§]|\[\d\])\s*</sup>)", ""),
        (r"<[^<>]{0,60}>", " "),
        (r"[*`~\\]|(?<!\w)_+|_+(?!\w)", ""),
        ("−", "-"),
        ("＋", "+"),
    )
)
"""Patterns of alternative notations and their plain form, in the order of replacement."""
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
"""A spread or an interval after a value."""
_FOOTNOTES = re.compile(r"(?<=[\d%)\]])\s*(?:[†‡§¶#^]|[¹²³⁴⁵⁶⁷⁸⁹⁰]|\^?\s?[a-e])+$")
_EMPTY = frozenset({"", "-", "--", "–", "—", "/", "n/a", "na", "n.a.", "nan", "none"})
MAX_CELL = 200
"""Maximum characters of a number; a longer cell is a text."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as printed. Numbers have the printed unit (percent, mostly) and the printed digits."""

    text: str
    """The text in the card."""
    value: Decimal | None = None
    """The value, with its printed sign or that of an arrow before it ("↓ 3.1" is -3.1), or None."""
    signed: bool = False
    """Whether an arrow or a sign precedes the value, so that it is a change and not a level."""
    delta: Decimal | None = None
    """The signed change in "84.76 (↑2.70)"; None if only an arrow, or nothing, is printed."""
    spread: Decimal | None = None
    """Half of the width of the interval after the value, as in "± 0.5"."""
    direction: int = 0
    """+1 or -1 by the arrow or sign of the change; 0 without one."""
    bold: bool = False
    """Whether the value, and not only the text after it, is in bold."""

    @property
    def empty(self) -> bool:
        """Whether no value is printed: the cell is blank, a dash, or "n/a"."""
        return _plain(self.text).lower() in _EMPTY

    @property
    def changed(self) -> bool:
        """Whether a change, or its direction, is printed after the value."""
        return self.delta is not None or self.direction != 0


def read_cell(text: str) -> Cell:
    """Reads a cell; if it is not a number, with or without a change after it, it has no value."""
    if len(text) > MAX_CELL:
        return Cell(text[:MAX_CELL])
    written = _FOOTNOTES.sub("", _plain(text))
    spread = _SPREAD.search(written)
    if spread is not None and spread.start() > 0:
        written = written[: spread.start()] + written[spread.end() :]
    match = _CELL.fullmatch(written.strip())
    if match is None:
        return Cell(text)
    arrow, change = match["arrow"] or match["tail"], match["delta"]
    if change and not arrow and change[0] not in "+-":
        if not match["open"]:
            return Cell(text)
        change = None  # "84.76 (3)" is a spread or a count; a change has an arrow or a sign
    delta = _number(change, arrow) if change else None
    return Cell(
        text=text,
        value=_number(match["value"], match["lead"]),
        signed=bool(match["lead"]) or match["value"][0] in "+-",
        delta=delta,
        spread=_half(spread) if spread else None,
        direction=_SIGNS[arrow] if arrow else int(delta.compare(0)) if delta else 0,
        bold=_is_bold(text),
    )


def digits(*numbers: Decimal | None) -> int:
    """Returns the smallest number of decimals among the numbers that are not None; 0 if all are None."""
    return min((-int(number.as_tuple().exponent) for number in numbers if number is not None), default=0)


def caption(text: str) -> str:
    """Removes emphasis and tags from a label or a line, and unifies arrows, minus signs and spaces."""
    for pattern, plainer in _REWRITTEN:
        text = pattern.sub(plainer, text)
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Returns a cell's `caption` without underscores inside words and LaTeX's braces and dollar signs."""
    return " ".join(_MARKUP.sub("", caption(text)).split())


def _half(spread: re.Match[str]) -> Decimal:
    if spread["spread"] is not None:
        return _number(spread["spread"])
    return abs(_number(spread["high"]) - _number(spread["low"])) / 2


def _is_bold(text: str) -> bool:
    """Whether the first number of the text is inside a bold span."""
    first = re.search(r"\d", text)
    return first is not None and any(
        span.start() < first.start() < span.end() for span in _BOLD.finditer(text)
    )


def _number(text: str, arrow: str | None = None) -> Decimal:
    """Parses a number, with the sign of the arrow if there is one."""
    value = Decimal(text.replace(",", "").replace(" ", ""))
    return value.copy_sign(_SIGNS[arrow]) if arrow else value
