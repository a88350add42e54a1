"""Recognises a walk through the options ("A) no. B) yes.") and an echoed list, which are not answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ssl4rl_bench.task.extract.options import choice, fold, named_by, named_spans

_MARKS = r"""[\s>#*_`"'“”‘’(（\[【{<•·●▪‣+|–—-]"""
_ITEM = re.compile(
    rf"{_MARKS}{{0,12}}+(?:\d{{1,2}}[.)]\s{{0,3}}{_MARKS}{{0,6}}+)?(?:(?:option|choice)\s{{0,2}}"
    rf"|选项\s?)?{_MARKS}{{0,6}}+"
    r"([A-Za-zＡ-Ｚ])(?![A-Za-z0-9Ａ-Ｚ]|['’][A-Za-z])(.*)",
    re.IGNORECASE,
)
_SET_OFF = re.compile(
    r"""[ \t]{0,4}[*_`"'“”‘’」』]{0,4}[ \t]{0,3}(?:[.):：、，,;；）\]】>|/]|[-–—=]{1,3}(?:[ \t>]|\Z)|[✓✔✅✗✘❌×☒])"""
)
_AFTER_WORD = re.compile(
    r"\s(?:is|was|seems|best|it is|fits|matches|because|since|can|cannot|could|would|should)\b", re.I
)
_JUNK = "".join(" \t*_`\"'“”‘’」』.,:;!)-–—。，、：；！）]】>|")


_BULLETS = " \t*_`>#-•·"


class Item(NamedTuple):
    """A line that begins with the letter of an option."""

    letter: str
    bare: bool
    """Whether the line contains nothing else."""


def read_item(line: str, choices: Mapping[str, str]) -> Item | None:
    """Reads a line as an item of any kind of list of options: "B) ...", "- **B** below", "Option B: ..."."""
    match = _ITEM.match(line[:400])
    letter = choice(match[1], choices) if match else None
    named = named_by(line.strip(_BULLETS), choices)
    if named and named != letter:
        return Item(named, False)
    if match is None or letter is None:
        return None
    rest = match[2]
    if not rest.strip(_JUNK):
        return Item(letter, True)
    if match[1].islower() and rest[0] not in ".):、）":
        return None
    if _SET_OFF.match(rest):
        return Item(letter, False)
    if _AFTER_WORD.match(rest):
        return None
    option, stated = fold(choices[letter]), fold(rest)
    if option.startswith(stated) or stated.startswith(option):
        return Item(letter, False)
    return None if letter in "AI" else Item(letter, False)


def continues(before: Sequence[str], line: Item, choices: Mapping[str, str]) -> bool:
    """Checks whether a line continues a walk or list that the lines before it are part of."""
    gap = False
    for text in reversed(before[-12:]):
        if not text.strip():
            gap = True
            continue
        previous = read_item(text, choices)
        if previous is None or previous.letter == line.letter:
            return False
        letters = list(choices)
        complete = letters.index(previous.letter) == len(letters) - 1
        follows = letters.index(previous.letter) + 1 == letters.index(line.letter)
        if previous.bare == line.bare:
            return follows or not (complete and gap)
        return not gap and not complete
    return False


def begins(lines: Sequence[str], first: Item, choices: Mapping[str, str]) -> bool:
    """Checks whether the lines after the first one continue a walk or list that it begins.

    An explanation of each option after an answer is not such a list: it is set apart, has another form than
    the answer, or does not begin with the option that follows the answer.
    """
    gap = not lines or not lines[0].strip()
    for text in lines:
        if not text.strip():
            continue
        following = read_item(text, choices)
        if following is None:
            gap = True
            continue
        if following.letter == first.letter:
            continue
        letters = list(choices)
        succeeds = letters.index(first.letter) + 1 == letters.index(following.letter)
        return not gap or (succeeds and following.bare == first.bare)
    return False


def trails(line: str, letter: str, choices: Mapping[str, str]) -> bool:
    """Checks whether a line ends with the letter of another option that it does not dismiss: "red; B"."""
    match = _TRAILING.search(line, max(0, len(line) - 40))
    if match is None or choice(match[1], choices) in (None, letter):
        return False
    return _DISMISSED.search(line) is None and len(line.split()) > 1


_TRAILING = re.compile(r"[;,|]\s?[*_`\"'(]{0,3}([A-Z])[*_`\"').:]{0,3}\s*\Z")
_OPENED = r"""(?P<open>[(（\[【*_`"'“]{1,4})?"""
_NAMED = re.compile(
    r"(?<![A-Za-z0-9'’_\\])(?P<word>(?:option|choice|answer|letter|选项)s?\s{0,2})?"
    rf"{_OPENED}(?P<letter>[A-ZＡ-Ｚ])(?![A-Za-z0-9Ａ-Ｚ]|['’][A-Za-z])"
    r"(?P<close>[)）\]】*_`\"'”]{1,4})?(?P<stop>\s?[.):,;：:、。，；!?/&+|]|\s{0,2}(?:\Z|\n)|\s[-–—]|[✓✔✅✗✘❌×]"
    r"|\s(?:is|isn|are|was|or|and|nor|can|could|cannot|does|would|seems|should|because|wrong|incorrect"
    r"|correct|fits)\b)?",
    re.IGNORECASE,
)
_ENUMERATED = re.compile(r"\s?[):：、）]|[)）\]】]|[*_`\"']{0,3}\.\s{0,2}(?=\S)")
_SEGMENT = re.compile(
    r"(?:\A|[\n.;,:!?，；。：|]\s{0,3}|\s{3})(?:option\s|选项)?[\s>#*_`\"'“(（\[【•·+–—-]{0,6}\Z",
    re.IGNORECASE,
)
_DISMISSED = re.compile(
    r"\b(?:not|no|never|neither|nor|cannot|wrong|incorrect|false|unlike|than|instead|rule[sd]?|eliminat\w*"
    r"|exclud\w*"
    r"|distractors?|because|since|whereas|while|although|though|contrast|except|mistake[ns]?|impossible"
    r"|unlikely|if|would)\b"
    r"|n['’]t\b|不|错|非|排除|因为|误",
    re.IGNORECASE,
)
_TOO = re.compile(r"\b(?:also|too|both|equally|as well|maybe|perhaps|possibly)\b|也", re.IGNORECASE)
_EDGE = re.compile(r"[.;!?\n。；！？]")


class Named(NamedTuple):
    """An option that a text names by its letter."""

    letter: str
    enumerated: bool
    """Whether it is an item of a list: "B) ", "(B) ", "B: "."""
    dismissed: bool
    """Whether its sentence says that it is not the answer."""
    start: int


def others_named(text: str, letter: str | None, choices: Mapping[str, str]) -> Iterator[Named]:
    """Yields the options other than `letter` whose letters are set off in a text, in order.

    A letter inside the text of an option ("Solution A") does not count; nor does "A" as an article or "I" as
    a pronoun.
    """
    spans = named_spans(text, choices)
    for match in _NAMED.finditer(text):
        if not match["letter"].isupper():
            continue
        other = choice(match["letter"], choices)
        start = match.start("letter")
        if other in (None, letter) or any(a <= start < b for a, b in spans):
            continue
        set_off = match["word"] or match["open"] or match["close"] or match["stop"]
        if other in "AI" and not set_off:
            continue
        if (
            other == "I"
            and not (match["word"] or match["open"] or match["close"])
            and match["stop"][:1] not in ".):：、"
        ):
            continue
        assert other is not None
        head = max(
            (m.end() for m in _EDGE.finditer(text, max(0, start - 200), start)), default=max(0, start - 200)
        )
        tail = _EDGE.search(text, match.end("letter") + 1, start + 200)
        sentence = text[head : tail.start() if tail else start + 200]
        dismissed = _DISMISSED.search(sentence) is not None and not _TOO.search(sentence)
        enumerated = _ENUMERATED.match(text, match.end("letter")) and _SEGMENT.search(
            text, max(0, start - 24), start
        )
        yield Named(other, enumerated is not None, dismissed, start)
