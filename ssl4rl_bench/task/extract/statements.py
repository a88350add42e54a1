r"""Finds the answer that a text states: "the answer is B", "B is correct", "\boxed{B}", "选B".

`cues` and `leads` define the phrases. `moods` decides how much a statement counts in its sentence, and
`resolve` decides which statement holds.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial

from ssl4rl_bench.task.extract import leads, scan
from ssl4rl_bench.task.extract.cues import (
    CONCLUSION,
    CUES,
    LISTED,
    NEGATION,
    PREDICATES,
    TEXT_RIGHT,
    VERB,
    ZH_SURE,
    ZH_UNSURE,
    Cue,
    Predicate,
)
from ssl4rl_bench.task.extract.letters import another_text, answer_end, choice_at, content, text_end
from ssl4rl_bench.task.extract.moods import FALSELY, Strength, strength_of
from ssl4rl_bench.task.extract.options import begins_with, choice, is_word
from ssl4rl_bench.task.extract.resolve import CONFLICT, Statement, doubted, final, resolve, weighed
from ssl4rl_bench.task.extract.sentences import Sentences, braced

TRIES = 24
"""The maximum number of occurrences of a cue that are examined, from the end of the text."""

MOST = 48
"""The maximum number of statements that are weighed, from the end of the text."""


_LETTER_NEXT = r"(?=[*_\"'“`(\[$<]{0,4}[A-ZＡ-Ｚ](?![A-Za-z]))"
_CORRECTED, _INSTEAD, _CONCLUDED = (
    re.compile(lead + _LETTER_NEXT, re.IGNORECASE)
    for lead in (leads.CORRECTED, leads.INSTEAD, leads.CONCLUDED)
)
_TEXT_CORRECTED, _TEXT_INSTEAD = (
    re.compile(lead + r"(?=[^\s,.])", re.IGNORECASE) for lead in (leads.CORRECTED, leads.INSTEAD)
)
_AT_LAST = re.compile(
    r"(?:[→⇒➔➡]|[-=]>|:|\bwhich means|\bsuggests?|\bindicates?|(?P<asked>[?？]))\s{1,3}(?(asked)(?:Option )?)"
    r"[*_\"'“`(\[$<]{0,4}(?P<letter>[A-Z])[*_\"'”`)\]$>]{0,4}[.!]?\s{0,8}\Z"
)
_ZH_IS = re.compile(
    r"(?:我认为|我觉得|所以|因此|其实|应该|明显|显然|大概|可能|正确的|最合适的|符合[^，。]{1,8}的|发现|那么|不，|就|，|^)(?:应该)?是(?:选项)?\s?"
    r"(?=[*_\"“（(【]{0,3}[A-ZＡ-Ｚ](?![A-Za-z]))|(?:改为|剩下|结论[:：]|结论是"
    r"|改选)\s?(?:选项)?(?=[*_（(]{0,3}[A-ZＡ-Ｚ](?![A-Za-z]))",
    re.MULTILINE,
)
_ZH_WORDS = ("是", "改为", "剩下", "结论", "改选")
_IT_IS_IT = re.compile(
    r"(?:\A|(?<=[\n.!?;,。])|\bbut)\s{0,3}(?:(?:but|and|so|yes|then|now|actually|tells? me"
    r"|i (?:am )?(?:\w+ )?(?:sure|think|believe)),?\s)?"
    r"(?:(?:it|that)(?:['’]s| is| must be| should be| looks like))\s(?:clearly |definitely |therefore "
    r"|still |option )?"
    r"(?=[*_\"'“`(\[$<]{0,4}[A-Z](?![A-Za-z]))",
    re.IGNORECASE,
)
_IT_IS = tuple(
    f"{subject}{verb}"
    for subject in ("it", "that")
    for verb in ("'s", "’s", " is", " must be", " should be", " looks like")
)
_ONLY_ONE = re.compile(
    r"\b(?i:no(?:ne|thing)?|nobody)\b[^.;\n]{0,40}?\b(?:other than|but|except(?: for)?"
    r"|besides)\s(?i:option\s)?"
    r"[*_\"'“`(\[$<]{0,4}([A-Z])(?![A-Za-z])[^.;,\n]{0,60}"
    r"|\b(?i:all|every)\b[^.;\n]{0,40}?\b(?:except(?: for)?|but|besides)\s(?i:option\s)?"
    r"[*_\"'“`(\[$<]{0,4}([A-Z])(?![A-Za-z])[^.\n]{0,12}\s(?:are|is|can be) (?:wrong|incorrect|false"
    r"|ruled out|eliminated|excluded)"
)
_EXCEPT = ("other than", "but", "except", "besides")
_BEFORE_THINK = re.compile(
    r"(?:\A|(?<=[\n.!?]))[\s*_(]{0,4}(?:option\s)?([A-Z])[)*_]{0,3},? (?:i (?:think|guess|believe|would say"
    r"|suppose|say)"
    r"|most likely|probably|definitely|of course|clearly|for sure|without (?:a )?(?:question"
    r"|doubt))(?=\s?(?:[.!\n]|\Z))",
    re.IGNORECASE,
)
_I_THINK = (
    *(f"i {word}" for word in ("think", "guess", "believe", "would say", "suppose", "say")),
    *("most likely", "probably", "definitely", "of course", "clearly", "for sure", "without "),
)


def last(text: str, choices: Mapping[str, str], *, cut: bool = False) -> tuple[str | None, str]:
    """Returns the verdict of the statement that holds, and its rule.

    The verdict is a letter, `resolve.CONFLICT` ("the answer is A or B"), or None if nothing is stated.

    Args:
        cut: whether the text was cut off, so that statements in its last, unfinished sentence do not count.
    """
    held, _ = holding(Sentences(text), choices, cut=cut)
    return (held.verdict, held.rule) if held else (None, "no-answer")


def holding(
    sentences: Sentences, choices: Mapping[str, str], first: Statement | None = None, *, cut: bool = False
) -> tuple[Statement | None, bool]:
    """Returns the statement that holds in a text, or None, and whether anything is stated, even if denied.

    Args:
        first: the answer that the text opens with, if any.
        cut: see `last`.
    """
    stated = sorted(_stated(sentences, choices), key=lambda item: item.end)[-MOST:]
    if cut:
        stated = [item for item in stated if _finished(sentences, item)]
    stated = weighed(sentences, stated)
    if first is not None:
        stated.append(first)
    if not cut:
        stated += final(sentences, stated, partial(_alone, sentences.text, choices))
    held = resolve(sentences, stated)
    if held is None or held.verdict == CONFLICT:
        return held, bool(stated)
    if denied(sentences, held.verdict, choices, held.end) or doubted(sentences, held.end, cut=cut):
        return None, True
    return held, True


_ALONE = re.compile(r"[\s*_\"'“`(\[]{0,6}(?:Option |选项)?[*_(\[]{0,3}([A-Z])[)\]*_\"'”`]{0,4}[.!。\s]{0,4}")


def _alone(text: str, choices: Mapping[str, str], start: int, end: int) -> str | None:
    """Returns the choice if the text between two positions is only its letter, else None."""
    match = _ALONE.fullmatch(text, start, end)
    return choice(match[1], choices) if match else None


def _finished(sentences: Sentences, item: Statement) -> bool:
    """Checks whether a text that was cut off continues far enough to be sure of a statement."""
    return sentences.finished(item.end) or (
        item.rule == "boxed" and sentences.text[item.end : item.end + 1] == "}"
    )


def _stated(sentences: Sentences, choices: Mapping[str, str]) -> Iterator[Statement]:
    """Yields all statements of a text, in no order, with their strength if nothing weakens them."""
    text = sentences.text
    low = text.lower()
    if len(low) != len(text):  # "İ" is the only character that becomes longer in lower case
        low = text.replace("İ", "I").lower()
    plain = scan.plain(low)
    yield from _boxed(text, low, choices)
    for cue in CUES:
        if cue.word in low:
            yield from _after(cue, sentences, low, choices)
    for predicate in PREDICATES:
        if predicate.word in low:
            yield from _before(predicate, sentences, low, choices)
    corrected = list(scan.correcting_starts(plain))
    concluded = list(scan.concluding_starts(plain))
    instead = scan.has_instead(plain)
    yield from _bare(scan.last_matches(_CORRECTED, text, corrected, TRIES), text, choices)
    if instead:
        yield from _bare(_INSTEAD.finditer(text), text, choices)
    yield from _bare(scan.last_matches(_CONCLUDED, text, concluded, TRIES), text, choices)
    if scan.contains(plain, _IT_IS):
        yield from _bare(_IT_IS_IT.finditer(text), text, choices, Strength.PLAIN)
    if scan.contains(text, _ZH_WORDS):
        yield from _bare(_ZH_IS.finditer(text), text, choices, Strength.PLAIN)
    match = _AT_LAST.search(text, max(0, len(text) - 60))
    if match and (letter := choice(match["letter"], choices)):
        words = text[max(0, match.start() - 200) : match.start()].rpartition("\n")[2].split()
        if len(words) >= 3:
            yield Statement(match.start() + 1, match.end(), letter, Strength.WEAK)
    if scan.contains(text, _EXCEPT):
        for match in deque(_ONLY_ONE.finditer(text), TRIES):
            if letter := choice(match[1] or match[2], choices):
                yield Statement(match.start(), match.end(), letter, Strength.PLAIN)
    if scan.contains(plain, _I_THINK):
        for match in deque(_BEFORE_THINK.finditer(text), TRIES):
            if (letter := choice(match[1], choices)) and match[1].isupper():
                yield Statement(match.start(1), match.end(), letter, Strength.FIRM)
    yield from _texts(sentences, low, choices)
    leading = scan.last_matches(_TEXT_CORRECTED, text, corrected, TRIES)
    for match in (*leading, *(deque(_TEXT_INSTEAD.finditer(text), TRIES) if instead else ())):
        if letter := begins_with(text[match.end() : match.end() + 200], choices, text_end):
            end = answer_end(text, match.end(), choices[letter])
            yield Statement(match.end(), end, letter, Strength.FIRM)


def _boxed(text: str, low: str, choices: Mapping[str, str]) -> Iterator[Statement]:
    for start in _occurrences("boxed{", low):
        inside = braced(text[start + 6 : start + 300])
        if verdict := content(inside, choices)[0]:
            yield Statement(start, start + 6 + len(inside), verdict, Strength.FIRM, "boxed")


def _occurrences(word: str, low: str) -> list[int]:
    """Returns the positions of a word, the last one first, at most `TRIES` of them."""
    places: list[int] = []
    position = len(low)
    while len(places) < TRIES and (position := low.rfind(word, 0, position)) >= 0:
        places.append(position)
    return places


def _after(cue: Cue, sentences: Sentences, low: str, choices: Mapping[str, str]) -> Iterator[Statement]:
    """Yields the statements that follow a cue."""
    text = sentences.text
    for position in _occurrences(cue.word, low):
        if cue.word.isascii() and text[position - 1 : position].isalpha() and text[position - 1].isascii():
            continue
        lead = cue.lead.match(text, position)
        if lead is None or (cue.subject and not cue.subject.search(text, max(0, position - 40), position)):
            continue
        end = lead.end()
        verb = VERB.search(text, position + len(cue.word), end) is not None
        if cue.needs_verb and not verb and not (cue.word == "option" and _concludes(text, position)):
            continue
        if cue.word == "选" and (_not_chosen(text, position) or _is_item(text, position, end)):
            continue
        firm = cue.firm_end or (cue.word == "answer" and not verb)
        verdict = choice_at(text, end, choices, firm=firm)
        if verdict is None and cue.text and (verb or cue.subject):
            back = end - 1 if text[end - 1 : end] == "$" else end
            verdict = begins_with(text[back:], choices, text_end) or begins_with(
                text[end:], choices, text_end
            )
            if verdict and another_text(
                text[answer_end(text, end, choices.get(verdict, "")) :], verdict, choices
            ):
                verdict = CONFLICT
        if verdict is None or (verdict == CONFLICT and not verb):
            continue
        yield Statement(position, answer_end(text, end, choices.get(verdict, "")), verdict, cue.strength)


def _is_item(text: str, position: int, end: int) -> bool:
    """Checks whether 选项 and a letter begin an item of a list, such as "选项A：红色"."""
    return text.startswith("选项", position) and _ITEM_END.match(text, end) is not None


_ITEM_END = re.compile(r"[A-ZＡ-Ｚ]\s?[:：.、)）]?\s?[^\s。！!.*\"”）)】]")


def _not_chosen(text: str, position: int) -> bool:
    """Checks whether the text before 选 says that the option is not chosen, or is chosen by others."""
    unsure = ZH_UNSURE.search(text, max(0, position - 4), position)
    return unsure is not None and not ZH_SURE.search(text, max(0, position - 5), position)


def _before(
    predicate: Predicate, sentences: Sentences, low: str, choices: Mapping[str, str]
) -> Iterator[Statement]:
    """Yields the statements whose subject is a letter."""
    text = sentences.text
    for position in _occurrences(predicate.word, low):
        phrase = predicate.phrase.match(text, position)
        if not phrase:
            continue
        match = predicate.subject.search(text, max(0, position - 100), position)
        if match is None or (letter := choice(match[1], choices)) is None:
            continue
        if LISTED.search(text, max(0, match.start(1) - 40), match.start(1)):
            continue
        yield Statement(match.start(1), position + len(predicate.word), letter, Strength.PLAIN)


def _bare(
    matches: Iterable[re.Match[str]],
    text: str,
    choices: Mapping[str, str],
    strength: Strength = Strength.FIRM,
) -> Iterator[Statement]:
    """Yields the statements that consist of only a word of conclusion or correction and a letter."""
    for match in deque(matches, TRIES):
        place = _OPENING.match(text, match.end())
        start = place.end() if place else match.end()
        if verdict := choice_at(text, start, choices, firm=True):
            yield Statement(match.end(), start + 1, verdict, strength)


_OPENING = re.compile(r"[*_\"'“`(\[$<]{0,4}")


def _texts(sentences: Sentences, low: str, choices: Mapping[str, str]) -> Iterator[Statement]:
    """Yields statements like "below the dog is correct": a sentence that begins with an option's text."""
    for start, end in deque(sentences.spans(), 4 * TRIES):
        if not any(low.find(word, start, end) >= 0 for word in ("correct", "answer", "right", "best")):
            continue
        sentence = _SO_LEAD.sub("", _MARKS.sub("", sentences.text[start:end]))
        if letter := begins_with(sentence, choices, _is_right):
            yield Statement(start, end, letter, Strength.PLAIN)


