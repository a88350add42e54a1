"""Finds the matches of slow patterns by trying them only where they can begin, or not at all.

A pattern that begins with many alternatives is slow: Python's `re` tries all of them at each character. Here, words
that every match contains are searched first, which is fast. The matches are those of `finditer`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator


def plain(low: str) -> str:
    """Returns lower-case text in which ASCII letters are all that patterns match as such, ignoring the case.

    Args:
        low: text in lower case and of its original length.
    """
    return low.replace("ſ", "s").replace("ı", "i")


def contains(plain_text: str, words: Iterable[str]) -> bool:
    """Checks whether a text contains one of the words."""
    return any(word in plain_text for word in words)


def last_matches(
    pattern: re.Pattern[str], text: str, starts: Iterable[int], count: int
) -> deque[re.Match[str]]:
    """Returns the last matches of `finditer`.

    Args:
        starts: the positions at which a match can begin, ascending; may have others between them.
    """
    matches: deque[re.Match[str]] = deque(maxlen=count)
    end = 0
    for start in starts:
        if start >= end and (match := pattern.match(text, start)):
            matches.append(match)
            end = match.end()
    return matches


def _first_letters(words: str, before: str) -> str:
    """Returns a pattern that matches only the first letter of each word, so that it also finds words inside others.

    Args:
        words: words separated by bars.
        before: a class of characters one of which precedes the word, unless it begins the text.
    """
    rests: dict[str, list[str]] = {}
    for word in words.split("|"):
        rests.setdefault(word[0], []).append(word[1:])
    return "|".join(rf"{first}(?<![^{before}]{first})(?={'|'.join(rest)})" for first, rest in rests.items())


_CORRECTING = re.compile(
    _first_letters(
        "i mean|i misspoke|i was wrong|i take |i apologi|make that|wait|no\\b|nope\\b|hmm|oh,? wait|correction|sorry"
        "|scratch that|actually|on second thought|oops|whoops|rather|instead|my mistake|my bad|strike that"
        "|apologies|edit|update|revision",
        r"\W",
    )
    + "|等(?=等)|不(?=对)|错(?=了)|更(?=正)|纠(?=正)|应(?=改为|该是)|我(?=错|说错)|其(?=实)|而(?=是)|口(?=误)"
    + "|抱(?=歉)"
)
_CONCLUDING = re.compile(
    _first_letters(
        "so|thus|hence|therefore|then|ergo|clearly|obviously|in short|in summary|in conclusion|to sum up|to conclude"
        "|tl;dr|bottom line|i am|i['’]m|i['’]d say|i think|i guess|i believe|i say|i would say|i vote|i answer"
        "|tells? me|my |most likely|likely|probably|final|conclusion|result|verdict|→|⇒|➔|➡|->|=>|因此|所以|故|综上",
        r"\n.!?;。！？；…,，\s*_#>-",
    )
)


_BOUNDARY = re.compile("[\n.!?;。！？；…,，]")


def correcting_starts(plain_text: str) -> Iterator[int]:
    """Yields the positions at which `leads.CORRECTED` can match."""
    for match in _CORRECTING.finditer(plain_text):
        start = match.start()
        if match[0] == "n":  # "no" may follow up to two spaces
            for before in (start - 2, start - 1):
                if before >= 0 and plain_text[before:start].isspace():
                    yield before
        yield start


def concluding_starts(plain_text: str) -> Iterator[int]:
    """Yields the positions at which `leads.CONCLUDED` can match: up to six marks and spaces before its words."""
    for match in _CONCLUDING.finditer(plain_text):
        if match.start() > 6 and not _BOUNDARY.search(plain_text, match.start() - 7, match.start()):
            continue
        starts = []
        for place in range(match.start(), max(-1, match.start() - 7), -1):
            before = plain_text[place - 1 : place]
            if not before or _BOUNDARY.match(before):
                starts.append(place)
            if not (before.isspace() or before in "*_#>-") or not before:
                break
        yield from reversed(starts)


_NEITHER = ("not", "n't", "n’t")
_NOR = ("but", "it is", "it's", "it’s", "rather")


def has_instead(plain_text: str) -> bool:
    """Checks whether `leads.INSTEAD` can match."""
    return (contains(plain_text, _NEITHER) and contains(plain_text, _NOR)) or "不是" in plain_text
