"""Pure functions that parse a short text as an angle, a permutation, a label or a pair, in canonical form.

A text is an answer only as a whole: "about 90 or 180" and "not top-left" are not answers. The work is
bounded: texts longer than `LONGEST` characters are not parsed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

LONGEST = 400
"""The maximum number of characters of an answer."""

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0e\ufe0f\u20e3"
_SIGNS = str.maketrans(
    {
        # Must come before NFKC, which would turn them into "o", a combining ring and the digit 0.
        **dict.fromkeys("º˚⁰", "°"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys(_INVISIBLE, None),
    }
)
_RAISED = re.compile("[¹²³⁴-⁹⁺⁻₀-₉₊₋]")
"""Raised and lowered digits and signs: NFKC would turn "9²" into "92"."""
_LATEX = (
    (re.compile(r"\^\s?\{?\s?\\(?:circ|degree)(?![a-z])\s?\}?|\\(?:degrees?|circ)(?![a-z])"), "°"),
    (re.compile(r"\\(?:boxed|text|textbf|mathbf|mathrm|left|right|quad)(?![a-z])|\\[,;!:()\[\]]"), " "),
)
_DECORATION = re.compile(r"[*`$\"“”‘’«»「」『』《》(){}\[\]（）【】〈〉⟨⟩]")
_END = " \t\r\n.。,，:;!'_"


def _plain(text: str) -> str | None:
    """Returns the text in lower case without decoration.

    It returns None if the text is too long, or has raised or lowered digits or an ellipsis.
    """
    if len(text) > LONGEST:
        return None
    if not text.isascii():
        text = text.translate(_SIGNS)
        if _RAISED.search(text):
            return None
        text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    if ".." in text or "…" in text:
        return None
    text = text.casefold()
    if "\\" in text:
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    return " ".join(_DECORATION.sub(" ", text).strip(_END).split())


_DEGREES = r"(?:\s?°|\s?度|\s(?:degrees?|degs?)\b|(?:degrees?|degs?)\b)"
_CCW = r"(?:counter|anti)[\s-]?clock[\s-]?wise|ccw|acw|逆时针"
_CW = r"clock[\s-]?wise|cw|顺时针"
_TURN = rf"(?:(?P<{{0}}ccw>{_CCW})|(?P<{{0}}cw>{_CW}))(?![a-z])"
_SUBJECT = r"(?:(?:the|this)\s)?(?:(?:second|2nd)\s)?(?:image|picture|photo|one|it)\s"
_NONE = (
    rf"(?:(?:(?:there\s(?:is|was|has\sbeen)\s|{_SUBJECT}(?:has|had|shows)\s)?"
    r"(?:no|without(?:\sany)?)\s(?:rotation|turn)(?:\s(?:is|was|has\sbeen))?(?:\s(?:applied|made|done|performed))?"
    rf"|(?:{_SUBJECT}(?:(?:is|was|has|has\sbeen)\snot|(?:is|was|has)n['\s]?t)|not)\s(?:been\s)?(?:rotated|turned)"
    rf"|(?:{_SUBJECT}(?:is|was|has\sbeen)\s)?un(?:rotated|turned))(?:\sat\sall)?"
    r"|(?:第二[张幅]?)?(?:图[像片]?|照片|它)?(?:并?没有?|并?未|无)(?:被|经过|发生|进行|任何){0,2}(?:旋转|转动))"
)
"""A statement that there was no rotation. Nothing may come before it, such as "it is not true that"."""
_ANGLE = re.compile(
    r"(?:(?:the|second|rotated|image|picture|it|angle|rotation|degrees?|of|is|was|has|been|rotate|by|a|an|in|about"
    r"|approximately|exactly|direction|旋转了?|角度|为|是)(?![a-z])\s?(?:[:=]\s?)?){0,14}+"
    rf"(?:{_TURN.format('a')}\s?(?:(?:direction|rotation|by|of|旋转了?)(?![a-z])\s?){{0,4}}(?:[:=]\s?)?)?"
    r"(?P<minus>(?:minus|negative)\s)?(?P<number>[+-]?\d{1,6}(?:\.\d{1,6})?|zero(?![a-z]))"
    rf"{_DEGREES}?(?:[\s,]{{0,2}}(?:(?:rotation|rotated|in|the|a)(?![a-z])\s?){{0,4}}{_TURN.format('b')})?"
    r"(?:\s(?:direction|rotation))?(?:\s(?:relative to|compared to|from) the (?:first|original)(?: image| one)?)?"
    rf"(?P<none>[\s,;:-]{{1,3}}(?:(?:i\.e\.?|that is|meaning),?\s)?{_NONE})?"
)
_NO_ROTATION = re.compile(
    rf"(?:(?:so|thus|therefore|hence|that),?\s)?{_NONE}(?:[\s,;:=-]{{1,3}}(?:[+-]?0(?:\.0+)?|zero){_DEGREES}?)?"
)


def angle(content: str) -> str | None:
    """Returns degrees counter-clockwise in [0, 360) as text ("90", "22.5"), or None.

    The text has no sign and no trailing zeros. The function reads "90", "-270", "450", "90.0°", "rotated by
    90 degrees counter-clockwise"; "90 CW" is "270". "No rotation" and "the image is not rotated" are "0".
    """
    text = _plain(content)
    if text and _NO_ROTATION.fullmatch(text):
        return "0"
    match = _ANGLE.fullmatch(text) if text else None
    if match is None or ((match["accw"] or match["acw"]) and (match["bccw"] or match["bcw"])):
        return None
    degrees = Decimal(0 if match["number"] == "zero" else match["number"])
    if match["none"] and degrees % 360:
        return None
    if bool(match["minus"]) != bool(match["acw"] or match["bcw"]):
        degrees = -degrees
    degrees = (degrees % 360 + 360) % 360
    rounded = int(degrees)
    return str(rounded) if degrees == rounded else f"{degrees:f}".rstrip("0")


_LIST_LEAD = re.compile(
    r"(?:(?:the|correct|right|original|order|permutation|sequence|arrangement|list|of|patch|patches|piece|pieces"
    r"|tile|tiles|numbers|is|are)(?![a-z])\s?(?:[:=]\s?)?){1,12}+"
)
_ITEM = r"(?:(?:patch|piece|tile)\s)?(\d{1,6})"
_BETWEEN = r"\s?(?:,\s?and|,|;|、|/|\||-{1,2}>|→|>|-|and|&|\s)\s?"
_LIST = re.compile(rf"{_ITEM}(?:{_BETWEEN}{_ITEM}){{1,143}}")
_NUMBER = re.compile(r"\d+")


def permutation(content: str, n: int) -> str | None:
    """Returns a list of at least two integers as "2,3,1,4", or None.

    It accepts any integers, not only permutations of 1 to n. Numbers may be separated by commas, spaces,
    hyphens, arrows or "and"; for n up to 9, n digits may be adjacent ("2314"). For more than 4 * n numbers
    the result is None.
    """
    text = _plain(content)
    if not text:
        return None
    if lead := _LIST_LEAD.match(text):
        text = text[lead.end() :]
    if n <= 9 and len(text) == n > 1 and text.isdecimal():
        return ",".join(str(int(digit)) for digit in text)
    if not _LIST.fullmatch(text):
        return None
    numbers = _NUMBER.findall(text)
    return ",".join(str(int(number)) for number in numbers) if len(numbers) <= 4 * n else None


_CHINESE = (
    (re.compile("第一[张幅]|原图|图[像片]?|照片|位于|来自|答案|部分|区域|象限|[的在是为：角方边侧部]"), " "),
    *(
        (re.compile(f"{sign}"), f" {word} ")
        for sign, word in zip("左右上下", ("left", "right", "top", "bottom"), strict=True)
    ),
    (re.compile("中[间心央]?"), " center "),
)
"""Translates Chinese words to English ones; a text with other Chinese characters is not a label."""
_SAME = {"upper": "top", "lower": "bottom", "centre": "center", "middle": "center", "central": "center"}
_FILLERS = (
    "the a an in at of from it is was this crop patch image picture view views original second first located taken "
    "comes came answer label quadrant corner part region section area cell side position pair pairs they are"
)
_FILLER = frozenset(_FILLERS.split())
_APART = re.compile(r"[\s_,-]+")
_SYNONYM = re.compile("|".join(_SAME))


def label(content: str, labels: Mapping[str, Sequence[str]] | Sequence[str]) -> str | None:
    """Returns the one label that a text names, in its canonical form, or None.

    Case, hyphens, order ("left top") and filler words ("the top-left corner of the image") are ignored;
    "upper" and "lower" mean "top" and "bottom", "centre" and "middle" mean "center". Chinese words are
    translated ("左上角"). For two labels, or any other word, the result is None.

    Args:
        labels: the canonical forms, or a mapping of each to its aliases.
    """
    text = _plain(content)
    if not text:
        return None
    if not text.isascii():
        for pattern, word in _CHINESE:
            text = pattern.sub(word, text)
    aliases = labels if isinstance(labels, Mapping) else dict.fromkeys(labels, ())
    known = _index(tuple((name, tuple(forms)) for name, forms in aliases.items()))
    words = _words(text)
    for considered in (words, [word for word in words if word not in _FILLER]):
        if hits := known.get(frozenset(considered)) or known.get("".join(considered)):
            return hits[0] if len(hits) == 1 else None
    return None


def _words(text: str) -> list[str]:
    return [word for word in _APART.split(_SYNONYM.sub(lambda match: _SAME[match[0]], text)) if word]


@lru_cache(maxsize=64)
def _index(labels: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[frozenset[str] | str, tuple[str, ...]]:
    """Returns an index that maps the set of words of each form, and the form without gaps, to labels."""
    index: dict[frozenset[str] | str, tuple[str, ...]] = {}
    for name, aliases in labels:
        for form in (name, *aliases):
            words = _words(_plain(form) or "")
            for key in (frozenset(words), "".join(words)):
                index[key] = tuple(dict.fromkeys((*index.get(key, ()), name)))
    return index


_WORD_FILLERS = (
    "the a an is answer false wrong incorrect inaccurate untrue mistaken replaced one word caption "
    "colour color shape place position"
)
_WORD_FILLER = frozenset(_WORD_FILLERS.split())


def word(content: str, words: Sequence[str]) -> str | None:
    """Returns the one of some words that a text names as the false one, or None.

    It reads "Red", "the false word is 'red'", "the colour red is wrong" and "top left" for "top-left". A text that
    names two of the words, such as "red, not blue", is not an answer.
    """
    text = _plain(content)
    if not text:
        return None
    bare = (part.strip("'") for part in re.split(r"[\s,:]+", text))
    return label(" ".join(part for part in bare if part not in _WORD_FILLER), words)


_PLURALS = r"(?:pictures|images|photos|photographs|ones)"
_BOTH = (
    r"(?:(?:they|both(?:\s(?:images|views))?|the\s(?:two\s)?(?:images|views))\s)?"
    r"(?:(?:are|were|come|came|taken)\s){0,2}(?:from\s)?"
)
_PAIR = re.compile(
    rf"{_BOTH}(?:(?P<positive>(?:the\s)?same(?:\s(?:picture|image|photo|photograph))?)"
    rf"|(?P<negative>(?:two\s)?different\s{_PLURALS}|(?:not\sfrom|not)\sthe\ssame\s(?:picture|image|photo|photograph)))"
    r"|(?P<alone>different)"
)


def pair_label(content: str) -> str | None:
    """Returns "positive" or "negative" (whether two views come from one picture), or None.

    In addition to the labels, it accepts "the same picture" and "from different pictures", as in the
    question. The result for "the images are different" is None, because two views of one picture are
    different too.
    """
    if answer := label(content, ("positive", "negative")):
        return answer
    text = _plain(content)
    match = _PAIR.fullmatch(text) if text else None
    if match is None:
        return None
    return "positive" if match["positive"] else "negative"


_PIECE = (
    r"(?:the\s)?(?:(?:piece|patch|part|tile|image|picture)\s(?P<{0}>1|one|2|two)"
    r"|(?P<{0}th>first|1st|second|2nd)(?:\s(?:piece|patch|part|tile|image|picture|one))?)"
)
_RELATION = re.compile(
    rf"(?:{_PIECE.format('of')}\s)?(?P<where>.+?)(?:\s(?:(?:of|from|to)\s)?{_PIECE.format('to')})?"
)
_RELATION_FILLERS = (
    "is was lies lay sits it at in on to the and of from "
    "directly immediately just diagonally located placed side"
)
_RELATION_FILLER = frozenset(_RELATION_FILLERS.split())
_DIRECTIONS = {
    "above": ("top", "up"),
    "below": ("bottom", "down", "under", "beneath"),
    "left": (),
    "right": (),
    **{
        f"{vertical}-{side}": (f"{alias}-{side}",)
        for vertical, alias in (("above", "top"), ("below", "bottom"))
        for side in ("left", "right")
    },
}
_OPPOSITE = {"above": "below", "below": "above", "left": "right", "right": "left"}


def relation(content: str) -> str | None:
    """Returns where piece 1 lies relative to piece 2: "above", "left", "below-right" and so on, or None.

    Both "to the upper left of the second piece" and "piece 2 is below and to the right of piece 1" are
    "above-left". A text that names one piece twice is not an answer.
    """
    text = _plain(content)
    match = _RELATION.fullmatch(text) if text else None
    if match is None:
        return None
    numbers = [match[name] or match[f"{name}th"] for name in ("of", "to")]
    first, second = (number and number in ("1", "one", "first", "1st") for number in numbers)
    if None not in (first, second) and first == second:
        return None
    words = (word for word in _APART.split(match["where"]) if word not in _RELATION_FILLER)
    direction = label(" ".join(words), _DIRECTIONS)
    if direction and (first is False or second is True):
        direction = "-".join(_OPPOSITE[word] for word in direction.split("-"))
    return direction


_CHOICE = re.compile(
    r"(?:(?:the|my|correct|right|candidate|option|choice|letter|number|label|patch|image|picture|is|no\.?)\s){0,5}"
    r"(?P<name>[a-z0-9])"
)


def choice(content: str, names: Sequence[str]) -> str | None:
    """Returns the one name, of a single character, that a text consists of: "b", "(B)" and "patch B" are "B"."""
    text = _plain(content)
    match = _CHOICE.fullmatch(text) if text else None
    return next((name for name in names if match and name.casefold() == match["name"]), None)


_COUNTED = re.compile(r"(\d{1,3})\s([a-z]{3,20}?)s?(?![a-z])|([a-z]{3,20}?)s?\s?[:=]\s?(\d{1,3})(?!\d)")
_JOINED = re.compile(r"(?:[\s,;.]|and|there are|i see|i count)*")


def named_counts(content: str, names: Sequence[str]) -> str | None:
    """Returns the numbers of named things in the order of `names`: "1 square, 3 circles" is "3,1".

    It also reads "circles: 3, squares: 1". Each name must occur once, and nothing else may be counted.
    """
    text = _plain(content)
    if not text or not _JOINED.fullmatch(_COUNTED.sub(" ", text)):
        return None
    counts = {match[2] or match[3]: int(match[1] or match[4]) for match in _COUNTED.finditer(text)}
    if len(_COUNTED.findall(text)) != len(names) or counts.keys() != set(names):
        return None
    return ",".join(str(counts[name]) for name in names)