_MARKS = re.compile(r"\A(?:[\s*_\"'“>#]|-(?!\d)){1,8}")
_SO_LEAD = re.compile(r"\A(?:so|therefore|thus|hence),?\s", re.IGNORECASE)


def _is_right(line: str, position: int) -> bool:
    return TEXT_RIGHT.match(line, position) is not None


def _concludes(text: str, position: int) -> bool:
    """Checks whether "option" at this position belongs to a sentence like "So it must be option B"."""
    match = CONCLUSION.search(text, max(0, position - 100), position)
    return match is not None and NEGATION.search(match[0]) is None


def denied(sentences: Sentences, letter: str, choices: Mapping[str, str], position: int) -> bool:
    """Checks whether the text after a position says that a letter is not the answer."""
    text = sentences.text
    if (option := choices[letter].rstrip(" .。").lower()) and len(text) == len(low := text.lower()):
        place = position
        for _ in range(TRIES):
            place = low.find(option, place)
            if place < 0:
                break
            before, place = low[max(0, place - 1) : place], place + len(option)
            if not is_word(before) and FALSELY.match(text[place : place + 80]):
                return True
    for match in deque(_denial(letter).finditer(text, position), TRIES):
        strength = strength_of(sentences, match.start(), match.end(), Strength.FIRM)
        if strength > Strength.VOID:
            return True
    return False


@lru_cache(maxsize=64)
def _denial(letter: str) -> re.Pattern[str]:
    here = rf"(?<![A-Za-z0-9]){letter}(?![A-Za-z0-9'’])"
    return re.compile(
        rf"{here}[*_\"'”`)\]]{{0,4}}\s(?:(?:is|was|seems|would be|must be)(?:\s(?:clearly|obviously"
        rf"|definitely|also|actually))?\s"
        rf"(?:not (?:correct|right|the|true)|wrong|incorrect|false|ruled out|eliminated|impossible|out\b)"
        rf"|(?:isn|can|cannot|couldn)['’]?t? (?:be )?(?:the (?:answer|correct|right)|correct|right|true"
        rf"|it\b))"
        rf"|(?<=[.!?\n] )(?:no, )?not (?:option )?[(*]{{0,2}}{here}(?=\s?[.,;!)*\n]|\Z)|(?<=[。！])(?:不是|不选"
        rf"|并非){here}"
        rf"|{here}\s?(?:选项|项)?\s?是?(?:错|不对|不正确|错误)"
    )
