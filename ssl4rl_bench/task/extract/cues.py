"""Tables of phrases that state an answer: words before it ("the answer is") and after it ("is correct")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from ssl4rl_bench.task.extract.letters import GLUE
from ssl4rl_bench.task.extract.moods import Strength


class Cue(NamedTuple):
    """A word that an answer may follow."""

    word: str
    """The word in lower case, for a plain search."""
    lead_text: str
    """The regular expression of `lead`."""
    needs_verb: bool = False
    """Whether "is" or a colon is required before the answer."""
    text: bool = False
    """Whether the text of the option is accepted as well, after a verb or with a `subject`."""
    strength: Strength = Strength.FIRM
    firm_end: bool = False
    """Whether the letter must end its line or sentence."""
    subject: re.Pattern[str] | None = None
    """A pattern that must match before the word, if given."""

    @property
    def lead(self) -> re.Pattern[str]:
        """A pattern that matches at the word and ends where the letter or the option's text must begin."""
        return _compiled(self.lead_text)


@cache
def _compiled(lead_text: str) -> re.Pattern[str]:
    """Compiles a lead when a reply first has its word: all of them take a tenth of a second."""
    return re.compile(lead_text, re.IGNORECASE)


class Predicate(NamedTuple):
    """A word that says that the letter before it is the answer."""

    word: str
    """The word in lower case, for a plain search."""
    phrase: re.Pattern[str]
    """A pattern that must match at the word."""
    subject: re.Pattern[str]
    """A pattern that must match before the word; its group 1 is the letter."""


def _cues(words: str, before: str = "", *, subject: str = "", **how: Any) -> Iterator[Cue]:
    """Yields a cue for each of the words, which are separated by bars.

    Args:
        before: the pattern of the text between the word and its answer.
        how: other fields of `Cue`.
    """
    for word in words.split("|"):
        end = "(?![a-z])" if word[-1].isascii() else ""
        lead = rf"{word}{end}(?>{before})(?>{GLUE}){{0,20}}+"
        yield Cue(word, lead, subject=re.compile(subject, re.IGNORECASE) if subject else None, **how)


def _predicates(words: str, phrase: re.Pattern[str], subject: re.Pattern[str]) -> Iterator[Predicate]:
    """Returns an iterator over a predicate for each of the words, which are separated by bars."""
    return (Predicate(word, phrase, subject) for word in words.split("|"))


