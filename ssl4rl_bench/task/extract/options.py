"""Recognises options by their texts."""

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
"""A number and its unit. `fold` removes the space between them, which is often omitted."""
_MINUS = str.maketrans("−‒–", "---")


def choice(letter: str, choices: Mapping[str, str]) -> str | None:
    """Returns the choice that a letter (any case, any width) stands for, or None."""
    if ord(letter) > 0xFF00:
        letter = chr(ord(letter) - 0xFEE0)
    letter = letter.upper()
    return letter if letter in choices else None


def fold(text: str) -> str:
    """Normalises what a model may change when it repeats an option.

    This is the case, runs of white space, quotes and emphasis around the text, a full stop at its end, then a
    pair of brackets or dollar signs, and an article at its start. Full-width forms become plain ones. Signs
    are kept: "-5" is not "5".
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
"""A cached `fold` for options, which are compared repeatedly. It must not be used for the text of replies."""


def room(choices: Mapping[str, str]) -> int:
    """Returns the maximum length of an option's text in a reply. Longer texts are not compared with one."""
    return 2 * max(map(len, choices.values()), default=0) + 40


def named_by(text: str, choices: Mapping[str, str]) -> str | None:
    """Returns the letter of the only option with this text: the exact text, else ignoring case, else folded.

    Returns None if no option or several options have it (then text never decides).
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
    """Returns the end of an option's text that begins at its letter ("A man ..." is option A) or after it.

    Returns None if the text is at neither place.

    Args:
        letter: the position of the letter.
        after: the position of the text that the letter sets off.
    """
    plain = option.rstrip(" .。")
    bare = _PLAIN_ARTICLE.sub("", plain)
    for start, form in ((letter, plain), (after, plain), (after, bare)):
        if form and text[start : start + len(form)].lower() == form.lower():
            return start + len(form)
    return None


_PLAIN_ARTICLE = re.compile(r"\A(?:an?|the) (?=\S)", re.IGNORECASE)
_OWNER = re.compile(r"\A(?:their|its|his|her|the) ")


def _by_part(wanted: str, choices: Mapping[str, str]) -> list[str]:
    """Returns the letter of the only option with a folded text among its parts, which semicolons separate."""
    wanted = _OWNER.sub("", wanted)
    hits = []
    for letter, option in choices.items():
        if ";" in option and wanted in {_OWNER.sub("", _folded(part)) for part in option.split(";")}:
            hits.append(letter)
    return hits if len(hits) == 1 else []


_NAMES = re.compile(r"(?<![A-Za-z0-9])[A-Z](?![A-Za-z0-9])")


def named_spans(text: str, choices: Mapping[str, str]) -> list[tuple[int, int]]:
    """Returns where a text contains an option's text that has a single letter in it, such as "Solution A"."""
    spans: list[tuple[int, int]] = []
    low = text.lower()
    if len(low) != len(text):
        return spans
    for option in choices.values():
        name = option.strip(" .").lower()
        if len(name) < 3 or not _NAMES.search(option):
            continue
        start = low.find(name)
        while start >= 0 and len(spans) < 64:
            spans.append((start, start + len(name)))
            start = low.find(name, start + len(name))
    return spans


def begins_with(text: str, choices: Mapping[str, str], ends: Callable[[str, int], bool]) -> str | None:
    """Returns the letter of the longest option that the first line begins with and that `ends` accepts.

    `ends(line, position)` receives the folded line and the position after the option. Returns None if two
    options are equally long.
    """
    length = room(choices)
    line = fold(text[:length].partition("\n")[0]) + ("…" if len(text) > length else "")
    texts = {letter: _folded(option) for letter, option in choices.items()}
    return longest(
        (len(option), letter)
        for letter, option in texts.items()
        if option and line.startswith(option) and ends(line, len(option))
    )


def longest(hits: Iterable[tuple[int, str]]) -> str | None:
    """Returns the letter with the greatest length; None if there is none, or if two are equally long."""
    (length, letter), (second, _) = sorted([*hits, (0, ""), (0, "")], reverse=True)[:2]
    return letter if length > second else None


def other_choices(choices: Mapping[str, str], letter: str | None) -> dict[str, str]:
    """Returns all choices except one."""
    return {other: option for other, option in choices.items() if other != letter}


def mentions(sentence: str, choices: Mapping[str, str]) -> bool:
    """Checks whether a folded sentence contains the whole text of an option."""
    return any(place(sentence, fold(option)) >= 0 for option in choices.values() if fold(option))


def place(sentence: str, option: str) -> int:
    """Returns the position of a folded option in a folded sentence, as whole words; -1 if it is absent."""
    start = sentence.find(option)
    while start >= 0:
        end = start + len(option)
        if not is_word(sentence[start - 1 : start]) and not is_word(sentence[end : end + 1]):
            return start
        start = sentence.find(option, start + 1)
    return -1


def is_word(char: str) -> bool:
    """Returns whether a character belongs to an ASCII word."""
    return char.isascii() and char.isalnum()
