"""Finds the last explicit statement of an answer: "the answer is B", "B is correct", "\\boxed{B}", "选B"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ssl4rl_bench.extract.letters import CONFLICT, GLUE, at, choice, content, text_end
from ssl4rl_bench.extract.options import begins_with

TRIES = 12
"""How many occurrences of one cue are looked at, from the end of the text."""


class _Cue(NamedTuple):
    """A word that an answer may follow."""

    word: str
    """Lower case; found by a plain search."""
    lead: re.Pattern[str]
    """Matches at the word and ends where the letter or the option's text must stand."""
    needs_verb: bool = False
    """Nothing is stated without "is" or a colon in between."""
    text: bool = False
    """With a verb, the option's own text will do as well."""


class _Predicate(NamedTuple):
    """A word that says of the letter before it that it is the answer."""

    word: str
    """Lower case; found by a plain search."""
    phrase: re.Pattern[str]
    """Must match at the word."""
    subject: re.Pattern[str]
    """Must match before the word; its group 1 is the letter."""


def _cue(word: str, before: str = "", *, needs_verb: bool = False, text: bool = False) -> _Cue:
    end = "(?![a-z])" if word.isascii() else ""
    lead = re.compile(rf"{word}{end}(?>{before})(?>{GLUE}){{0,20}}+", re.IGNORECASE)
    return _Cue(word, lead, needs_verb, text)


_IS_NEXT = r"\s{1,3}(?=is\b|would\b|should\b|must\b)"
_QUESTION = r"(?:\s{1,3}(?:to|for|of)\s(?:\w{1,20}[- ]){0,4}?question)?(?:\s{1,3}here)?"
_CLAUSE = rf"(?:\s{{1,3}}(?:that|which)\s[^.,;?\n]{{0,80}}?{_IS_NEXT})?"
_CUES = (
    _cue("answer", _QUESTION + _CLAUSE, text=True),
    _cue("correct", rf"(?:\s{{1,3}}[a-z]{{1,20}}){{1,6}}?{_IS_NEXT}", needs_verb=True, text=True),
    _cue("best", rf"\s(?:description|match|fit|caption|title|one|candidate){_IS_NEXT}", needs_verb=True),
    _cue("option", _CLAUSE, needs_verb=True),
    _cue("choice", _CLAUSE, needs_verb=True),
    _cue("choose"),
    _cue("select"),
    _cue("pick"),
    _cue("go with"),
    _cue("opt for"),
    _cue("going with"),
    _cue("答案", "(?:选项)?", text=True),
    _cue("正确", r"的[^\s，。：是为]{1,8}", needs_verb=True),
    _cue("选", "[择项]?"),
)
_VERB = re.compile(r"(?<![a-z])(?:is|be)(?![a-z])|[:：=是为]", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:if|whether|unless|suppose|supposing|assuming|wrong|incorrect|no|not|never|cannot|i doubt|nor"
    r"|told to|asked to)|n['’]t|不|没|别|非|如果|若|假如|错误)"
    r"(?:\s{1,3}(?:that|say|think|believe|know|sure|the|my|be|to|correct|right|best|final|likely|an?|is)\b"
    r"|确定|知道|认为|觉得|应该|应|能|会|该|可以|正确|的|\s?要|\s?再){0,5}\s{0,3}\Z",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|consequently|it must be|it is|this is|that is|which is)\b"
    r"|\b(?:it|that)['’]s\b|\bbest (?:matches|fits|corresponds to|described by)\b|所以|因此|故)"
    r"[^.\n;?，。；]{0,80}\Z",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|cannot|wrong|if|eliminate|exclude)\b|n['’]t|不", re.IGNORECASE
)

