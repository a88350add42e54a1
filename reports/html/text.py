"""Texts of models and data sets, made visible: nothing in them can act on a reader's screen."""

from __future__ import annotations

import unicodedata

_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: "\u2421"}
"""Control characters as Unicode's pictures of them."""


def visible(text: str) -> str:
    """Control characters as their pictures, others that do not show as their number: U+202E is "⟨202E⟩".

    Line feeds and tabs stay; a carriage return before a line feed goes; lone surrogates become U+FFFD. Joiners of
    scripts and of emoji (U+200C, U+200D) stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char) for char in text.replace("\r\n", "\n"))


def _shown(char: str) -> str:
    code = ord(char)
    if char in "\t\n\u200c\u200d" or char.isprintable():
        return char
    if code in _CONTROLS:
        return _CONTROLS[code]
    category = unicodedata.category(char)
    if category == "Cs":
        return "\ufffd"
    return char if category == "Zs" else f"⟨{code:04X}⟩"


def shortened(text: str, most: int) -> str:
    """At most about `most` characters: the beginning, how much is left out, and the end, where answers stand."""
    if len(text) <= most:
        return text
    head = most * 3 // 5
    tail = most - head
    return f"{text[:head]}\n[… {len(text) - most:,} characters left out …]\n{text[-tail:]}"
