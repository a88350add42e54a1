"""Reads an answer that is no option letter: an angle, a permutation, a label. It never guesses.

What counts as an answer is the caller's `parse`; where one may stand is decided here, as `rules` does for letters.
The rules, in order:

| rule | status | the answer was |
|---|---|---|
| `tag-answer` | tag | all of the last well-formed `<answer>` outside `<think>` |
| `tag-phrase` | tag | in that tag, with more: "90 because ...", "The answer is 90." |
| `only-answer` | lenient | all that is visible: "90", "Answer: 90" |
| `last-line` | lenient | all of the last line |
| `boxed` | lenient | in the last "\\boxed{90}" |
| `statement` | lenient | in the last explicit statement: "the answer is 90 degrees." |
| `opening` | lenient | what the first line says, or begins with: "90.", "90 because ..." |
| `open-tag` | lenient | after an `<answer>` that is never closed |
| `thought-tag` | lenient | in the tag that the thinking ends in, with nothing after it |
| `thought-statement` | lenient | stated in the thinking, with nothing after it |
| `conflict` | none, truncated | contradictory: "90 or 180" |
| `refusal` | refusal, truncated | declined |
| `no-answer` | none, truncated | nowhere |
| `failed` | error | never given: the request failed |

A tag that cannot be read (a quoted template) leaves the decision to the rules below it; a contradictory tag does
not. A reply that was cut off answers neither with its last word nor with its thinking. `strict` reads only a tag
whose content is the canonical answer, with no thinking after it. At most `tags.LIMIT` characters are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ssl4rl_bench.extract import Reading, check_extractor, tags
from ssl4rl_bench.types import FinishReason, Status

LONGEST = 400
"""Characters: nothing longer is given to `parse`."""

TRIES = 12
"""How many statements are looked at, from the end, and at how many places each may end."""

CUT = "\N{REPLACEMENT CHARACTER}"
"""Stands at the end of a reply that was cut off, so that its last word ("9" of "90") is no answer."""

Parse = Callable[[str], str | None]
"""Takes a text of at most `LONGEST` characters; returns the canonical answer if all of it is one, else None."""

_Found = tuple[str, str]
"""An answer, or `_CONFLICT`, and its rule."""
_CONFLICT = ""

_VERB = r"(?:is|was|would be|should be|must be|will be)(?![a-z])[ \t]{0,3}[:：]?|[:：=]|应该是|应为|是|为"
_MARK = r"[*_`\"'“”]{0,4}"
_STATES = (
    r"(?:\s{1,3}(?:to|for|of)\s(?:\w{1,20}[- ]){0,4}?question)?(?:\s{1,3}here)?"
    rf"{_MARK}[ \t]{{0,3}}(?:{_VERB}){_MARK}\s{{0,3}}"
    r"(?:(?:most likely|likely|clearly|probably|definitely|therefore|thus|hence|simply)\s{1,3})?"
)
_CUE = re.compile(rf"boxed\{{|(?:(?<![a-z])answer|答案){_STATES}", re.IGNORECASE)
_LEAD = re.compile(
    rf"{_MARK}#{{0,6}}[ \t]{{0,3}}(?:(?:so|thus|hence|therefore|所以|因此)(?![a-z])[,，]?\s{{0,3}})?"
    r"(?:(?:the|my|your|final|correct|right|best|最终|正确|的)(?![a-z])[ \t]{0,3}){0,4}"
    rf"(?:answer|答案){_STATES}",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"[.;!。；！](?=\s|\Z)|[,，]?\s(?:because|since|as|which|where|but|so|meaning|not)(?![a-z])"
    r"|[,，]?\s?(?:因为|由于)|\s[-–—]{1,3}\s|\s?[(（<\n]",
    re.IGNORECASE,
)
_ALTERNATIVES = (
    re.compile(r"\sor\s|[;|\n；]|[.!。！](?=\s|\Z)|或者?", re.IGNORECASE),
    re.compile(r"\s(?:or|and)\s|[/|,;.!\n，；。、！]|或者?|和", re.IGNORECASE),
)
"""What stands between two answers. Commas come second, because they stand inside a permutation."""
_DENIED = re.compile(
    r"(?:\b(?:if|whether|unless|suppose|supposing|assuming|wrong|incorrect|no|not|never|cannot|doubt|nor)"
    r"|n['’]t|不|没|非|如果|若|假如|错误)"
    r"(?:\s{1,3}(?:that|say|think|believe|know|sure|the|my|be|to|correct|right|best|final|likely|an?|is)\b"
    r"|确定|知道|认为|觉得|的|正确){0,5}\s{0,3}\Z",
    re.IGNORECASE,
)


def read_free(
    text: str, parse: Parse, finish_reason: FinishReason = "stop", extractor: str = "default"
) -> Reading:
    """Reads the answer of a reply to an open question; the answer is what `parse` returned, or None.

    Any extractor but "strict" reads as "default" does. Raises `UsageError` for an unknown one, and nothing else
    whatever the text is.
    """
    strict = check_extractor(extractor) == "strict"
    if finish_reason == "error":
        return Reading(None, Status.ERROR, "failed")
    cut = finish_reason == "length"
    text = tags.clip(text)
    parts = tags.split(text + CUT if cut else text)
    found: _Found | None
    if strict:
        answer = parts.tag.strip() if parts.tag is not None and parts.ordered else ""
        found = (answer, "tag-answer") if answer and _whole(answer, parse, lead=False) == answer else None
    else:
        found = _default(parts, parse, cut)
    if found is None:
        status, rule = _nothing(parts.visible)
        return Reading(None, Status.TRUNCATED if cut else status, rule)
    answer, rule = found
    if answer == _CONFLICT:
        return Reading(None, Status.TRUNCATED if cut else Status.NONE, "conflict")
    return Reading(answer, Status.TAG if rule.startswith("tag-") else Status.LENIENT, rule)


def _default(parts: tags.Parts, parse: Parse, cut: bool) -> _Found | None:
    if parts.tag is not None and (answer := _content(parts.tag, parse)) is not None:
        return answer, "tag-answer" if _whole(parts.tag, parse) else "tag-phrase"
    if found := _lenient(parts.visible.strip("` \t\r\n"), parse):
        return found
    if parts.open_tag is not None and (answer := _whole(parts.open_tag.partition("<")[0], parse)):
        return answer, "open-tag"
    if not parts.thought or cut:
        return None
    tag = tags.closing_tag(parts.thought)
    if tag is not None and (answer := _content(tag, parse)) is not None:
        return answer, "thought-tag"
    stated = _stated(parts.thought, parse)
    return (stated[0], "thought-statement") if stated else None


def _lenient(text: str, parse: Parse) -> _Found | None:
    if not text:
        return None
    if answer := _whole(text, parse):
        return answer, "only-answer"
    *before, final = text.rsplit("\n", 3)
    if (answer := _whole(final, parse)) and not _listed(before, answer, parse):
        return answer, "last-line"
    if stated := _stated(text, parse):
        return stated
    first, *after = text.split("\n", 3)
    answer = _phrase(first, parse)
    return (answer, "opening") if answer and not _listed(after[:3], answer, parse) else None


def _whole(text: str, parse: Parse, *, lead: bool = True) -> str | None:
    """The answer if the text is one and no more, or (`lead`) one after "The answer is"."""
    text = text.strip()
    if not text or len(text) > LONGEST:
        return None
    if (answer := parse(text)) is None and lead and (match := _LEAD.match(text)):
        answer = parse(text[match.end() :].strip())
    return answer or None


def _phrase(text: str, parse: Parse) -> str | None:
    """The answer that a text begins with, up to the last place where a sentence may end; or `_CONFLICT`."""
    text = text[: LONGEST + 1].strip()
    ends = [match.start() for _, match in zip(range(TRIES), _STOP.finditer(text), strict=False)]
    for end in (len(text), *reversed(ends)):
        if answer := _whole(text[:end], parse):
            return _CONFLICT if _differs(text[end:], answer, parse) else answer
    return _CONFLICT if _several(text, parse) else None


def _content(text: str, parse: Parse) -> str | None:
    """The answer, `_CONFLICT` or None, of a text that should hold an answer only: a tag's content."""
    if len(text) > LONGEST:
        return None
    if answer := _whole(text, parse):
        return answer
    stated = _stated(text, parse)
    return stated[0] if stated else _phrase(text, parse)