_OPEN = r"""[ \t*_"'“`(\[{$（【]{0,6}+"""
_SENTENCE_END = r"(?:\s{0,3}\Z|[.,;:!\n](?![a-z0-9])|\s(?:because|since|as)\b)"
_KIND = r"(?:\s(?:answer|option|choice|one|match|description|statement|caption))?"
_SUBJECT = re.compile(
    r"(?:\A|[\n.!?;:,，。；：*]|\b(?i:so|thus|therefore|hence|that|think|believe|conclude|only|option|choice|answer)\s)"
    rf"{_OPEN}(?:(?i:option|choice|answer|letter)\s)?{_OPEN}([A-Z]|(?<=[(（])[a-z])[*_\"'”`)\]}}$）】.]{{0,6}}+"
    r"\s(?:is|would be|should be|must be|seems|appears)"
    r"(?: (?:to be|clearly|most|likely|definitely|the|only|therefore|thus|indeed|single)){0,4} \Z"
)
_OPTION_SUBJECT = re.compile(r"\b(?i:option|choice) [*_(\[]{0,3}([A-Z])[)\]*_]{0,3} \Z")
_ZH_SUBJECT = re.compile(
    r"(?:\A|[\s,，。；;：:(（【*]|选项|所以|因此|故|只有|认为)([A-ZＡ-Ｚ])[)）】*]{0,3}\s?(?:选项|项)?\s?才?(?:是|为)?最?\Z"
)
_RIGHT = re.compile(
    rf"(?:correct|right|best|answer){_KIND}(?:\sto\s(?:the|this)\squestion|\shere)?[*_\"'”]{{0,4}}{_SENTENCE_END}",
    re.IGNORECASE,
)
_MOST = re.compile(
    rf"most\s(?:appropriate|suitable|likely|accurate|fitting|plausible|reasonable){_KIND}{_SENTENCE_END}",
    re.IGNORECASE,
)
_DOES_BEST = re.compile(
    r"best (?:describes|matches|fits|represents|captures|answers)\b|fits best\b", re.IGNORECASE
)
_PREDICATES = (
    *(_Predicate(word, _RIGHT, _SUBJECT) for word in ("correct", "right", "best", "answer")),
    _Predicate("most ", _MOST, _SUBJECT),
    _Predicate("best ", _DOES_BEST, _OPTION_SUBJECT),
    _Predicate("fits best", _DOES_BEST, _OPTION_SUBJECT),
    _Predicate("正确", re.compile(r"正确的?(?:答案|选项)?(?:\s{0,3}\Z|[\n。，；,.;！!])"), _ZH_SUBJECT),
)


def last(text: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    """The verdict of the last explicit statement (of several, the last counts), and its rule.

    The verdict is a letter, `letters.CONFLICT` ("the answer is A or B"), or None where nothing is stated.
    """
    low = text.lower()
    if len(low) != len(text):  # only "İ" grows in lower case
        text = text.replace("İ", "I")
        low = text.lower()
    where, verdict, rule = -1, None, "no-answer"
    if (box := low.rfind("boxed{")) >= 0:
        inside = text[box + 6 : box + 300].partition("\n")[0].partition("}")[0]
        if stated := content(inside, choices)[0]:
            where, verdict, rule = box, stated, "boxed"
    for cue in _CUES:
        if found := _after(cue, text, low, where, choices):
            where, verdict = found
            rule = "statement"
    for predicate in _PREDICATES:
        if found := _before(predicate, text, low, where, choices):
            where, verdict = found
            rule = "statement"
    return verdict, rule


def _occurrences(word: str, low: str, floor: int) -> list[int]:
    """Where a word stands behind position `floor`, last first, at most `TRIES` of them."""
    places: list[int] = []
    position = len(low)
    while len(places) < TRIES and (position := low.rfind(word, max(floor, 0), position)) >= 0:
        places.append(position)
    return places


def _after(cue: _Cue, text: str, low: str, floor: int, choices: Mapping[str, str]) -> tuple[int, str] | None:
    """Position and verdict of the last statement that follows a cue and is behind position `floor`."""
    for position in _occurrences(cue.word, low, floor):
        lead = cue.lead.match(text, position)
        if lead is None or lead.end() <= floor:
            continue
        end = lead.end()
        verb = _VERB.search(text, position + len(cue.word), end) is not None
        if cue.needs_verb and not verb and not (cue.word == "option" and _concludes(text, position)):
            continue
        found = at(text, end, choices, firm=cue.word == "answer" and not verb)
        if found is None and cue.text and verb:
            found = begins_with(text[end:], choices, text_end)
        if found is None or (found == CONFLICT and not verb):
            continue
        if not _DENIED.search(text, max(0, position - 48), position):
            return end, found
    return None


def _before(
    predicate: _Predicate, text: str, low: str, floor: int, choices: Mapping[str, str]
) -> tuple[int, str] | None:
    """Position and verdict of the last statement whose subject is a letter and is behind position `floor`."""
    for position in _occurrences(predicate.word, low, floor):
        if not predicate.phrase.match(text, position):
            continue
        match = predicate.subject.search(text, max(0, position - 100), position)
        if match is None or match.start(1) <= floor or (found := choice(match[1], choices)) is None:
            continue
        if not _DENIED.search(text, max(0, match.start() - 48), match.start() + 1):
            return match.start(1), found
    return None


def _concludes(text: str, position: int) -> bool:
    """Whether "option" at this position belongs to a sentence like "So it must be option B"."""
    match = _CONCLUSION.search(text, max(0, position - 100), position)
    return match is not None and _NEGATION.search(match[0]) is None
