"""Reads an option letter where one is expected: in a tag, on a line of its own, after "the answer is".

Every repetition in the patterns is possessive or short, so matching at one place takes bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice

from ssl4rl_bench.task.extract.moods import NO
from ssl4rl_bench.task.extract.options import (
    begins_with,
    choice,
    fold,
    mentions,
    named_by,
    other_choices,
    own_end,
)
from ssl4rl_bench.task.extract.resolve import CONFLICT
from ssl4rl_bench.task.extract.walks import others_named

LONGEST = 1_000
"""The maximum number of characters. A longer tag or line contains more than an answer and is not read."""

LETTER = re.compile(r"([A-Za-zＡ-Ｚａ-ｚ])(?![A-Za-z0-9Ａ-Ｚａ-ｚ]|['’][A-Za-z])")

_OPENERS = (
    r"""[ \t*_`"'“”‘’«‹「『《$(\[{（【〔~#=|•·●▪‣→⇒➔➡∴✅✔☑👉]|<(?=[A-Z]>)"""
    r"""|\\(?:boxed|fbox|text|textbf|mathrm|mathbf)(?![a-z])|\\[(\[]"""
)
GLUE = (
    rf"(?>{_OPENERS}|\s|[:：=】]|[-–—](?![0-9])"
    r"|(?:is|would be|should be|must be|will be|has to be|most likely|likely|clearly|probably|definitely"
    r"|certainly|therefore|thus|hence|then|indeed|simply|just|only|the|letter|option|choice)(?![a-z])"
    r"|['’]s(?![a-z])|选项|选择|应该|应|是|为|选|该|即|就)"
)
"""The text allowed between a cue and its letter; used as `GLUE{0,20}+`."""

_LEAD = re.compile(
    r"(?>(?:my|final|correct|right|best|answer|ans\.?|i think|i believe|i guess|i['’]d say|i would say"
    r"|it is|it['’]s"
    r"|it must be|assistant|response|output|conclusion|verdict|prediction)(?![a-z])"
    rf"|(?:so|thus|hence|therefore)(?![a-z]),?|最终|最后|正确|本题|故|答案|的|项|所以|因此|>|{GLUE}){{0,20}}+",
    re.IGNORECASE,
)
_BULLET = re.compile(
    rf"(?>{_OPENERS}|>|-(?![0-9])){{0,8}}+(?:(?:option|choice)\s|选项)?(?>{_OPENERS}){{0,8}}+", re.IGNORECASE
)
_SEPARATOR = re.compile(
    r"""[ \t]{0,8}[.,:;)\]。，、：；）】|=]{0,2}[*_`"']{0,3}[ \t]{0,8}(?:[-–—]{1,3}[ \t]{1,8})?"""
)
_CLOSERS = re.compile(r"""[*_`"'“”’」』$)\]}）】〕~>]{0,8}""")
_BRACKET = re.compile(r"[)\]}）】]|\*\*")
_TRAILING = " \t\n.,:;!)-–—。，、：；！）]】〕*_\"'`“”’»›」』$}~>=|#\\✅✔☑"