_IS_NEXT = r"\s{1,3}(?=is\b|would\b|should\b|must\b|['’]s\b)"
_QUESTION = (
    r"(?:\s{1,3}(?:choice|option|letter))?"
    r"(?:\s{1,3}(?:to|for|of)\s(?:\w{1,20}[- ]){0,4}?question)?(?:\s{1,3}here)?"
    r"(?:,\s[^,.;?!\n]{1,60},(?=\s(?:is|would|should|must)\b))?"
)
_CLAUSE = rf"(?:\s{{1,3}}(?:that|which|you|we|i)\s[^.;?\n]{{0,140}}?{_IS_NEXT})?"
_LEADING = (
    r"(?:\A|[\n.!?;:,，。；！？—–)]|\b(?:so|thus|hence|therefore|then|and|but|ergo|clearly|obviously|actually"
    r"|now)\b,?)"
    r"[\s*_>#-]{0,6}"
)
_CHOOSER = (
    r"(?:\A|[\n.!?;:,，。；！？*]|\b(?:i|we|i['’]d|i['’]ll|we['’]d|we['’]ll|i['’]m|let['’]s|let us|us|would|will"
    r"|must|should"
    r"|can|could|to|so|thus|then|therefore|hence|and|but|am|are|finally|please|have|best|you|only|now"
    r"|instead|rather)"
    r"(?: (?:definitely|still|now|then|therefore|thus|finally|simply|just))?\s)\s{0,3}\Z"
)
_OPTION_NEXT = r"\s(?=[*_\"'“`(\[{]{0,4}(?:option|choice|letter|answer)\b|[*_\"'“`]{0,3}[(\[])"
_BEST = (
    r"\b(?:the|my|our|only|best|right|correct|appropriate|suitable|final|true|closest|nearest|most likely"
    r"|winning)\s"
)
_PLAIN: Mapping[str, Any] = {"strength": Strength.PLAIN, "firm_end": True}
_ONLY = r"(?:\s(?:only|just))?"
CUES = (
    *_cues("answer", _QUESTION + _CLAUSE, text=True),
    *_cues("ans", r"\.?", needs_verb=True, text=True),
    *_cues("correct", rf"(?:\s{{1,3}}[a-z]{{1,20}}){{1,6}}?{_IS_NEXT}", needs_verb=True, text=True),
    *_cues("correct", r"(?=\s?[:：])", needs_verb=True, subject=_LEADING + r"\Z"),
    *_cues(
        "best", rf"(?:\s(?:description|match|fit|caption|title|one|candidate))?{_IS_NEXT}", needs_verb=True
    ),
    *_cues("option", _CLAUSE, needs_verb=True),
    *_cues("choice", rf"(?:\s{{1,3}}here)?{_CLAUSE}", needs_verb=True),
    *_cues("guess", subject=_CHOOSER, firm_end=True),
    *_cues("left is|remains is", **_PLAIN),
    *_cues("choose|select|pick|go with|opt for|going with|vote for|settle on", text=True, subject=_CHOOSER),
    *_cues("left with", _ONLY, **_PLAIN),
    *_cues("leaves|leaving", rf"(?:\s(?:us|me|you))?(?:\swith)?{_ONLY}", **_PLAIN),
    *_cues(
        "must be|has to be|should be|ought to be",
        text=True,
        subject=r"\b(?:it|that|this|answer|which)\s\Z",
        **_PLAIN,
    ),
    *_cues(
        "matches|described by|consistent with|which is|fits|leads us to|leads me to", _OPTION_NEXT, **_PLAIN
    ),
    *_cues("points to|corresponds to|turns out to be|end up with|ends up with|vote goes to", **_PLAIN),
    *_cues("stand by|settle for|settles it|opting for|lands on|my answer to|answer to be", **_PLAIN),
    *_cues("chosen|picked|mark|tick", subject=_CHOOSER, **_PLAIN),
    *_cues("picking|choosing|selecting", subject=r"\b(?:i am|i['’]m|we are|we['’]re)\s\Z", **_PLAIN),
    *_cues(
        "one|solution|response|guess|pick|winner|bet|fit|statement|caption",
        r"\s(?:is|must be|would be|should be|seems to be)(?:\shence|\sthus|\stherefore|\sclearly)?",
        text=True,
        subject=rf"{_BEST}\Z",
        **_PLAIN,
    ),
    *_cues("holds is|fits is|matches is", **_PLAIN),
    *_cues("i.e.", r",?", **_PLAIN),
    *_cues("gives", subject=r"\b(?:that|this|which)\s\Z", **_PLAIN),
    *_cues("答案", "(?:选项)?", text=True),
    *_cues(
        "antwort|réponse|respuesta|resposta|risposta",
        r"(?:\s(?:correcta|correcte|corretta|richtige))?\s(?:ist|est|es|é|è)",
        firm_end=True,
    ),
    *_cues("respuesta|réponse|antwort|risposta|resposta|정답|정답은|ответ", needs_verb=True),
    *_cues("正解", "は?"),
    *_cues("正确", r"的[^\s，。：是为]{1,8}", needs_verb=True),
    *_cues("选", "(?:[择]|项(?!\\s?[:：]))?"),
    *_cues("而是", strength=Strength.PLAIN),
)
VERB = re.compile(r"(?<![a-z])(?:is|be)(?![a-z])|['’]s\b|[:：=是为】]", re.IGNORECASE)
CONCLUSION = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|consequently|it must be|it is|this is|that is|which is)\b"
    r"|\b(?:it|that)['’]s\b|\bbest (?:matches|fits|corresponds to|described by)\b|所以|因此|故)"
    r"[^.\n;?，。；]{0,80}\Z",
    re.IGNORECASE,
)
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|cannot|wrong|if|eliminate|exclude)\b|n['’]t|不", re.IGNORECASE
)
ZH_UNSURE = re.compile(r"(?:误|错|不|勿|别|未|没|易|会|人|们|想|曾|若|如果|可|能不能|或)\s?\Z")
"""Text directly before 选 that means that the option is not chosen, or is chosen by others."""
ZH_SURE = re.compile(r"(?:只能|应该会|我会|一定会)\s?\Z")

