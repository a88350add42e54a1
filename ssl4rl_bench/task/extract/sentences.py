"""Where sentences begin and end, and what a pair of braces holds."""

from __future__ import annotations

import re
from bisect import bisect_right

_BREAK = re.compile(r"""\n|[!?。！？；;]+|\.(?=[\s"'”’)*_`\]]|\Z)|…""")
_ENUMERATOR = re.compile(
    r"[\s*_`\"'(\[>#-]{0,8}(?:(?:option|choice|step)\s)?(?:[A-Za-z]|\d{1,2})[*_`)\]]{0,3}\Z", re.I
)
REACH = 300
"""Characters of a sentence that are looked at before and after a statement."""


class Sentences:
    """Where the sentences of a text begin and end. A line is a sentence at least."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._ends: list[int] = []
        start = 0
        for match in _BREAK.finditer(text):
            if match[0] == "." and _ENUMERATOR.match(text, start, match.start()):
                continue  # "B. below the dog" is one sentence
            self._ends.append(match.end())
            start = match.end()

    def before(self, position: int) -> str:
        """The sentence up to a position."""
        at = bisect_right(self._ends, position)
        start = self._ends[at - 1] if at else 0
        return self.text[max(start, position - REACH) : position]

    def after(self, position: int) -> str:
        """The rest of the sentence with the mark that ends it; empty if it ends at the position."""
        at = bisect_right(self._ends, position - 1)
        end = self._ends[at] if at < len(self._ends) else len(self.text)
        return self.text[position : min(end, position + REACH)]

    def previous(self, position: int) -> str:
        """The sentence before the one that holds a position; empty if there is none."""
        at = bisect_right(self._ends, position)
        if at == 0:
            return ""
        start = self._ends[at - 2] if at > 1 else 0
        return self.text[max(start, self._ends[at - 1] - REACH) : self._ends[at - 1]]

    def finished(self, position: int) -> bool:
        """Whether the sentence around a position ends before the text does."""
        at = bisect_right(self._ends, position - 1)
        return at < len(self._ends)

    def spans(self) -> list[tuple[int, int]]:
        """Start and end of every sentence that is not empty."""
        starts = [0, *self._ends]
        ends = [*self._ends, len(self.text)]
        return [(a, b) for a, b in zip(starts, ends, strict=True) if b > a]


def braced(text: str) -> str:
    """What stands before the brace that closes one opened before the text, or the rest of the line."""
    depth = 1
    for i, char in enumerate(text):
        if char == "\n":
            return text[:i]
        depth += (char == "{") - (char == "}")
        if not depth:
            return text[:i]
    return text
