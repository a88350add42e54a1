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
_LINES = re.compile(r"[.,:;!]?\s*\n\s*")
_SEVERAL = re.compile(r"[.!?。]\s|。(?=.)")
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
    r"(?: (?:provided|shown|given))?|so|therefore|thus|hence|definitely|certainly|absolutely|clearly|obviously"
    r"|indeed),?\s(?=yes|no)"
)
_STATED = re.compile(
    rf"(?:{_SUBJECT})?(?P<not>not\s)?(?P<word>true|false|correct|incorrect|right|wrong|untrue)"
    rf"|{_SUBJECT}(?P<plain>yes|no)"
)
_OPENING = re.compile(
    r"(?:(?P<word>yes|yeah|yep|no|nope)(?:[*_\"']{0,3}\s?[,.;:!—–-]{1,2}[*_\"']{0,3}\s{0,2}"
    r"|\s(?=(?:it|they|he|she|there|the|this|that)\s))|(?P<chinese>是的?|对|不是?|否|没有)[,。!]\s?)"
    r"(?P<rest>.*)"
)
_UNSURE = re.compile(
    r"\b(?:but|however|although|though|wait|actually|maybe|perhaps|possibly|depends|sorry|unsure|unclear|unless"
    r"|otherwise)\b|[?]|^(?:and|or|if|only if|when|(?:it|they|this|that|there) (?:might|could|may))\b|但|不过|如果"
)
_NOT_BUT = re.compile(r"(?:\bnot|n['’]t)\b[^.;!?]{1,40}\bbut\b")
"""A correction inside a sentence: "it is not red but blue"."""
_PRONOUN = r"^(?:it|they|that|this|there|he|she|we|you|i)"
_VERB = r"(?:is|are|was|were|does|do|did|has|have|had|can|will)"
_END = r"\s?(?:[.;,!]|\Z)"
_AGAINST = {
    "yes": re.compile(
        rf"\b(?:no|nope){_END}|(?:^|[.;,!—–-]\s?|\bis\s)(?:false|incorrect|wrong|untrue){_END}|^not\b"
        rf"|\bnot (?:true|correct)\b|{_PRONOUN}(?:['’]s|\s{_VERB})(?:\snot|n['’]t){_END}|^(?:不|没)"
    ),
    "no": re.compile(
        rf"\b(?:yes|yeah|yep)\b|{_PRONOUN}\s{_VERB}{_END}|(?:^|\bis\s)(?:true|correct){_END}|^(?:是|对)"
    ),
}
"""Contradictions of each side in the text after it: "Yes, it is not", "No, they are"; not "Yes, it is not red"."""


_ONE = r"(?:yes|yeah|yep|no|nope|true|false)"
_BARE = re.compile(rf"{_ONE}(?:(?:[\s.,;:!…。—–/|&-]|\b(?:and|or|but|while|wait|hmm)\b)+{_ONE})+")
"""Nothing but words of the sides."""
_YES_NO = re.compile(rf"(?:yes|yeah|yep)\b.*(?<!not )(?<!of )(?<!than )(?<![a-z])(?:no|nope){_END}")
_NO_YES = re.compile(rf"(?:no|nope)\b.*(?<!not )(?<!of )(?<!than )(?<![a-z])(?:yes|yeah|yep){_END}")
"""A sentence that begins with one side and has the other at the end of a clause: "yes because no"."""


def _plain(text: str) -> str:
    text = _LATEX.sub(r"\1", unicodedata.normalize("NFKC", text))
    text = _LINES.sub(". ", text.replace("**", "").strip(_DECORATION).casefold())
    return " ".join(text.split())


def parse_yes_no(text: str) -> str | None:
    """Returns "yes" or "no" if the whole text says so, `CONFLICT` for a contradictory sentence, else None.

    "Yes, there is a dog." and "The statement is not true." are read. "Yes and no", "not false" and "No doubt"
    are not, nor is a text of more than `LONGEST` characters. "Yes, but it is red" and "No, it is" are contradictory.
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
    several = _SEVERAL.search(text) is not None
    if _BARE.fullmatch(text) and len({_SIDES[word] for word in re.findall(_ONE, text)}) > 1:
        return CONFLICT
    if not several and (_YES_NO.match(text) or _NO_YES.match(text)):
        return CONFLICT
    match = _OPENING.fullmatch(text)
    if match is None:
        return None
    side = _SIDES.get(match["word"] or match["chinese"], "no")
    rest = _NOT_BUT.sub("", match["rest"])
    if _UNSURE.search(rest) or _AGAINST[side].search(rest):
        return None if several else CONFLICT
    return side