_OPEN = r"""[ \t*_"'“`(\[{$（【<]{0,6}+"""
_SENTENCE_END = (
    r"(?:\s{0,3}\Z|[.,;:!\n)\]*\"”—–](?![a-z0-9])"
    r"|\s(?:because|since|as|while|whereas|and|but|here|in this case)\b|\s[-–—])"
)
_KIND = r"(?:\s(?:answer|option|choice|one|match|description|statement|caption|fit|label|response))?"
_SUBJECT = re.compile(
    r"(?:\A|[\n.!?;:,，。；：*…]|\b(?i:so|thus|therefore|hence|that|think|believe|conclude|say|only|option"
    r"|choice|answer|but"
    r"|then|clearly|guess)\s|(?<![A-Z]\s)\band\s)"
    rf"{_OPEN}(?:(?i:option|choice|answer|letter)\s)?{_OPEN}([A-Z]|(?<=[(（])[a-z])[*_\"'”`)\]}}$）】>.]{{0,6}}+"
    r"\s(?:is|would be|should be|must be|seems|appears|looks|has to be)"
    r"(?: (?:to be|clearly|most|likely|definitely|the|only|therefore|thus|indeed|single|our|my|a|certainly"
    r"|probably"
    r"|actually|obviously|surely|quite|very)){0,4} \Z"
)
_OPTION_SUBJECT = re.compile(
    r"(?:\b(?i:option|choice) [*_(\[]{0,3}|(?:\A|[\n.!?;,] ?|\b(?i:so|thus|therefore|that|think"
    r"|believe) )[*_(\[]{0,3})"
    r"([A-Z])[)\]*_]{0,3} \Z"
)
_DOER = re.compile(
    r"(?:(?:\A|[\n.!?;:,] ?|\b(?i:so|thus|therefore|that|think|believe|conclude|only|yet|but|option|choice"
    r"|nothing but) )[*_(\[]{0,3})"
    r"([A-Z])[)\]*_]{0,3} (?:(?i:clearly|still|really|best|also|only) )?\Z"
)
_DOES = re.compile(
    r"(?:matches|holds|wins|stands|stays|remains|applies|fits|makes (?:the most )?sense|is it)"
    r"(?:\s(?:best|here|well|exactly|perfectly|what we see|the (?:picture|image|scene|photo|description"
    r"|question)(?: best)?))?\s{0,2}(?:\Z|[.!;:\n]|,\s|\s(?:because|since|as)\b)",
    re.IGNORECASE,
)
_IS_WHAT = re.compile(
    r"is (?:true|the one(?: that (?:fits|matches|works))?|what (?:we (?:want|see|need)|fits|matches"
    r"|the (?:picture|image|scene|photo) shows"
    r"|is shown)"
    r"|the only (?:one|option|choice|answer|match)(?: that (?:fits|matches|works))?|the most convincing)"
    r"(?:\shere|\sof (?:the|these) \w+)?\s{0,2}(?:\Z|[.!;\n]|,\s|\sbecause)",
    re.IGNORECASE,
)
_MADE = re.compile(
    r"\b(?i:makes?|making|leaves|find|finds|consider|considers|deem|renders?|calls?) (?i:option "
    r"|choice )?[*_(\[]{0,3}([A-Z])[)\]*_]{0,3} "
    r"(?i:(?:to be |as )?(?:(?:the|our|clearly|most|only|single) ){0,4})\Z"
)
_IT_IS = re.compile(
    r"(?:\A|[\n.!?;:,，。—–]\s{0,3}|\b(?i:so|thus|therefore|then) )(?:(?i:so|then) )?(?:(?i:option"
    r"|choice) )?[*_(\[]{0,3}([A-Z])"
    r"[)\]*_]{0,3} \Z"
)
_ZH_SUBJECT = re.compile(
    r"(?:\A|[\s,，。；;：:(（【*]|选项|所以|因此|故|只有|认为|可知|可见|知道|即|显然)([A-ZＡ-Ｚ])[)）】*]{0,3}\s?(?:选项|项)?\s?才?(?:是|为)?最?\Z"
)
LISTED = re.compile(
    r"(?<![A-Za-z])[A-Z][*_)]{0,2},? (?:and|or|nor) [*_(]{0,2}\Z"
    r"|\b(?i:none|neither|both|all|any|either)(?: of)? (?:[A-Z],? ){1,8}\Z"
)
"""Text before a letter that means that the letter is one of several."""
_RIGHT = re.compile(
    rf"(?:correct|right|best|better|answer){_KIND}(?:\sto\s(?:the|this)\squestion"
    rf"|\shere)?[*_\"'”]{{0,4}}{_SENTENCE_END}",
    re.IGNORECASE,
)
_MOST = re.compile(
    rf"most\s(?:appropriate|suitable|likely|accurate|fitting|plausible|reasonable"
    rf"|correct){_KIND}{_SENTENCE_END}",
    re.IGNORECASE,
)
_DOES_BEST = re.compile(
    r"best (?:describes|matches|fits|represents|captures|answers|explains|completes)\b|fits best\b"
    r"|is the best (?:description|match|fit|answer|choice)\b",
    re.IGNORECASE,
)
PREDICATES = (
    *_predicates("correct|right|best|better|answer", _RIGHT, _SUBJECT),
    *_predicates("most ", _MOST, _SUBJECT),
    *_predicates("best |fits best", _DOES_BEST, _OPTION_SUBJECT),
    *_predicates(
        "matches|holds|stands|stays|remains|applies|fits|makes sense|makes the most sense|is it", _DOES, _DOER
    ),
    *_predicates("is true|is the one|is what|is the only|is the most convincing", _IS_WHAT, _DOER),
    *_predicates("correct|best|answer", _RIGHT, _MADE),
    Predicate("convincing", re.compile("convincing", re.IGNORECASE), _MADE),
    Predicate("it is", re.compile(r"it is(?=\s{0,3}(?:\Z|[.!\n,;]))", re.IGNORECASE), _IT_IS),
    Predicate("正确", re.compile(r"正确的?(?:答案|选项)?(?:\s{0,3}\Z|[\n。，；,.;！!])"), _ZH_SUBJECT),
    Predicate(
        "符合",
        re.compile(r"符合(?:题意|图片|图中|要求|描述)?[^，。；\n]{0,6}(?:\Z|[\n。，；,.;])"),
        _ZH_SUBJECT,
    ),
    Predicate("合适", re.compile(r"合适(?:\Z|[\n。，；,.;])"), _ZH_SUBJECT),
    Predicate("对", re.compile(r"对的(?:\s{0,3}\Z|[\n。，；,.;！!])"), _ZH_SUBJECT),
)
TEXT_RIGHT = re.compile(
    r"[*_\"'”)]{0,4}\s(?:is|would be|must be)\s(?:(?:clearly|most likely|definitely|indeed"
    r"|therefore)\s)?(?:the\s)?"
    r"(?:(?:most\s)?(?:correct|right|best|likely|accurate)(?:\s(?:answer|option|choice|one))?"
    r"|answer)\s?(?:[.!,;]|\Z)",
    re.IGNORECASE,
)
