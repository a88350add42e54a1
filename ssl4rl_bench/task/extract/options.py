"""Recognises an option by its own text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

_WRAPPERS = " \t*_`\"'“”‘’「」『』《》"
_PAIRS = {"(": ")", "[": "]", "{": "}", "（": "）", "【": "】", "$": "$"}
_ARTICLE = re.compile(r"\A(?:an?|the) (?=\S)")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)(?![a-z])\s?|\\[,;!: ]")
_UNIT = re.compile(
    r"([+-]?[\d.,]+) (%|°[cf]?|cm|mm|km|m|kg|mg|g|lbs?|oz|ms|s|min|hz|kw|w|v|ml|l|ft|in|mph|km/h|m/s|px|mol"
    r"|j|n|k)"
)
"""A number and its unit, between which people write a blank or none."""
_MINUS = str.maketrans("−‒–", "---")


def choice(letter: str, choices: Mapping[str, str]) -> str | None:
    """The choice that a letter (any case, any width) stands for, or None."""
    if ord(letter) > 0xFF00:
        letter = chr(ord(letter) - 0xFEE0)
    letter = letter.upper()
    return letter if letter in choices else None


def fold(text: str) -> str:
    """The text without what a model changes when it repeats an option.

    Case, runs of white space, quotes and emphasis around it, a full stop at its end, then a pair of brackets
    or dollar signs, an article at its start; full-width forms become plain. Signs stay: "-5" is not "5".
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_MINUS))
    if "\\" in text:
        text = _LATEX.sub(" ", text).replace("{", "").replace("}", "").replace("\\$", "$")
    if "^" in text:
        text = text.replace("^", "")
    text = " ".join(text.casefold().split()).strip(_WRAPPERS)
    bare = text.rstrip(".。").rstrip(_WRAPPERS)
    if bare[-1:] and " " in bare and (measure := _UNIT.fullmatch(bare)):
        bare = measure[1] + measure[2]
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
    if not hits and wanted:
        hits = _by_part(wanted, choices)
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


def own_end(text: str, letter: int, after: int, option: str) -> int | None:
    """Behind an option's own text, where that stands at its letter ("A man ..." is option A) or after it; else None.

    Args:
        letter: where the letter stands.
        after: where what it sets off begins.
    """
    own = option.rstrip(" .。")
    bare = _PLAIN_ARTICLE.sub("", own)
    for start, form in ((letter, own), (after, own), (after, bare)):
        if form and text[start : start + len(form)].lower() == form.lower():
            return start + len(form)
    return None


_PLAIN_ARTICLE = re.compile(r"\A(?:an?|the) (?=\S)", re.IGNORECASE)
_OWNER = re.compile(r"\A(?:their|its|his|her|the) ")


def _by_part(wanted: str, choices: Mapping[str, str]) -> list[str]:
    """Letters of the options of which a folded text is one of the parts that semicolons separate."""
    wanted = _OWNER.sub("", wanted)
    hits = []
    for letter, option in choices.items():
        if ";" in option and wanted in {_OWNER.sub("", _folded(part)) for part in option.split(";")}:
            hits.append(letter)
    return hits if len(hits) == 1 else []


_NAMES = re.compile(r"(?<![A-Za-z0-9])[A-Z](?![A-Za-z0-9])")


def named_spans(text: str, choices: Mapping[str, str]) -> list[tuple[int, int]]:
    """Where a text holds an option's own text with a single letter in it, such as "Solution A"."""
    spans: list[tuple[int, int]] = []
    low = text.lower()
    if len(low) != len(text):
        return spans
    for option in choices.values():
        own = option.strip(" .").lower()
        if len(own) < 3 or not _NAMES.search(option):
            continue
        start = low.find(own)
        while start >= 0 and len(spans) < 64:
            spans.append((start, start + len(own)))
            start = low.find(own, start + len(own))
    return spans


def begins_with(text: str, choices: Mapping[str, str], ends: Callable[[str, int], bool]) -> str | None:
    """The letter of the longest option that the first line begins with, where `ends(line, position)` holds.

    `ends` sees the folded line and the position behind the option. None if two options are equally long.
    """
    length = room(choices)
    line = fold(text[:length].partition("\n")[0]) + ("…" if len(text) > length else "")
    own = {letter: _folded(option) for letter, option in choices.items()}
    return longest(
        (len(option), letter)
        for letter, option in own.items()
        if option and line.startswith(option) and ends(line, len(option))
    )


def longest(hits: Iterable[tuple[int, str]]) -> str | None:
    """The letter with the greatest length; None if there is none, or two are equally long."""
    (length, letter), (second, _) = sorted([*hits, (0, ""), (0, "")], reverse=True)[:2]
    return letter if length > second else None


def others(choices: Mapping[str, str], letter: str | None) -> dict[str, str]:
    """All choices but one."""
    return {other: option for other, option in choices.items() if other != letter}


def mentions(sentence: str, choices: Mapping[str, str]) -> bool:
    """Whether a folded sentence holds the whole text of an option."""
    return any(place(sentence, fold(option)) >= 0 for option in choices.values() if fold(option))


def place(sentence: str, option: str) -> int:
    """Where a folded sentence holds a folded option as whole words; -1 if nowhere."""
    at = sentence.find(option)
    while at >= 0:
        end = at + len(option)
        if not is_word(sentence[at - 1 : at]) and not is_word(sentence[end : end + 1]):
            return at
        at = sentence.find(option, at + 1)
    return -1


def is_word(char: str) -> bool:
    return char.isascii() and char.isalnum()
