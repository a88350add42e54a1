"""Splits text into sentences, and finds the content of braces."""

from __future__ import annotations

import re
from bisect import bisect_right

_BREAK = re.compile(r"""\n|[!?。！？；;]+|\.(?=[\s"'”’)*_`\]]|\Z)|…""")
_ENUMERATOR = re.compile(
    r"[\s*_`\"'(\[>#-]{0,8}(?:(?:option|choice|step)\s)?(?:[A-Za-z]|\d{1,2})[*_`)\]]{0,3}\Z", re.I
)
REACH = 300
"""The number of characters of a sentence that are examined before and after a statement."""


class Sentences:
    """The boundaries of the sentences of a text. A line break always ends a sentence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._ends: list[int] = []
        start = 0
        for match in _BREAK.finditer(text):
            if match[0] == "." and _ENUMERATOR.match(text, start, match.start()):
                continue  # an item's letter and its text, as in "B. below the dog", are one sentence
            self._ends.append(match.end())
            start = match.end()

    def before(self, position: int) -> str:
        """Returns the part of the sentence before a position."""
        index = bisect_right(self._ends, position)
        start = self._ends[index - 1] if index else 0
        return self.text[max(start, position - REACH) : position]

    def after(self, position: int) -> str:
        """Returns the rest of the sentence, including its final mark; empty if it ends at the position."""
        index = bisect_right(self._ends, position - 1)
        end = self._ends[index] if index < len(self._ends) else len(self.text)
        return self.text[position : min(end, position + REACH)]

    def previous(self, position: int) -> str:
        """Returns the sentence before the one that contains a position; empty if there is none."""
        index = bisect_right(self._ends, position)
        if index == 0:
            return ""
        start = self._ends[index - 2] if index > 1 else 0
        return self.text[max(start, self._ends[index - 1] - REACH) : self._ends[index - 1]]

    def finished(self, position: int) -> bool:
        """Checks whether the sentence around a position is terminated before the end of the text."""
        index = bisect_right(self._ends, position - 1)
        return index < len(self._ends)

    def spans(self) -> list[tuple[int, int]]:
        """Returns the start and end of every sentence that is not empty."""
        starts = [0, *self._ends]
        ends = [*self._ends, len(self.text)]
        return [(a, b) for a, b in zip(starts, ends, strict=True) if b > a]


def braced(text: str) -> str:
    """Returns the text before the closing brace of a pair opened before the text, or the rest of the line."""
    depth = 1
    for i, char in enumerate(text):
        if char == "\n":
            return text[:i]
        depth += (char == "{") - (char == "}")
        if not depth:
            return text[:i]
    return text
