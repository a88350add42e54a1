"""Decides which of several statements holds: the last that corrects or concludes, unless it is retracted."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ssl4rl_bench.task.extract.moods import (
    FALSE,
    NEGATIVE,
    Strength,
    conditional,
    last_clause,
    negated,
    strength_of,
)
from ssl4rl_bench.task.extract.sentences import Sentences

CONFLICT = "?"
"""The verdict on a text that names several answers ("A or B"), or a letter that is not a choice."""


@dataclass(frozen=True, slots=True)
class Statement:
    """An answer and the place where it is stated."""

    start: int
    end: int
    """The position after the answer."""
    verdict: str
    """The answer, or `CONFLICT`."""
    strength: Strength
    rule: str = "statement"


def weighed(sentences: Sentences, items: Iterable[Statement]) -> list[Statement]:
    """Returns the statements, with their strength reduced where their sentences weaken them."""
    return [
        replace(item, strength=strength_of(sentences, item.start, item.end, item.strength)) for item in items
    ]


_TAKEN_BACK = re.compile(
    r"\b(?:scratch that|strike that|i take (?:that|it) back|never ?mind|correction[:,]|i (?:was|am"
    r"|['’]m) (?:wrong|mistaken)"
    r"|i stand corrected|my (?:mistake|bad)\b|just kidding|i apologi[sz]e|my apologies|actually,? no\b"
    r"|(?:edit|update|revision)\b[^:.\n]{0,40}:|(?:that|this|it|which) was (?:hasty|premature|too (?:quick"
    r"|hasty))"
    r"|i can(?:no|['’])t (?:tell|say)(?=[.!]|\Z)|i (?:really )?(?:don['’]t|do not) know(?=[.!]|\Z)"
    r"|i no longer (?:think|believe)|(?:sorry|apologies)[,:—–-]|oops|whoops|i meant\b|i misread|i misspoke"
    r"|on second thoughts?|let me correct|i(?:['’]ve| have)? changed? my (?:mind|answer)|i retract|i withdraw"
    r"|(?:disregard|ignore) (?:that|it|my|this|the above)|(?:no|hmm|oh),? wait|wait,? (?:no|that|sorry)"
    r"|make that"
    r"|i mean(?=[,:]?\s(?:(?:to say|the answer|the option|option|choice|it is|it['’]s)\b"
    r"|\W?[A-Z0-9]{1,3}\b)))"
    r"|更正|纠正|说错了|我错了|口误|收回|写错了|应改为",
    re.IGNORECASE,
)
"""Phrases that retract what was stated before them, at any distance."""
_REFUSED = re.compile(
    r"\b(?:that|this|it)(?:['’]s| is| was| seems| must be| would be| can(?:no|['’])t be)?(?: clearly"
    r"| actually| obviously)?"
    rf" {FALSE}(?!\s(?:that|to)\b)"
    r"|(?:\A|(?<=[.!…\n])|(?<=[.!…\n] ))[\s*_]{0,3}(?:no\.(?!\s?\d)|(?:no|nope|nah)[,!:;—–]|(?:nope|nah)\.)"
    r"|(?:\A|(?<=[。，,！!；;\n…\s]))(?:哦|啊|等等|等一下|抱歉|对不起|呃|好像|似乎|可能){0,2}[，,]?(?:好像|似乎)?(?:不对|错了|不，)",
    re.IGNORECASE,
)
"""Phrases that retract what the previous sentence states."""
_LINK = re.compile(
    r"\n|\b(?:wait|no|actually|but|however|correction|sorry|hmm+|re-?check|double-?check|let me|on second"
    r"|instead|rather"
    r"|so|thus|therefore|hence|final|finally|conclusion|conclude|ultimately|overall|in the end"
    r"|correct answer|in fact|apologi[sz]e|edit"
    r"|then)\b|不对|等等|其实|应该|更正|所以|因此|故|综上|最终|最后|但",
    re.IGNORECASE,
)
"""Words between two statements of which the later one corrects or concludes."""
_CONTRAST = re.compile(
    r"\b(?:wait|no|actually|but|however|correction|sorry|instead|rather|although|though|yet|re-?check\w*|so"
    r"|thus"
    r"|therefore|hence)\b|不对|其实|但|所以|因此|故",
    re.IGNORECASE,
)


_RECHECKED = re.compile(r"(?:\b(?:wait|hold on)\b|等一下|等等)[^\n]{0,200}", re.IGNORECASE)


def doubted(sentences: Sentences, position: int, *, cut: bool) -> bool:
    """Checks whether the text after the last statement hesitates and denies: "Wait, that does not fit.".

    Args:
        cut: whether the text was cut off, in which case a word that reconsiders the statement is enough.
    """
    if cut and _RECONSIDERS.search(sentences.text, position):
        return True
    match = _RECHECKED.search(sentences.text, position)
    return match is not None and NEGATIVE.search(match[0]) is not None


def resolve(sentences: Sentences, statements: Sequence[Statement]) -> Statement | None:
    """Returns the statement that holds, or None. Its verdict is `CONFLICT` for contradictory statements.

    A later statement overrides an earlier one only if it corrects it or concludes. A retraction deletes all
    statements before it.
    """
    text = sentences.text
    stated = sorted((s for s in statements if s.strength > Strength.VOID), key=lambda s: s.end)
    strongest: dict[Strength, Statement] = {}
    taken_back = _retractions(sentences, [s.end for s in stated]) if stated else []
    for item in stated:
        while taken_back and taken_back[0] < item.end:
            taken_back.pop(0)
            strongest.clear()
        link = _LINK if item.strength is Strength.FIRM else _CONTRAST
        strongest[item.strength] = _later(text, strongest.get(item.strength), item, link)
        firm = strongest.get(Strength.FIRM)
        if item.strength is Strength.PLAIN and firm is not None:
            strongest[Strength.FIRM] = _later(text, firm, item, _CONTRAST)
    if taken_back:
        return None
    return strongest[max(strongest)] if strongest else None


def corrects(text: str, earlier: int, later: int) -> bool:
    """Checks whether there is a word of correction or conclusion between two positions."""
    return _CONTRAST.search(text, earlier, later) is not None


def final(
    sentences: Sentences, stated: Sequence[Statement], read: Callable[[int, int], str | None]
) -> list[Statement]:
    """Returns the last sentence as a statement if it is only an answer and corrects: "B - wait, no. D.".

    Args:
        read: returns the answer if the whole text between two positions is one, else None.
    """
    spans = [(a, b) for a, b in sentences.spans() if sentences.text[a:b].strip()]
    if len(spans) < 2 or not stated:
        return []
    start, end = spans[-1]
    if not corrects(sentences.text, max(item.end for item in stated), start):
        return []
    answer = read(start, end)
    return [Statement(start, end, answer, Strength.FIRM)] if answer else []


def _later(text: str, one: Statement | None, two: Statement, link: re.Pattern[str]) -> Statement:
    """Returns the later of two statements, or a conflict."""
    if one is None or one.verdict == two.verdict:
        return two
    linked = two.strength > Strength.WEAK and link.search(text, one.end, max(two.start, one.end) + 1)
    return two if linked else replace(two, verdict=CONFLICT)


def takes_back(text: str) -> bool:
    """Checks whether a text retracts something that it states."""
    return bool(_TAKEN_BACK.search(text) or _REFUSED.search(text))


def _retractions(sentences: Sentences, ends: Sequence[int]) -> list[int]:
    """Returns the positions where a text retracts what it stated at `ends`, in order."""
    text = sentences.text
    places = []
    for pattern in (_TAKEN_BACK, _REFUSED):
        for match in pattern.finditer(text, ends[0]):
            start = match.start()
            if pattern is _REFUSED and not _follows(sentences, ends, start):
                continue
            before = sentences.before(start)
            if not conditional(before, last_clause(before), "", False) and not negated(
                before, last_clause(before)
            ):
                places.append(start)
    return sorted(places)


_RECONSIDERS = re.compile(
    r"\b(?:however|but|wait|hmm+|actually|let me|on second|although|unless|if|no,|though|looking closer"
    r"|hold on|or)\b"
    r"|但|不过|等等|不对|其实|如果",
    re.IGNORECASE,
)
"""Words after the last statement of a reply that was cut off: the answer might have changed."""

_HESITATION = re.compile(
    r"(?:[\s.,…*_]|\b(?:wait|hmm+|oh|well|actually|hold on|but|uh|um)\b|等等|嗯)*", re.IGNORECASE
)


def _follows(sentences: Sentences, ends: Sequence[int], position: int) -> bool:
    """Checks whether the sentence before a position states an answer, and does not only ask about another."""
    index = bisect_right(ends, position) - 1
    if index < 0:
        return False
    between = sentences.after(ends[index])
    gap = sentences.text[ends[index] + len(between) : position]
    return "\n\n" not in gap and _HESITATION.fullmatch(gap) is not None
