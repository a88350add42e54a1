"""Names cut in the middle, at places where they differ from each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from rich.cells import cell_len, set_cell_size

CUT = "…"
_SEPARATOR = re.compile(r"[-/_. ()@]")
_DIGITS_AT_END = re.compile(r"[\d.,]+$")
_DIGITS_AT_START = re.compile(r"^[\d.,]+")


def shorten_names(names: Sequence[str], most: int) -> list[str]:
    """Shortens the names that are wider than `most` columns; distinct names stay distinct.

    What a name shares with another one is cut first, so that what tells them apart is kept:
    "PKU-ML/SSL4RL-MMBench-Rotation-3B" becomes "PKU-ML…Rotation-3B". No number is cut.

    Args:
        most: at least 8. With fewer, or with very many names, a name may be wider.
    """
    distinct = list(dict.fromkeys(names))
    short = {name: name for name in distinct if cell_len(name) <= most}
    taken = set(short)
    for name in distinct:
        if name not in short:
            short[name] = _free(_cut(name, [other for other in distinct if other != name], most), taken, most)
            taken.add(short[name])
    return [short[name] for name in names]


def _cut(name: str, others: Sequence[str], most: int) -> str:
    """Cuts a name before and after the part that differs from all others; at the end if there are none."""
    before = max((_shared_start(name, other) for other in others), default=0)
    after = max((_shared_start(name[::-1], other[::-1]) for other in others), default=0)
    rest = name[before:]
    if before and cell_len(rest) < most:
        return _join(name[:before], rest, most)
    end = max(before, len(name) - after)
    part = name[before : end + name[end - 1 : end].isdigit()]  # a number is shown with what ends it
    if part and cell_len(part) <= most - 2:
        return _join(name[:before], f"{part}{CUT}", most)
    return _in_the_middle(part or name, most - 1)


def _in_the_middle(text: str, room: int) -> str:
    """Cuts a text in the middle, before a word if one ends there; `room` is without the mark of the cut."""
    ends = [text[match.end() :] for match in _SEPARATOR.finditer(text)]
    fitting = [end for end in ends if room // 3 <= cell_len(end) <= 2 * room // 3]
    end = fitting[0] if fitting else _fitting_end(text, room // 2)
    return f"{_fitting(text, room - cell_len(end))}{CUT}{end}"


def _join(start: str, end: str, most: int) -> str:
    """Joins a shortened start and an end with a mark of the cut."""
    return _fitting(start, most - 1 - cell_len(end)) + CUT + end


def _fitting(text: str, most: int) -> str:
    """Returns the beginning of a text that fits; a beginning that is cut does not end in a number."""
    if cell_len(text) <= most:
        return text
    return _DIGITS_AT_END.sub("", set_cell_size(text, max(0, most)).rstrip())


def _fitting_end(text: str, most: int) -> str:
    """Returns the end of a text that fits; an end that is cut does not start with a part of a number."""
    cut = set_cell_size(text[::-1], max(0, most)).rstrip()[::-1] if cell_len(text) > most else text
    is_in_number = len(cut) < len(text) and text[len(text) - len(cut) - 1].isdigit()
    return _DIGITS_AT_START.sub("", cut) if is_in_number else cut


def _shared_start(name: str, other: str) -> int:
    """Returns the length of what two names have in common at the start, up to the last separator in it."""
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False)))
    ends = [match.end() for match in _SEPARATOR.finditer(name, 0, length)]
    return ends[-1] if ends else 0


def _free(name: str, taken: set[str], most: int) -> str:
    """Returns the name, or if it is taken, one with a number at its end."""
    number, free = 2, name
    while free in taken:
        mark = f"{CUT}({number})"
        free = _fitting(name.rstrip(CUT), most - cell_len(mark)) + mark
        number += 1
    return free
