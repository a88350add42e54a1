"""Makes texts of models and data sets visible, so that nothing in them can act on a reader's screen."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """Replaces control characters by their pictures, and other invisible ones by their numbers.

    For example, U+202E becomes "⟨202E⟩". Line feeds, tabs and the joiners of scripts and emoji (U+200C,
    U+200D) are kept. A carriage return before a line feed is removed, and lone surrogates become U+FFFD.
    """
    if text.isprintable():
        return text
    return text.replace("\r\n", "\n").translate(_PICTURES)


class _Pictures:
    """A table for `str.translate`, which computes its entries."""

    def __getitem__(self, code: int) -> str:
        """Returns what is shown for a character; raises LookupError, as `translate` wants, for one that is kept."""
        char = chr(code)
        if char in "\t\n\u200c\u200d" or char.isprintable() or unicodedata.category(char) == "Zs":
            raise LookupError(code)
        if code < 0x20 or code == 0x7F:
            return chr(0x2400 + min(code, 0x21))  # Unicode's picture of a control character
        return "\ufffd" if 0xD800 <= code < 0xE000 else f"⟨{code:04X}⟩"


_PICTURES = _Pictures()


def shortened(text: str, most: int) -> str:
    """Cuts text to about `most` characters: its start, the number left out, and its end with the answer."""
    if len(text) <= most:
        return text
    head = most * 3 // 5
    tail = most - head
    return f"{text[:head]}\n[… {len(text) - most:,} characters left out …]\n{text[-tail:]}"
