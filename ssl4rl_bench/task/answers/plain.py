r"""Rewrites the notation of numbers (LaTeX, raised digits, signs) in a plain form that `expressions` reads."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 200
"""The maximum number of characters of a number with its unit; longer texts are not numbers."""

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0e\ufe0f"
_SIGNS = str.maketrans(
    {
        # Must come before NFKC, which would turn them into "o" or a combining ring.
        **dict.fromkeys("º˚", "°"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("×·⋅∙", "*"),
        **dict.fromkeys("\u00a0\u2009\u202f", " "),
        **dict.fromkeys(_INVISIBLE, None),
        "√": "sqrt ",
        "π": "pi ",
        "⁄": "/",
        "≈": "=",
    }
)
_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_LOWERED = re.compile("[₀-₉₊₋]")
_VULGAR = re.compile("[¼-¾⅐-⅞↉]")
_LATEX = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|operatorname|mbox|boxed)\s?\{([^{}]*)\}", r" \1 "),
        (r"\\(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])|\\[,;:! ]|~", " "),
        (r"\^\s?\{?\s?\\(?:circ|degree)(?![a-zA-Z])\s?\}?|\\(?:degrees?|circ)(?![a-zA-Z])", "°"),
        (r"\\sqrt\s*(?=[0-9]{2})", "?"),  # LaTeX sets only the first digit under the root
        (r"\\[dtc]?frac(?![a-zA-Z])", "frac "),
        (r"\\frac", "frac "),
        (r"\\sqrt(?![a-zA-Z])", "sqrt "),
        (r"\\pi(?![a-zA-Z])", "pi "),
        (r"\\(?:tri)?angle(?![a-zA-Z])\s?", "angle "),
        (r"\\(?:times|cdot)(?![a-zA-Z])", "*"),
        (r"\\approx(?![a-zA-Z])", "="),
        (r"\\([%$€£])", r"\1"),
        (r"\{,\}", ","),
        (r"\\[\[\]()]", " "),
    )
)
_MATHS = re.compile(r"\$(\$?)([^$]+)\$\1")
"""Mathematics in a text. A single dollar sign is a currency."""
_BOLD = re.compile(r"\*\*|__")
_START = " \t\r\n:;!'\"“”‘’`_*"
"""The characters that are removed before a number: not the point of ".5"."""
_END = f"{_START}.。,，"


def _raised(match: re.Match[str]) -> str:
    return f"^({unicodedata.normalize('NFKC', match[0])})"


def _vulgar(match: re.Match[str]) -> str:
    fraction = unicodedata.normalize("NFKC", match[0]).replace("⁄", "/")
    return f" {fraction} " if match.string[: match.start()][-1:].isdigit() else f"{fraction} "


def plain(text: str) -> str | None:
    """Returns a number's text without LaTeX, decoration and a final full stop; blanks become single spaces.

    The result is None if the text is too long, or has lowered digits or an ellipsis.
    """
    if len(text) > LONGEST:
        return None
    if not text.isascii():
        if _LOWERED.search(text):
            return None
        text = _VULGAR.sub(_vulgar, _RAISED.sub(_raised, text.translate(_SIGNS)))
        text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    if ".." in text or "…" in text or len(text) > 4 * LONGEST:
        return None
    text = _BOLD.sub(" ", text).lstrip(_START).rstrip(_END)
    if "$" in text and "\\$" not in text:
        text = _MATHS.sub(r" \2 ", text)
    if "\\" in text or "{" in text or "~" in text:
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    return " ".join(text.lstrip(_START).rstrip(_END).split())
