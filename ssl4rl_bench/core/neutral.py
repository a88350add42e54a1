"""Escaping of text from outside: the only rule for what may reach a terminal, a log, or a file for people.

Labels, names of tasks and folders, categories, replies and error messages of other programs may contain
control characters, escape sequences, marks that change the direction of text, and invisible characters.
`neutral` writes them as JSON escapes, so that they can be read and JSON stays JSON with the same values.
`output` applies it to every stream of the command line; `reports` and `run` call it for what they write.
"""

from __future__ import annotations

import re

_UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u00ad\u061c\u180e\u200b\u200e\u200f"  # soft hyphen, marks of direction, zero width
    "\u2028-\u202e\u2060-\u206f"  # line separators, direction, invisible operators
    "\u115f\u1160\u3164\uffa0"  # letters without a shape
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff"  # lone surrogates, byte order mark, interlinear, no characters
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"  # shorthand, music, tags
)
_BREAKS = re.compile("\r\n|[\t-\r\x1c-\x1f\x85\u2028\u2029]")
# A joiner is part of Persian and Indic words and of emoji, but after ASCII it only makes two equal words differ.
# An escape ends in ASCII, so joiners that follow an escaped character are escaped as well.
_PATTERN = re.compile(rf"(?:[{_UNSAFE}]|(?<![^\x00-\x7f])[\u200c\u200d])[{_UNSAFE}\u200c\u200d]*")


def neutral(text: str) -> str:
    r"""Replaces invisible characters and those that act on a terminal by JSON escapes: `\u001b`, `\u202e`.

    Line feeds and tabs are kept, as are letters of every script, emoji, and the joiners U+200C and U+200D
    after a character that is not ASCII. The function is idempotent.
    """
    if text.isascii() and text.isprintable():
        return text
    return _PATTERN.sub(_escape, text)


def one_line(text: object, limit: int | None = None) -> str:
    """Applies `neutral` and replaces tabs and line breaks by blanks.

    Args:
        limit: the maximum number of characters; "…" marks a truncated text.
    """
    line = neutral(_BREAKS.sub(" ", str(text)))
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def clean(text: object, limit: int = 80) -> str:
    """Makes a text safe to print: `one_line` of at most `limit` characters, with runs of blanks collapsed."""
    return one_line(" ".join(str(text).split()), limit)


def escaped(char: str) -> str:
    r"""Returns the JSON escape of a character: `\u202e`; two escapes beyond the first plane."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def _escape(match: re.Match[str]) -> str:
    return "".join(map(escaped, match.group()))