_LINE_END = r"[ \t]{0,8}(?:\Z|\n)"
_STOP = re.compile(
    rf"{_LINE_END}|[.,;:!](?![A-Za-z0-9])|[。，；：！、]|\.(?=[A-Z][a-z])|[ \t]{{1,4}}[-–—]{{1,3}}[ \t]|—"
    rf"|[ \t]{{0,4}}[(（<]"
    r"|\s{1,4}(?:because|since|due to|as it|as the|as is|as shown|which|but|rather than|instead of|and not"
    r"|not|while"
    r"|whereas|given|based on|here|in this case|from|if|unless|when|provided|assuming|however|although"
    r"|so)(?![a-z])"
    r"|[ \t]{0,4}(?:选项|项|因为|由于|吧|而不是|而非|，|如果)",
    re.IGNORECASE,
)
_FIRM_STOP = re.compile(
    rf"{_LINE_END}|[.;:!](?![A-Za-z0-9])|[。；：！]|\.(?=[A-Z][a-z])|,\s(?:not|as|since|because|right)\b"
    r"|\s(?:because|since|here|to me|for sure)\b|[ \t]?(?:吧|了|选项|项)?[ \t]{0,2}(?:\Z|[，。；！\n])"
)
_LOWER_STOP = re.compile(r"[ \t]{0,8}\Z|[.;:](?![A-Za-z0-9])|[。；：]")
_TEXT_STOP = re.compile(
    r"""[*_`"'”’」』$)\]}]{0,4}(?:\s?\Z|[.,;!。，；！](?![a-z0-9])|\s(?:because|since|as|not|rather than"""
    r"""|instead of|if|unless|when|but|and not|so)(?![a-z]))"""
)
_ANY_STOP = re.compile(r"(?![a-z0-9])")
_VERDICT = re.compile(
    r"\s{1,4}(?:is|isn|are|was|can|could|does|would|has|seems|looks|shows|and|or|says|means|describes"
    r"|because)(?![a-z])",
    re.IGNORECASE,
)
_BECAUSE = re.compile(
    r"[,，]?\s{1,4}(?:because|since|as the|as it|i think|i believe|i guess)(?![a-z])|[,，]?\s?因为",
    re.IGNORECASE,
)
_OPENING_WORD = re.compile(
    r"(?:the|this|that|these|those|it|its|in|on|at|by|with|for|to|from|because|since|there|here|based"
    r"|according|looking"
    r"|both|all|none|each|only|one|two|explanation|reason|otherwise|if|should|had|were|when|while|although"
    r"|however|we|he"
    r"|she|they|his|her|you|as|note|not|no|option)(?![a-z])",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"(?=[^A-Za-z])[ \t]{0,4}(?:(?:[,/&;、，|+(]|(?:and|or|maybe|perhaps|possibly|even|also|alternatively|but"
    r"|it|that|could"
    r"|might|may|be|is|as well|rather)(?![a-z])|和|者|或|与|及|也|可能|是)[ \t]{0,4}){0,8}+"
    rf"(?>{_OPENERS}){{0,6}}+(?:(?:option|choice)\s|选项)?(?>{_OPENERS}){{0,6}}+{LETTER.pattern}",
    re.IGNORECASE,
)
_SET_OFF = re.compile(r"\s?[.):：、,=|]|\s[-–—]\s")
_COLON = re.compile(r"\s?[:：]\s?\S|\s[–—-]\s\S")


def only_letter(text: str) -> str | None:
    """Returns the letter of a text with nothing else but words like "Answer:" and punctuation, or None."""
    match = LETTER.match(text, _skip(_LEAD, text))
    if match is None or len(text) - match.end() > 16 or text[match.end() :].strip(_TRAILING):
        return None
    return match[1]


def choice_at(text: str, position: int, choices: Mapping[str, str], *, firm: bool = False) -> str | None:
    """Returns the choice whose letter is at `position`, if the text after it shows that a choice is meant.

    "A." and "(A) because" mean a choice; "A man" does not, unless "man" is the text of option A. `firm`
    requires a full stop or the end of the line. Returns `CONFLICT` if a different choice is named next to it,
    or if a list of the options follows.
    """
    match = LETTER.match(text, position)
    if match is None or (letter := choice(match[1], choices)) is None:
        return None
    lower = match[1].islower()
    end = _skip(_CLOSERS, text, match.end())
    option = {letter: choices[letter]}
    rest = _rest(text, end)
    exact = begins_with(rest, option, text_end) is not None
    named_end = own_end(text, match.start(), _skip(_SEPARATOR, text, end), choices[letter])
    if named_end is not None and another_text(text[named_end : named_end + 200], letter, choices):
        return CONFLICT
    if not exact and _other(text, end, letter, choices):
        return CONFLICT
    stop = _LOWER_STOP if lower else _FIRM_STOP if firm else _STOP
    closed = not firm and _BRACKET.search(text, match.end(), end) and not _VERDICT.match(text, end)
    if closed or stop.match(text, end):
        named = named_by(rest, choices) or (choice(rest, choices) if LETTER.fullmatch(rest) else None)
        if (named and named != letter and not exact) or _echoed(text, end, letter, choices):
            return CONFLICT
        return letter
    if not lower and begins_with(rest, option, _any_end):
        return CONFLICT if _echoed(text, end, letter, choices) else letter
    return None


def answer_end(text: str, start: int, option: str) -> int:
    """Returns the end of an answer that begins at `start`: a letter, and the option's text if it follows."""
    match = LETTER.match(text, start)
    end = match.end() if match else start
    after = _skip(_SEPARATOR, text, _skip(_CLOSERS, text, end)) if match else start
    option_end = own_end(text, start, after, option)
    return end if option_end is None else option_end


