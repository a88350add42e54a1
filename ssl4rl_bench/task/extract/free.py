r"""Reads an answer that is not an option letter: an angle, a permutation, a label. It never guesses.

The `parse` function of the caller decides what counts as an answer. This module decides where an answer may
be, as `rules` does for letters. The rules, in order:

| rule | status | the answer was |
|---|---|---|
| `tag-answer` | tag | the whole content of the last well-formed `<answer>` outside `<think>` |
| `tag-phrase` | tag | in that tag, with more: "90 because ...", "The answer is 90." |
| `only-answer` | lenient | the whole visible text: "90", "Answer: 90" |
| `last-line` | lenient | the whole last line |
| `boxed` | lenient | in the last "\boxed{90}" |
| `statement` | lenient | in the last explicit statement: "the answer is 90 degrees." |
| `opening` | lenient | the first line, or its start: "90.", "90 because ..." |
| `open-tag` | lenient | after an `<answer>` that is never closed |
| `thought-tag` | lenient | in a tag at the end of the thinking, with nothing after it |
| `thought-statement` | lenient | stated in the thinking, with nothing after it |
| `conflict` | none, truncated | contradictory: "90 or 180" |
| `refusal` | refusal, truncated | declined |
| `no-answer` | none, truncated | nowhere |
| `failed` | error | never given: the request failed |

What counts as a statement, and which of several statements holds, is decided as for letters (see the
package). If a tag cannot be read (a quoted template), the rules below it decide; if it is contradictory, they
do not. If a reply was cut off, neither its last word nor its thinking is read as an answer. `strict` reads
only a tag whose content is the canonical answer, with no thinking after it. At most `tags.LIMIT` characters
are read.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from ssl4rl_bench.core.types import FinishReason, Status
from ssl4rl_bench.task.extract import Reading, check_extractor, leads, tags
from ssl4rl_bench.task.extract.clean import clean_reply
from ssl4rl_bench.task.extract.moods import NO, Strength, strength_of
from ssl4rl_bench.task.extract.resolve import CONFLICT, Statement, doubted, final, resolve, weighed
from ssl4rl_bench.task.extract.sentences import Sentences, braced

LONGEST = 400
"""The maximum number of characters of a text that is passed to `parse`."""

TRIES = 12
"""The maximum number of statements that are examined, from the end, and of places where each may end."""

CUT = "\N{REPLACEMENT CHARACTER}"
"""Appended to a reply that was cut off, so that its last word ("9" of "90") is not an answer."""

Parse = Callable[[str], str | None]
"""Returns the canonical answer if the whole text, of at most `LONGEST` characters, is one, else None."""

_FreeResult = tuple[str, str]
"""An answer, or `CONFLICT`, and its rule."""
_VERB = (
    r"(?:is|was|would be|should be|must be|will be|has to be)(?![a-z])[ \t]{0,3}[:：]?|[:：=—–]"
    r"|应该是|应为|就是|是|为"
)
_MARK = r"[*_`\"'“”]{0,4}"
_SURE = (
    r"(?:(?:most likely|likely|clearly|probably|definitely|therefore|thus|hence|simply|in the|in|from the)"
    r"\s{1,3}){0,2}"
)
_STATES = (
    r"(?:\s{1,3}(?:to|for|of)\s(?:\w{1,20}[- ]){0,4}?question)?(?:\s{1,3}here)?"
    rf"{_MARK}[ \t]{{0,3}}(?:{_VERB}){_MARK}\s{{0,3}}{_SURE}"
)
_FIRM = re.compile(rf"boxed\{{|(?:(?<![a-z])answer|答案){_STATES}|【答案】[:：]?\s{{0,3}}", re.IGNORECASE)
_PLAIN = re.compile(
    r"(?:\b(?:angle|rotation|order|arrangement|permutation|sequence|pair|label|conclusion|verdict|solution"
    r"|result|crop|part"
    r"|patch|quadrant|position|guess|choice|pick)(?:\s(?:of|between|for)\s(?:\w{1,12}\s){1,4}?(?=is|was"
    r"|must|should))?"
    rf"|(?:顺序|角度|位置|结论|结果|部分)){_MARK}\s?(?:{_VERB}|lies in|comes from|was cut from)"
    rf"\s{{0,3}}{_MARK}{_SURE}"
    r"|\b(?:(?:i|we|i['’]d|i would|i['’]ll|let['’]s)\s(?:choose|pick|select|say|go with|opt for|conclude"
    r"|get|think(?: it is| it['’]s)?)"
    r"|i conclude:|that gives)[\s:,]{1,3}"
    r"|(?:\A|(?<=[\n.!?;,，。]))\s{0,3}(?:(?:but|so|yes|and),?\s)?(?:it|that|this)(?:['’]s|\s(?:is|was"
    r"|must be|has to be|should be))"
    rf"\s{{1,3}}{_SURE}(?:(?:turned|rotated|cut|taken) (?:by|from) )?"
    r"|(?:故选|因此选|所以选|应选|选择?)[:：]?\s?",
    re.IGNORECASE,
)
_LEADS = tuple(
    re.compile(lead + r"(?=[^\s,.$\\])", re.IGNORECASE)
    for lead in (leads.CORRECTED, leads.INSTEAD, leads.CONCLUDED)
)
_LEAD = re.compile(
    rf"{_MARK}#{{0,6}}[ \t]{{0,3}}(?:(?:so|thus|hence|therefore|所以|因此|故)(?![a-z])[,，]?\s{{0,3}})?"
    r"(?:(?:the|my|your|final|correct|right|best|most likely|probably|likely|conclusion|verdict|最终|正确"
    r"|的)(?![a-z])"
    r"[ \t]{0,3}[:：]?\s{0,2}){0,4}"
    rf"(?:(?:answer|答案|conclusion|verdict|result|结论){_STATES}|【答案】[:：]?\s{{0,3}}|(?=\S))",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"[.;!。；！](?=\s|\Z|[\u4e00-\u9fff])|[,，]?\s(?:because|since|as|which|where|but|so|meaning|not|and not"
    r"|rather than|instead of"
    r"|if|unless|though|although|while|here|for the|it is)(?![a-z])"
    r"|[,，]?\s?(?:因为|由于|不是|而不是|如果)|[,，](?=\s?(?:not|they|the|i|it|no|so|and|but|其|容易|不)\b)|\s[-–—]{1,3}\s"
    r"|\s?[(（<\n]",
    re.IGNORECASE,
)
_ALTERNATIVES = (
    re.compile(r"\sor\s|[;|\n；]|[.!。！](?=\s|\Z)|或者?", re.IGNORECASE),
    re.compile(r"\s(?:or|and)\s|[/|,;.!\n，；。、！]|或者?|和", re.IGNORECASE),
)
"""Separators of two answers. Commas are only in the second pattern, because permutations contain them."""
_OR = re.compile(
    r"[\s*_`\"'”)]{0,4}(?:[,，;；/|(（、&+]|\b(?:or|and|maybe|perhaps|possibly|alternatively)\b|或者?|和|也)"
    r"[\s(（]{0,3}(?:(?:or|and|maybe|perhaps|possibly|also|even|else|but|it|could|might|may|be|is|as well"
    r"|the answer|rather"
    r"|alternatively|或者?|和|也|可能|是)(?![a-z])[\s,]{0,3}){0,8}",
    re.IGNORECASE,
)
_OR_LATER = re.compile(
    r"[,，]?\s(?:or|but (?:it )?(?:could|might|may) (?:also )?be|(?:or )?(?:maybe|perhaps|possibly))\s",
    re.IGNORECASE,
)


def read_free(
    text: str, parse: Parse, finish_reason: FinishReason = "stop", extractor: str = "default"
) -> Reading:
    """Reads the answer of a reply to an open question; the answer is the result of `parse`, or None.

    All extractors except "strict" read like "default". Raises `UsageError` for an unknown extractor; no text
    raises an error.
    """
    strict = check_extractor(extractor) == "strict"
    if finish_reason == "error":
        return Reading(None, Status.ERROR, "failed")
    cut = finish_reason == "length"
    text = tags.clip(text)
    if not strict:
        text = clean_reply(text)
    parts = tags.split(text + CUT if cut else text)
    result: _FreeResult | None
    if strict:
        answer = parts.tag.strip() if parts.tag is not None and parts.ordered and not parts.rivals else ""
        result = (answer, "tag-answer") if answer and _whole(answer, parse, lead=False) == answer else None
    else:
        result = _default(parts, parse, cut)
    if result is None:
        from ssl4rl_bench.task.extract import rules  # here because its patterns take 30 ms to compile

        _, status, rule = rules.read_strict(parts.visible, {}, False)
        return Reading(None, Status.TRUNCATED if cut else status, rule)
    answer, rule = result
    if answer == CONFLICT:
        return Reading(None, Status.TRUNCATED if cut else Status.NONE, "conflict")
    return Reading(answer, Status.TAG if rule.startswith("tag-") else Status.LENIENT, rule)


def _default(parts: tags.ReplyParts, parse: Parse, cut: bool) -> _FreeResult | None:
    if parts.tag is not None and not tags.shows_form(parts):
        if parts.rivals:
            return CONFLICT, "tag-phrase"
        if (answer := _content(parts.tag, parse)) is not None:
            return answer, "tag-answer" if _whole(parts.tag, parse) else "tag-phrase"
    if result := _lenient(parts.visible.strip("` \n"), parse, cut):
        return result
    if parts.open_tag is not None and (answer := _whole(parts.open_tag.partition("<")[0], parse)):
        return answer, "open-tag"
    if not parts.thought or cut:
        return None
    tag = tags.closing_tag(parts.thought)
    if tag is not None and (answer := _content(tag, parse)) is not None:
        return answer, "thought-tag"
    held = resolve(sentences := Sentences(parts.thought), _stated(sentences, parse))
    return (held.verdict, "thought-statement") if held else None


def _lenient(text: str, parse: Parse, cut: bool) -> _FreeResult | None:
    if not text:
        return None
    if answer := _whole(text, parse):
        return answer, "only-answer"
    lines = text.split("\n")
    if (answer := _whole(lines[-1], parse)) and not _listed(reversed(lines[:-1]), answer, parse):
        return answer, "last-line"
    sentences = Sentences(text)
    stated = _stated(sentences, parse)
    if cut:
        stated = [item for item in stated if sentences.finished(item.end) or item.rule == "boxed"]
    else:
        first = _opening(sentences, lines, parse)
        if first is not None and not any(item.start < first.end for item in stated):
            stated.append(first)
        stated += final(sentences, stated, lambda start, end: _whole(text[start:end], parse, lead=False))
    held = resolve(sentences, stated)
    if held is None:
        return None if cut or stated else _last_sentence(sentences, parse)
    if doubted(sentences, held.end, cut=cut):
        return None
    return held.verdict, held.rule


def _opening(sentences: Sentences, lines: list[str], parse: Parse) -> Statement | None:
    """Reads the first line or its start, unless it begins a list of answers."""
    answer, end = _phrase(lines[0], parse)
    if answer is None or _denied(lines[0][end:], parse) or _listed(lines[1:], answer, parse):
        return None
    end = min(end, len(lines[0]))
    return Statement(0, end, answer, strength_of(sentences, 0, end, Strength.FIRM), "opening")


def _last_sentence(sentences: Sentences, parse: Parse) -> _FreeResult | None:
    """Reads the only sentence, or a last one that concludes: "So it was turned by 90 degrees."."""
    spans = [(a, b) for a, b in sentences.spans() if sentences.text[a:b].strip()]
    if not spans or len(spans) > 12:
        return None
    start, end = spans[-1]
    text = sentences.text[start:end].strip()
    lead = _SO.match(text)
    if len(spans) > 1 and not lead:
        return None
    answer = parse(text[lead.end() if lead else 0 :].strip(" .!。*")) if len(text) <= LONGEST else None
    if not answer or strength_of(sentences, start, start, Strength.PLAIN) is Strength.VOID or "?" in text:
        return None
    return answer, "statement"


_SO = re.compile(
    r"[\s*_]{0,4}(?:so|thus|hence|therefore|in conclusion|overall|因此|所以|故)[,，:]?\s{0,3}", re.IGNORECASE
)


def _whole(text: str, parse: Parse, *, lead: bool = True) -> str | None:
    """Returns the answer if the whole text is one, or (with `lead`) the whole text after "The answer is"."""
    text = text.strip()
    if not text or len(text) > LONGEST:
        return None
    if (answer := parse(text)) is None and lead and (match := _LEAD.match(text)) and match.end():
        answer = parse(text[match.end() :].strip())
    return answer or None


def _phrase(text: str, parse: Parse) -> tuple[str | None, int]:
    """Returns the longest answer that a text begins with and that ends where a sentence may end, and its end.

    The answer is `CONFLICT` if several are given.
    """
    lead = len(text) - len(text.lstrip())
    text = text.strip()[: LONGEST + 1]
    ends = [match.start() for _, match in zip(range(TRIES), _STOP.finditer(text), strict=False)]
    for end in (len(text), *reversed(ends)):
        if answer := _whole(text[:end], parse):
            several = _differs(text[end:], answer, parse) or _another(text[end:], answer, parse)
            return (CONFLICT if several else answer), lead + end
    return (CONFLICT, lead + len(text)) if _several(text, parse) else (None, 0)


def _content(text: str, parse: Parse) -> str | None:
    """Reads a text that should be only an answer (the content of a tag); may return `CONFLICT`."""
    if len(text) > LONGEST:
        return None
    if answer := _whole(text, parse):
        return answer
    sentences = Sentences(text)
    if held := resolve(sentences, _stated(sentences, parse)):
        return held.verdict
    answer, end = _phrase(text, parse)
    return CONFLICT if answer is not None and _denied(text[end:], parse) else answer


def _several(text: str, parse: Parse) -> bool:
    """Checks whether the parts of a text are different answers."""
    parted = (between.split(text, TRIES) for between in _ALTERNATIVES)
    return any(len({_whole(part, parse, lead=False) for part in parts} - {None}) > 1 for parts in parted)


def _differs(text: str, answer: str, parse: Parse) -> bool:
    """Checks whether a text begins with an answer other than `answer`."""
    firsts = (next(filter(str.strip, between.split(text, TRIES)), "") for between in _ALTERNATIVES)
    return any(_whole(first, parse, lead=False) not in (None, answer) for first in firsts)


def _another(text: str, answer: str, parse: Parse) -> bool:
    """Checks whether another answer follows "or", a slash or a bracket: "(or 180)", ", possibly 180"."""
    text = text[:120].partition("\n")[0]
    for match in (_OR.match(text), _OR_LATER.search(text)):
        if match is None:
            continue
        rest = text[match.end() :]
        for end in (*(stop.start() for stop in islice(_STOP.finditer(rest), 3)), rest.find(")"), len(rest)):
            other = _whole(rest[:end].strip(" )）.,"), parse, lead=False) if end > 0 else None
            if other not in (None, answer):
                return True
    return False


def _denied(text: str, parse: Parse) -> bool:
    """Checks whether the text after an answer denies it: " (incorrect)", " is wrong"."""
    match = NO.match(text)
    if match is None:
        return False
    rest = text[match.end() :]
    return not (match[0].strip(" ,(（").lower() in ("not", "不是") and _phrase(rest, parse)[0])


def _listed(lines: Iterable[str], answer: str, parse: Parse) -> bool:
    """Checks whether the nearest lines begin with other answers, so that answers are only listed or weighed.

    Args:
        lines: the lines, with the nearest one first.
    """
    for marked in islice(filter(str.strip, lines), 3):
        line = marked.strip() if re.match(r"\s*-\d", marked) else marked.strip("-*•·#> \t")
        other = _whole(line, parse)
        if other is None and (match := _WEIGHED.match(line)):
            other = _whole(match[1], parse, lead=False)
        if other is None:
            return False
        if other != answer:
            return True
    return False


_WEIGHED = re.compile(
    r"([^\n]{1,40}?)\*{0,2}(?:\s[-–—]\s|[:：]|\s(?:is|would|does|fits|no|yes)\b|\s[✓✔✗✘❌✅])"
)


def _stated(sentences: Sentences, parse: Parse) -> list[Statement]:
    """Returns the explicit statements of an answer, weighed."""
    text = sentences.text
    items: list[Statement] = []
    for pattern in (_FIRM, _PLAIN, *_LEADS):
        strength = Strength.PLAIN if pattern is _PLAIN else Strength.FIRM
        for match in deque(pattern.finditer(text), TRIES):
            boxed = match[0][-1:] == "{"
            line = text[match.end() : match.end() + LONGEST + 1]
            if boxed:
                inside = braced(line)
                answer, length = _whole(inside, parse), len(inside)
            else:
                answer, length = _phrase(line.partition("\n")[0], parse)
            if answer is None:
                continue
            start = match.end() if pattern in _LEADS else match.start()
            items.append(
                Statement(start, match.end() + length, answer, strength, "boxed" if boxed else "statement")
            )
    return weighed(sentences, sorted(items, key=lambda item: item.end)[-TRIES:])
