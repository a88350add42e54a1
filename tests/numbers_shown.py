"""Finds numbers that a narrow terminal breaks: split over two lines, or cut off."""

from __future__ import annotations

import itertools
import re

_NUMBER = re.compile(r"[-+±<]?\d+(?:[.,/:]\d+)*%?[▲▼]?")
_AROUND = "()[]{},;:.'\"`·"
_OF_THE_WIDTH = re.compile(r"not shown in \d+ columns|not\s+shown\s+in\s+\d+\s+columns|COLUMNS=\d+")
_CUT = re.compile(r"\d[.,]?…")


def numbers_of(text: str) -> set[str]:
    """Returns the words of a text that are numbers, without punctuation around them."""
    words = (word.strip(_AROUND) for word in re.split(r"[\s=]+", _OF_THE_WIDTH.sub("", text)))
    return {word for word in words if _NUMBER.fullmatch(word)}


def broken_numbers(narrow: str, wide: str) -> list[str]:
    """Returns the numbers of a narrow text that are not whole, by what a wide terminal shows of the same."""
    whole = numbers_of(wide)
    broken = sorted(numbers_of(narrow) - whole)
    broken += _CUT.findall(narrow)
    for line, after in itertools.pairwise(narrow.splitlines()):
        ends, begins = "".join(line.split()[-1:]), "".join(after.split()[:1])
        joined = (ends + begins).strip(_AROUND)
        is_split = ends[-1:].isdigit() or begins[:1].isdigit()
        if is_split and begins and re.search(r"[.,/]", joined) and joined in whole - {ends.strip(_AROUND)}:
            broken.append(joined)
    return broken
