"""Reads an option letter where one is expected: in a tag, on a line of its own, after "the answer is".

Every repetition in the patterns is possessive or short, so matching at one place takes bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ssl4rl_bench.extract.options import begins_with, named_by

CONFLICT = "?"
"""Verdict on a text that names several answers ("A or B"), or a letter that is no choice."""

LONGEST = 1_000
"""Characters. A longer tag or line holds more than an answer and is not read as one."""

LETTER = re.compile(r"([A-Za-zＡ-Ｚａ-ｚ])(?![A-Za-z0-9Ａ-Ｚａ-ｚ]|['’][A-Za-z])")

_OPENERS = r"""[ \t*_`"'“”‘’「『《$(\[{（【〔~]|\\(?:boxed|text|textbf|mathrm|mathbf)(?![a-z])|\\[(\[]"""
GLUE = (
    rf"(?>{_OPENERS}|\s|[:：=]|[-–—](?![0-9])"
    r"|(?:is|would be|should be|must be|will be|has to be|most likely|likely|clearly|probably|definitely"
    r"|certainly|therefore|thus|hence|then|indeed|simply|just|the|letter|option|choice)(?![a-z])"
    r"|选项|选择|应该|应|是|为|选|该|即|就)"
)
"""What may stand between a cue and its letter; used as `GLUE{0,20}+`."""

_LEAD = re.compile(
    r"(?>(?:my|final|correct|right|best|answer|ans\.?|i think|i believe|it is|it['’]s)(?![a-z])"
    rf"|(?:so|thus|hence|therefore)(?![a-z]),?|最终|最后|正确|答案|的|项|所以|因此|{GLUE}){{0,20}}+",
    re.IGNORECASE,
)
_BULLET = re.compile(
    rf"(?>{_OPENERS}){{0,8}}+(?:(?:option|choice)\s|选项)?(?>{_OPENERS}){{0,8}}+", re.IGNORECASE
)
_SEPARATOR = re.compile(
    r"""[ \t]{0,8}[.,:;)\]。，、：；）】]{0,2}[*_`"']{0,3}[ \t]{0,8}(?:[-–—]{1,3}[ \t]{1,8})?"""
)
_CLOSERS = re.compile(r"""[*_`"'“”’」』$)\]}）】〕~]{0,8}""")
_BRACKET = re.compile(r"[)\]}）】]|\*\*")
_TRAILING = " \t\n.,:;!)-–—。，、：；！）]】〕*_\"'`“”’」』$}~"

_LINE_END = r"[ \t]{0,8}(?:\Z|\n)"
_STOP = re.compile(
    rf"{_LINE_END}|[.,;:!。，；：！、](?![A-Za-z0-9])|[ \t]{{1,4}}[-–—]{{1,3}}[ \t]|—|[ \t]{{0,4}}[(（<]"
    r"|\s{1,4}(?:because|since|due to|as it|as the|which|but)(?![a-z])|[ \t]{0,4}(?:选项|项|因为|由于|吧)",
    re.IGNORECASE,
)
_FIRM_STOP = re.compile(rf"{_LINE_END}|[.;:。；：](?![A-Za-z0-9])")
_LOWER_STOP = re.compile(r"[ \t]{0,8}\Z|[.;:。；：](?![A-Za-z0-9])")
_TEXT_STOP = re.compile(
    r"""[*_`"'”’」』$)\]}]{0,4}(?:\s?\Z|[.;!。；！](?![a-z0-9])|\s(?:because|since)(?![a-z]))"""
)
_ANY_STOP = re.compile(r"(?![a-z0-9])")
_DENIED = re.compile(
    r"\s{1,4}(?:is|isn|are|was|can|could|does|would|has|seems|looks|shows|and|or)(?![a-z])", re.IGNORECASE
)
_BECAUSE = re.compile(r"\s{1,4}(?:because|since)(?![a-z])|\s?因为", re.IGNORECASE)
_OPENING_WORD = re.compile(
    r"(?:the|this|that|these|those|it|in|on|because|since|there|based|according|from|looking|both|explanation"
    r"|reason)(?![a-z])",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"(?=[^A-Za-z])[ \t]{0,4}(?:(?:[,/&;、，|+]|(?:and|or)(?![a-z])|和|或者|或|与|及)[ \t]{0,4}){0,3}+"
    rf"(?>{_OPENERS}){{0,6}}+(?:(?:option|choice)\s|选项)?(?>{_OPENERS}){{0,6}}+{LETTER.pattern}",
    re.IGNORECASE,
)


def choice(letter: str, choices: Mapping[str, str]) -> str | None:
    """The choice that a letter (any case, any width) stands for, or None."""
    if ord(letter) > 0xFF00:
        letter = chr(ord(letter) - 0xFEE0)
    letter = letter.upper()
    return letter if letter in choices else None


