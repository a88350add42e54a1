"""Recognises an option by its own text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache

_WRAPPERS = " \t*_`\"'“”‘’「」『』《》"
_PAIRS = {"(": ")", "[": "]", "{": "}", "（": "）", "【": "】", "$": "$"}
_ARTICLE = re.compile(r"\A(?:an?|the) (?=\S)")


def fold(text: str) -> str:
    """The text without what a model changes when it repeats an option.

    Case, runs of white space, quotes and emphasis around it, a full stop at its end, then a pair of brackets
    or dollar signs, an article at its start; full-width forms become plain. Signs stay: "-5" is not "5".
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = " ".join(text.casefold().split()).strip(_WRAPPERS)
    bare = text.rstrip(".。").rstrip(_WRAPPERS)
    if len(bare) > 2 and _PAIRS.get(bare[0]) == bare[-1]:
        bare = bare[1:-1].strip(_WRAPPERS)
    return _ARTICLE.sub("", bare) if bare[:1] in ("a", "t") else bare or text


_folded = lru_cache(maxsize=4096)(fold)
"""For options, which are compared again and again; never for what a model wrote."""


def room(choices: Mapping[str, str]) -> int:
    """Characters that an option's text may take in a reply; nothing longer is compared with one."""
    return 2 * max(map(len, choices.values()), default=0) + 40


def named_by(text: str, choices: Mapping[str, str]) -> str | None:
    """The letter of the one option whose text this is: exactly, else but for case, else folded.

    None if there is no such option, or several (then text never decides).
    """
    if len(text) > room(choices):
        return None
    wanted = fold(text)
    hits = [letter for letter, option in choices.items() if _folded(option) == wanted] if wanted else []
    if len(hits) < 2:
        return hits[0] if hits else None
    text = text.strip()
    for same in (
        [letter for letter in hits if choices[letter].strip() == text],
        [letter for letter in hits if choices[letter].strip().casefold() == text.casefold()],
    ):
        if same:
            return same[0] if len(same) == 1 else None
    return None


def begins_with(text: str, choices: Mapping[str, str], ends: Callable[[str, int], bool]) -> str | None:
    """The letter of the longest option that the first line begins with, where `ends(line, position)` holds.

    `ends` sees the folded line and the position behind the option. None if two options are equally long.
    """
    length = room(choices)
    line = fold(text[:length].partition("\n")[0]) + ("…" if len(text) > length else "")
    hits = []
    for letter, option in choices.items():
        folded = _folded(option)
        if folded and line.startswith(folded) and ends(line, len(folded)):
            hits.append((len(folded), letter))
    hits.sort(reverse=True)
    if not hits or (len(hits) > 1 and hits[0][0] == hits[1][0]):
        return None
    return hits[0][1]
