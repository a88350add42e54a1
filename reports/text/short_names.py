"""Short names of runs: what they share at their beginnings and ends is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ssl4rl_bench.comparison.pairing import Evaluated

_SEPARATOR = re.compile(r"[/_.-]")
_MARK = re.compile(r"(?: \(|, image ).*", re.DOTALL)
"""What follows the name of a model in a label, such as " (mock)"; it is never left out."""


def short_names(names: Sequence[str]) -> list[str]:
    """Returns the names without owners and without the prefix and suffix that they share.

    A prefix or suffix ends at one of "/", "-", "_" and ".". If the first name, the baseline's, shares none with
    the others, that of the others is left out. Each result is a part of its name with a letter, marks such as
    " (mock)" are kept, and distinct names stay distinct.
    """
    marks = [match.group() if (match := _MARK.search(name)) else "" for name in names]
    stems = [name.removesuffix(mark) for name, mark in zip(names, marks, strict=True)]
    if len(set(stems)) < 2:
        return list(names)
    for shorten in (_without_owner, _without_prefix, _without_suffix):
        shorter = shorten(stems)
        if _distinct(shorter, marks) == _distinct(names, [""] * len(names)):
            stems = shorter
    return [stem + mark for stem, mark in zip(stems, marks, strict=True)]


def with_short_labels(runs: Sequence[Evaluated]) -> list[Evaluated]:
    """Returns the runs, the baseline first, with short labels."""
    names = short_names([run.label for run in runs])
    return [replace(run, label=name) for run, name in zip(runs, names, strict=True)]


def _distinct(stems: Sequence[str], marks: Sequence[str]) -> int:
    return len({stem + mark for stem, mark in zip(stems, marks, strict=True)})


def _without_owner(stems: Sequence[str]) -> list[str]:
    shorter = [stem.rpartition("/")[2] for stem in stems]
    return shorter if all(map(_is_name, shorter)) else list(stems)


def _without_prefix(stems: Sequence[str]) -> list[str]:
    shared = _shared(stems)
    if shared or len(stems) < 3:
        return [stem[shared:] for stem in stems]
    shared = _shared(stems[1:])
    return [stems[0], *(stem[shared:] for stem in stems[1:])]


def _without_suffix(stems: Sequence[str]) -> list[str]:
    return [stem[::-1] for stem in _without_prefix([stem[::-1] for stem in stems])]


def _shared(stems: Sequence[str]) -> int:
    """Returns the length of the longest shared prefix that ends in a separator and leaves names."""
    if len(stems) < 2:
        return 0
    ends = [match.end() for match in _SEPARATOR.finditer(stems[0])]
    return next(
        (
            end
            for end in reversed(ends)
            if all(stem.startswith(stems[0][:end]) and _is_name(stem[end:]) for stem in stems)
        ),
        0,
    )


def _is_name(text: str) -> bool:
    return any(character.isalpha() for character in text)