def only_letter(text: str) -> str | None:
    """The letter of a text that holds nothing else but words like "Answer:" and punctuation, or None."""
    match = LETTER.match(text, _skip(_LEAD, text))
    if match is None or len(text) - match.end() > 16 or text[match.end() :].strip(_TRAILING):
        return None
    return match[1]


def at(text: str, position: int, choices: Mapping[str, str], *, firm: bool = False) -> str | None:
    """The choice whose letter stands at `position` and is meant as one, judged by what follows it.

    "A." and "(A) because" are meant; "A man" is not, unless "man" is the text of option A. `firm` asks for a
    full stop or the end of the line. Returns `CONFLICT` if a different choice is named beside it.
    """
    match = LETTER.match(text, position)
    if match is None or (letter := choice(match[1], choices)) is None:
        return None
    lower = match[1].islower()
    end = _skip(_CLOSERS, text, match.end())
    own = {letter: choices[letter]}
    rest = _rest(text, end)
    exact = begins_with(rest, own, text_end) is not None
    if not exact and _other(text, end, letter, choices):
        return CONFLICT
    stop = _LOWER_STOP if lower else _FIRM_STOP if firm else _STOP
    closed = not firm and _BRACKET.search(text, match.end(), end) and not _DENIED.match(text, end)
    if closed or stop.match(text, end):
        told = named_by(rest, choices) or (choice(rest, choices) if LETTER.fullmatch(rest) else None)
        return CONFLICT if told and told != letter and not exact else letter
    return letter if not lower and begins_with(rest, own, _any_end) else None


def content(text: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    """The verdict on a text that should be an answer and nothing else (a tag's content), and the rule.

    A letter wins over an option whose text is that letter. A single letter that is no choice is a `CONFLICT`.
    """
    text = text.strip()
    if text in choices:
        return text, "tag-letter"
    if not text or len(text) > LONGEST:
        return None, "tag-phrase"
    text = " ".join(text.split())
    letter = only_letter(text)
    if letter and (found := choice(letter, choices)):
        return found, "tag-letter"
    if found := named_by(text, choices):
        return found, "tag-text"
    return CONFLICT if letter else at(text, _skip(_LEAD, text), choices), "tag-phrase"


def line(text: str, choices: Mapping[str, str]) -> str | None:
    """The verdict on a line that is only a letter, or only a letter with its own option's text."""
    if len(text) > LONGEST:
        return None
    if letter := only_letter(text):
        return choice(letter, choices)
    start = _skip(_LEAD, text)
    match = LETTER.match(text, start)
    if match is None or (found := choice(match[1], choices)) is None:
        return None
    rest = _rest(text, match.end())
    spaced = text[match.end()].isspace()  # "A man" may be an article and not the letter
    told = named_by(text if spaced else rest, choices)
    if told and told != found:
        return None if spaced else CONFLICT
    if begins_with(rest, {found: choices[found]}, lambda folded, end: end == len(folded)):
        return found
    return CONFLICT if len(rest) < 40 and at(text, start, choices) == CONFLICT else None


def opening(text: str, choices: Mapping[str, str]) -> str | None:
    """The choice that a reply's first line opens with ("B) ...", "B. The ...", "B because ..."), or None."""
    start = _skip(_BULLET, text)
    match = LETTER.match(text, start)
    if match is None or match[1] not in choices:
        return None
    found = match[1]
    end = _skip(_CLOSERS, text, match.end())
    rest = _rest(text, match.end())
    if (
        begins_with(rest, {found: choices[found]}, text_end)
        or (_BRACKET.search(text, match.end(), end) and not _DENIED.match(text, end))
        or (text[end : end + 1] in (".", "、") and _OPENING_WORD.match(rest))
        or _BECAUSE.match(text, end)
    ):
        return found if at(text, start, choices) != CONFLICT else None
    return None


def text_end(line: str, position: int) -> bool:
    """Whether a statement's option text may end here: before a full stop or "because", or at the end."""
    return _TEXT_STOP.match(line, position) is not None


def _any_end(line: str, position: int) -> bool:
    return _ANY_STOP.match(line, position) is not None


def _skip(pattern: re.Pattern[str], text: str, position: int = 0) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _rest(text: str, position: int) -> str:
    """What the line says after a letter and the punctuation that sets it off."""
    position = _skip(_SEPARATOR, text, position)
    return text[position : position + LONGEST].partition("\n")[0].rstrip()


def _other(text: str, position: int, letter: str, choices: Mapping[str, str]) -> bool:
    """Whether a second, different choice follows at `position`, as in "A or B"."""
    match = _OTHER.match(text, position)
    if match is None or choice(match[1], choices) in (None, letter):
        return False
    end = _skip(_CLOSERS, text, match.end())
    return _STOP.match(text, end) is not None or _OTHER.match(text, end) is not None