def content(text: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    """Reads a text that should be only an answer (the content of a tag); returns the verdict and the rule.

    A letter takes precedence over an option whose text is that letter. A single letter that is not a choice
    is a `CONFLICT`, and so are several answers, and an answer that the text itself denies.
    """
    text = text.strip()
    if text in choices:
        return text, "tag-letter"
    if not text or len(text) > LONGEST:
        return None, "tag-phrase"
    lines, text = text, " ".join(text.split())
    letter = only_letter(text)
    if letter and (held := choice(letter, choices)):
        return held, "tag-letter"
    if held := named_by(text, choices):
        return held, "tag-text"
    if letter:
        return CONFLICT, "tag-phrase"
    start = _skip(_LEAD, text)
    verdict = choice_at(text, start, choices)
    if verdict is None or verdict == CONFLICT:
        return verdict or _text_first(text, choices) or _text_first(text[start:], choices), "tag-phrase"
    return (CONFLICT if crowded(lines, verdict, choices) else verdict), "tag-phrase"


_REJECTED = re.compile(
    r"""[\s:：,，.()（）*_"'”–—-]{0,8}(?:(?:which|that|this|it)\s)?"""
    r"""(?:(?:is|was|would be|seems)\s(?:\w{3,12}ly\s)?)?"""
    r"""(?:no(?!\w)|wrong|incorrect|false|impossible|ruled out|eliminated|cannot be|✗|✘|❌|×|错|不对|不正确"""
    r"""|not (?:shown|visible|right|correct|true|possible|the|it|supported|seen|there))""",
    re.IGNORECASE,
)
"""A verdict against an option, after the text of the option."""


def _text_first(text: str, choices: Mapping[str, str]) -> str | None:
    """Returns the option whose text a tag begins with, if the tag names no other one and denies nothing."""
    answer = begins_with(text, choices, _any_end)
    if answer is None or (not begins_with(text, choices, text_end) and DENIES.search(text)):
        return None
    rest = fold(text)[len(fold(choices[answer])) :]
    if _REJECTED.match(rest) or another_text(rest, answer, choices):
        return CONFLICT
    if rest.startswith((",", ";")) and not _ASIDE.match(rest):
        return None  # the tag is a list of options, or a loop
    return CONFLICT if mentions(rest, other_choices(choices, answer)) and not DENIES.search(rest) else answer


_ASIDE = re.compile(r",\s(?:because|since|as|not|so|which|it|they|the|this|there)\b")
DENIES = re.compile(
    r"\b(?:not|no|never|neither|nor|cannot|or|either|maybe|perhaps|might|could|if|whether|would|wrong"
    r"|incorrect|false)\b"
    r"|n['’]t\b|[?？]|不|没|非|或|错",
    re.IGNORECASE,
)


def crowded(text: str, letter: str, choices: Mapping[str, str]) -> bool:
    """Checks whether a text that opens with a letter denies it, or names another option undenied."""
    start = _skip(_BULLET, text, _skip(_LEAD, text))
    match = LETTER.match(text, start)
    end = match.end() if match else start
    named_end = own_end(text, start, _skip(_SEPARATOR, text, end), choices[letter])
    if _REJECTED.match(text, named_end) if named_end is not None else NO.match(text, end):
        return True
    rest = text[end if named_end is None else named_end :]
    if another_text(rest, letter, choices):
        return True
    if any(named_by(part, choices) not in (None, letter) for part in islice(rest.split("\n"), 12)):
        return True
    return any(named.enumerated or not named.dismissed for named in others_named(rest, letter, choices))


def another_text(rest: str, letter: str, choices: Mapping[str, str]) -> bool:
    """Checks whether two options are offered by their texts, as in "A or B": "a heron or an owl"."""
    for match in islice(_OR.finditer(rest.partition("\n")[0][:120]), 4):
        named = begins_with(rest[match.end() :].lstrip(" (\"'"), choices, _any_end)
        if named not in (None, letter):
            return True
    return False


_OR = re.compile(
    r"(?:\A[\s)\"'”]{0,3}[,;/(（]\s?|\bor\b|/|\band\b|或者?|和)\s?(?:(?:or|and|maybe|perhaps|possibly|also|even|it|could|might"
    r"|may|be)\s){0,4}|\bbut (?:it )?(?:could|might|may) (?:also )?be\s",
    re.IGNORECASE,
)


def line(text: str, choices: Mapping[str, str]) -> str | None:
    """Reads a line that is only a letter, or only a letter with the text of its option."""
    if len(text) > LONGEST:
        return None
    if letter := only_letter(text):
        return choice(letter, choices)
    start = _skip(_LEAD, text)
    match = LETTER.match(text, start)
    if match is None or (held := choice(match[1], choices)) is None:
        return None
    rest = _rest(text, match.end())
    spaced = text[match.end()].isspace()  # the "A" in "A man" may be an article
    named = named_by(text if spaced else rest, choices)
    if named and named != held:
        return None if spaced else CONFLICT
    if begins_with(rest, {held: choices[held]}, lambda folded, end: end == len(folded)):
        return held
    return CONFLICT if len(rest) < 40 and choice_at(text, start, choices) == CONFLICT else None


def opening(text: str, choices: Mapping[str, str]) -> str | None:
    """Returns the choice that a first line opens with ("B) ...", "B. The ...", "B because ..."), or None."""
    start = _skip(_BULLET, text)
    match = LETTER.match(text, start)
    if match is None or match[1] not in choices:
        return None
    letter = match[1]
    end = _skip(_CLOSERS, text, match.end())
    rest = _rest(text, match.end())
    exact = begins_with(rest, {letter: choices[letter]}, text_end) is not None
    if (
        exact
        or (_BRACKET.search(text, match.end(), end) and not _VERDICT.match(text, end))
        or (text[end : end + 1] in (".", "、") and _OPENING_WORD.match(rest))
        or _COLON.match(text, end)
        or (_SET_OFF.match(text, end) and begins_with(rest, {letter: choices[letter]}, _any_end))
        or _BECAUSE.match(text, end)
        or re.match(
            r",?\s(?:not|because|since|as|namely|that is|rather than|instead of)\b"
            r"|,\si\.e\.|[.!]\s?\Z|[.!]?\s\(?(?:not)\b",
            text[end:],
        )
    ):
        return (
            letter
            if choice_at(text, start, choices) != CONFLICT and (exact or not NO.match(text, end))
            else None
        )
    return None


def text_end(line: str, position: int) -> bool:
    """Checks whether an option's text may end here: before a full stop or "because", or at the end."""
    return _TEXT_STOP.match(line, position) is not None


def _any_end(line: str, position: int) -> bool:
    return _ANY_STOP.match(line, position) is not None


def _skip(pattern: re.Pattern[str], text: str, position: int = 0) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _rest(text: str, position: int) -> str:
    """Returns the rest of the line after a letter and the punctuation that sets it off."""
    position = _skip(_SEPARATOR, text, position)
    return text[position : position + LONGEST].partition("\n")[0].rstrip()


def _echoed(text: str, end: int, letter: str, choices: Mapping[str, str]) -> bool:
    """Checks whether an option's text, or a line's end, is followed by the next option in the same form."""
    letter_index = end - 1
    named_end = own_end(text, letter_index, _skip(_SEPARATOR, text, end), choices[letter])
    start = end if named_end is None else named_end
    match = _NEXT_ITEM.match(text, start)
    if match is None or "\n\n" in match[0] or (other := choice(match[1], choices)) is None:
        return False
    order = list(choices)
    if order.index(other) != order.index(letter) + 1:
        return False
    rest = _rest(text, match.end())
    if start == end:
        return not rest
    return begins_with(rest, {other: choices[other].rstrip(" .")}, _any_end) is not None


_NEXT_ITEM = re.compile(
    r"""[*_`"'”.,;)\]]{0,4}(?:\s{1,3}|[，、；]\s{0,2})[*_`"'“(\[–—•-]{0,4}\s?(?:option\s)?([A-Z])(?![A-Za-z0-9])[*_`"'”)\]]{0,4}"""
)


def _other(text: str, position: int, letter: str, choices: Mapping[str, str]) -> bool:
    """Checks whether a second, different choice follows at `position`, as in "A or B"."""
    match = _OTHER.match(text, position)
    if match is None or choice(match[1], choices) in (None, letter):
        return False
    end = _skip(_CLOSERS, text, match.end())
    return _STOP.match(text, end) is not None or _OTHER.match(text, end) is not None