def _several(text: str, parse: Parse) -> bool:
    """Whether the parts of a text are answers that differ."""
    parted = (between.split(text, TRIES) for between in _ALTERNATIVES)
    return any(len({_whole(part, parse, lead=False) for part in parts} - {None}) > 1 for parts in parted)


def _differs(text: str, answer: str, parse: Parse) -> bool:
    """Whether a text begins with an answer, and with another one."""
    firsts = (next(filter(str.strip, between.split(text, TRIES)), "") for between in _ALTERNATIVES)
    return any(_whole(first, parse, lead=False) not in (None, answer) for first in firsts)


def _listed(lines: list[str], answer: str, parse: Parse) -> bool:
    """Whether neighbouring lines are other answers: then the possible answers are only listed."""
    return any(_whole(line.strip("-*•· \t"), parse) not in (None, answer) for line in lines)


def _stated(text: str, parse: Parse) -> _Found | None:
    """The last explicit statement of an answer, or `_CONFLICT`, and its rule."""
    for match in list(_CUE.finditer(text))[: -TRIES - 1 : -1]:
        boxed = match[0][-1] == "{"
        if boxed:
            answer = _whole(_braced(text[match.end() : match.end() + LONGEST]), parse)
        else:
            line = text[match.end() : match.end() + LONGEST + 1].partition("\n")[0]
            answer = _phrase(line, parse)
        if answer is not None and not _DENIED.search(text, max(0, match.start() - 48), match.start()):
            return answer, "boxed" if boxed else "statement"
    return None


def _braced(text: str) -> str:
    """What stands before the brace that closes one opened before the text; "" if there is none."""
    depth = 1
    for i, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if not depth:
            return text[:i]
    return ""


def _nothing(visible: str) -> tuple[Status, str]:
    from ssl4rl_bench.extract import rules  # here, because its patterns take 30 ms to compile

    _, status, rule = rules.read_strict(visible, {}, False)
    return status, rule
