"""Reads "yes" or "no" from a text; "true" and "correct" mean yes, "false" and "not true" mean no.

VLMEvalKit (`YOrN_Extraction` in `vlmeval/dataset/utils/yorn.py`) reads a reply that has the word "yes" and not
"no", or the reverse, anywhere, and asks a judge model about others. Here, the word must begin the text or be
stated ("the statement is true"), and nothing after it may contradict it.
"""

from __future__ import annotations

import re
import unicodedata

from ssl4rl_bench.task.answers.texts import CUT
from ssl4rl_bench.task.extract.resolve import CONFLICT

LONGEST = 400
"""The maximum number of characters of a text that is parsed."""

_YES = ("yes", "yeah", "yep", "yup", "true", "correct", "right", "是", "是的", "对", "正确")
_NO = ("no", "nope", "nah", "false", "incorrect", "untrue", "wrong", "否", "不是", "不对", "错误")
_SIDES = {**dict.fromkeys(_YES, "yes"), **dict.fromkeys(_NO, "no")}
_SEVERAL = re.compile(r"[.!?]\s|\n")
"""The end of a sentence inside a text. The last of several sentences may state the answer."""
_DECORATION = " \t\r\n.。,，:;!！'\"“”‘’`_*$(){}[]"
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\s?\{([^{}]*)\}")
_SUBJECT = (
    r"(?:(?:so|thus|hence|therefore|overall|in conclusion)(?![a-z])[\s,]{0,2})?"
    r"(?:(?:the|this|that|your|my)\s(?:(?:given|above|final|correct)\s)?"
    r"(?:statement|claim|sentence|description|assertion|answer|conclusion)|it|this|that)"
    r"(?:\s(?:is|was)|['’]s)\s(?:(?:therefore|thus|clearly|indeed|definitely|actually)\s)?"
)
_LEAD = re.compile(
    r"(?:(?:based on|according to|judging from|from|in|looking at) (?:the|this) \w+"
    r"(?: (?:provided|shown|given))?,?|so,?|therefore,?|thus,?|hence,?)\s(?=yes|no)"
)
_STATED = re.compile(
    rf"(?:{_SUBJECT})?(?P<not>not\s)?(?P<word>true|false|correct|incorrect|right|wrong|untrue)"
    rf"|{_SUBJECT}(?P<plain>yes|no)"
)
_OPENING = re.compile(
    r"(?P<word>yes|yeah|yep|no|nope)(?:[*_\"']{0,3}[,.;:!—–-]{1,2}[*_\"']{0,3}\s{0,2}|\s(?=(?:it|they|he|she|there|the|"
    r"this|that)\s)|\n+\s*)(?P<rest>.*)",
    re.DOTALL,
)
_NEGATION = re.compile(
    r"\b(?:no|not|nope|none|never|neither|nor|false|incorrect|cannot|without|wrong)\b|n['’]t\b"
)
_AFFIRMATION = re.compile(r"\b(?:yes|yeah|yep|true|correct)\b")
_UNSURE = re.compile(
    r"\b(?:but|however|although|though|wait|actually|maybe|perhaps|possibly|or|depends|sorry|unsure|unclear"
    r"|if|unless|might|could)\b|[?]"
)


def _plain(text: str) -> str:
    text = _LATEX.sub(r"\1", unicodedata.normalize("NFKC", text))
    return " ".join(text.replace("**", "").strip(_DECORATION).casefold().split())


def parse_yes_no(text: str) -> str | None:
    """Returns "yes" or "no" if the whole text says so, `CONFLICT` for a contradictory sentence, else None.

    "Yes, there is a dog." and "The statement is not true." are read. "Yes and no", "not false" and "No doubt"
    are not, nor is a text of more than `LONGEST` characters. "Yes, but it is not red" is contradictory.
    """
    if len(text) > LONGEST or CUT in text:
        return None
    text = _plain(text)
    if len(text) > 2 * LONGEST:
        return None
    if lead := _LEAD.match(text):
        text = text[lead.end() :]
    if (side := _SIDES.get(text)) is not None:
        return side
    if match := _STATED.fullmatch(text):
        side = _SIDES[match["word"] or match["plain"]]
        if match["not"]:
            return None if side == "no" else "no"
        return side
    match = _OPENING.fullmatch(text)
    if match is None:
        return None
    side, rest = _SIDES[match["word"]], match["rest"]
    if _UNSURE.search(rest) or (_NEGATION if side == "yes" else _AFFIRMATION).search(rest):
        return None if _SEVERAL.search(text) else CONFLICT
    return side
