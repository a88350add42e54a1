"""Decides what a sentence does with an answer that it names: state, deny, suppose, report or question it.

It is used for letters (`statements`) and for open answers (`free`).
"""

from __future__ import annotations

import re
from enum import IntEnum

from ssl4rl_bench.task.extract.sentences import Sentences


class Strength(IntEnum):
    """How much a statement counts compared with others."""

    VOID = 0
    """Denied, supposed, asked, quoted or reported: not a statement."""
    WEAK = 1
    """"The answer would be A", or a statement about another case: counts if nothing else is stated."""
    PLAIN = 2
    """"B is correct", "this matches option B": counts if all such statements agree."""
    FIRM = 3
    """"The answer is B": the last one counts, if it corrects or concludes those before it."""


_CLAUSE = re.compile(
    r"[,，、:：—–()（）]|\s-\s"
    r"|\b(?:but|so|thus|hence|therefore|while|whereas|because|since|which|meaning|leaving|yet|and)\b"
    r"|所以|因此|但是?|而是?|故",
    re.IGNORECASE,
)
_COMMA_THAT = re.compile(r"[,，]\s?that\s(?:\w{1,12}\s){0,4}\Z", re.IGNORECASE)
"""A negation may come before a parenthesis: "It is false, I think, that the answer is A"."""
_NOT_NEGATIVE = re.compile(
    r"\b(?:do|does|did|can) ?n[o'’]t (?:doubt|deny)\b|\b(?:none|no one|nothing) (?:other|but|else)\b"
    r"|\b(?:no|little|without(?: a| any)?) (?:doubt|question|hesitation)\b|\bundoubtedly\b|\bnot (?:only"
    r"|surprisingly)\b"
    r"|\bif (?:i am |i['’]m )?not mistaken\b|毫无疑问|无疑|不难|不仅|没错|不用说|无误",
    re.IGNORECASE,
)
NEGATIVE = re.compile(
    r"\b(?:not|never|neither|nor|no|nobody|nothing|none|cannot|hardly|scarcely|unlikely|improbable|false"
    r"|falsely|untrue"
    r"|incorrect|incorrectly|wrong|wrongly|mistaken|mistakenly|erroneous|erroneously|mistakes?|errors?"
    r"|doubts?"
    r"|doubtful|den(?:y|ies|ied)|rejects?|rejected|refutes?|disputes?|disagrees?|refuses?|fallacy"
    r"|misconception|myth"
    r"|impossible|absurd|nonsense|lie|avoid|told|asked|tempt(?:ed|ing)?|trap|distractors?|pitfall|contrary"
    r"|far from"
    r"|fails?|instead of|rather than|except|anything but|eliminates?|excludes?|ignore|disregard|forget"
    r"|discard|skip)\b|n['’]t\b"
    r"|不|没|非|未|勿|别|误|错|否认|怀疑|假的|难以|难说|不好说|收回|撤回|排除",
    re.IGNORECASE,
)
_LOOKING = (
    r"(?:look|see|view|examin|consider|compar|count|analy|observ|inspect|zoom|check|read|judg|evaluat"
    r"|combin|tak"
    r"|go(?:ing)? by|focus|pay|trust|follow|think about|study|recall|put together)"
)
_FINE_IF = re.compile(
    rf"\b(?:if|when|once|whenever|as)\s(?:(?:we|you|one|i)\s(?:(?!had|were|could"
    rf"|would)\w+\s){{0,2}}?)?{_LOOKING}\w*"
    r"|\bif (?:i am|i['’]m|i was|we are) (?:not|correct|right|forced|to|asked)\b|\bif (?:you ask me"
    r"|anything|so)\b"
    r"|\bunless i(?: am|['’]m) (?:mistaken|wrong)\b"
    r"|\bif i (?:had|have) to (?:choose|pick|guess|decide|answer|say|select|bet|name)\b|\b(?:as|even) if\b",
    re.IGNORECASE,
)
_IF = re.compile(
    r"\b(?:if|unless|suppos(?:e|ing|ed)|assum(?:e|ing)|imagin(?:e|ing)|pretend|hypothetically|otherwise"
    r"|when|whenever"
    r"|whether|in that case|were it|provided that|in case)\b"
    r"|(?:\A|[,;:.—(])\s{0,3}(?:(?:and|but|or) )?(?:had|were|should)\s"
    r"(?:the|it|this|that|there|we|you|i|he|she|they|its|an?)\b"
    r"|如果|若|假如|假设|假使|倘若|要是|除非|否则|万一|即使|即便|的话",
    re.IGNORECASE,
)
_IF_AFTER = re.compile(
    r"\b(?:if|unless|provided|assuming|supposing|whenever|as long as|in case|when)\b"
    r"|[,\s](?:had|were)\s(?:the|it|this|that|there|we|you)\b|如果|的话",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\b(?:although|though|whereas|while|however|so|but)\b(?! only)|\band (?:the|it|if)\b|但|虽然",
    re.IGNORECASE,
)
"""Words after a statement that begin another one."""
_NEW_CLAUSE = re.compile(
    r"\b(?:but|however)\b|[,，]\s?(?:so|therefore|thus|hence)\b|但是?|不过|其实|实际上|仔细看|所以|因此",
    re.IGNORECASE,
)
_WOULD = re.compile(r"\b(?:would|could|might|may)\b|['’]d\b|就会|可能", re.IGNORECASE)
_FIRST_PERSON = re.compile(
    r"\b(?:i|we|i['’]d|we['’]d)\s{0,2}(?:would\s{0,2})?(?:say |guess |think )?\Z", re.IGNORECASE
)

_OTHERS = (
    r"\b(?:some|somebody|someone|others?|another|people|many|most|few|they|he|she|students?|annotators?"
    r"|users?"
    r"|readers?|viewers?|observers?|teachers?|friends?|colleagues?|critics?|models?|captions?|signs?"
    r"|labels?|texts?"
    r"|notes?|hints?|articles?|authors?|books?|guess(?:es)?|assistants?|reviewers?|experts?|everyone"
    r"|everybody"
    r"|anyone|anybody|one|you(?: may| might| could| would)?)\b"
)
_REPORTS = (
    r"\b(?:say|says|said|saying|think|thinks|thought|believe[sd]?|claim(?:s|ed|ing)?|argue[sd]?|suggest(?:s"
    r"|ed|ing)?"
    r"|answer(?:s|ed)?|choose|chooses|chose|pick(?:s|ed)?|guess(?:es|ed)?|assume[sd]?|expect(?:s|ed)?"
    r"|conclude[sd]?"
    r"|writes?|wrote|state[sd]?|insist(?:s|ed)?|reads?|select(?:s|ed)?|respond(?:s|ed)|replie[sd]|voted?"
    r"|told|tells?"
    r"|misread|confuse[sd]?)\b"
)
_REPORTED = re.compile(
    rf"{_OTHERS}[^,.;:\n]{{0,40}}?{_REPORTS}[\s:,\"“'‘「]{{0,4}}(?:(?:that|it|is|the|an?|my|correct|right"
    rf"|best|final"
    r"|likely|option|for|with|on|as)\s{1,2}[\"“'‘]?){0,6}\Z"
    rf"|{_OTHERS}\s(?:(?:may|might|could|would|will|often|usually|sometimes|commonly|mistakenly|even|also"
    rf"|be tempted to"
    r"|tend to|tempted to|people|students|models|of \w+)\s){0,4}\Z"
    r"|\b(?:says|claims|thinks|believes|argues|insists|wrote|guesses|claimed|said|thought|believed|argued"
    r"|insisted"
    r"|it reads)[\s:,\"“'‘「]{0,4}(?:(?:in the \w+|that|it|is|the"
    r"|correct|right|best|final|option)\s{1,2}[\"“'‘]?){0,6}\Z"
    r"|\baccording to (?:some|others?|my|him|her|them|an?|most|you|the (?:other|previous|first|second|label"
    r"|caption|sign"
    r"|text|article|user|student|author|key|note|model|assistant|teacher))\b"
    r"|\b(?:at first|initially|originally)\b(?:(?!\b(?:but|now|however)\b)[^.;\n]){0,80}\Z"
    r"|\bi (?:had |first |initially |originally )*(?:thought|said|considered|assumed|guessed|believed|wrote"
    r"|answered"
    r"|was going to|was about to|almost|nearly|used to)\b"
    r"|\b(?:common|typical|usual|popular|frequent|obvious|naive|first|initial|earlier|previous|former|other"
    r"|alternative|second|next)"
    r" (?:wrong )?(?:answer|choice|guess|mistake|error|response|thought|instinct|impression|reaction)?\s?\Z"
    r"|有人|有的人|你可能|很多人|许多人|不少人|(?:他|她|他们|人们|大家|同学|学生|老师)(?:们)?(?:都|常|就|也)?(?:会|可能|说|认为|觉得|以为|选)"
    r"|原来|之前|先前|本来|乍一看|起初|一开始|最初|以为|曾经?(?:认为|选)|容易(?:误|错|选|被|认为)|题目说|据说",
    re.IGNORECASE,
)
_REPORTED_AFTER = re.compile(
    rf"\A[\"'”’)*_.,，—–(\s]{{0,6}}(?:as )?{_OTHERS}[^.;\n]{{0,40}}?{_REPORTS}"
    r"|\A[\"'”’)*_,，\s]{0,6}(?:was my (?:first|initial)|is what (?:i|some|many|most|you|they|people)\b"
    r"|(?:according to|says?|said)\s(?:some|others?|him|her|them|many|most|people|the)\b)",
    re.IGNORECASE,
)
FALSE = (
    r"(?:wrong|incorrect|false|untrue|mistaken|impossible|ruled out|eliminated|excluded|invalid|misleading"
    r"|unlikely"
    r"|inaccurate|out\b|nonsense|no longer|an? (?:common |wrong )?(?:mistake|trap|distractor|lie|error"
    r"|answer)"
    r"|the wrong|not (?:right|correct|true|possible|it\b|valid|the (?:right|correct|best|answer|case)"
    r"|an? (?:right|good)))"
)
FALSELY = re.compile(
    r"""\A["'”’)*_\]}.\s]{0,6}(?:[,，:：—–-]\s{0,2}|\(\s?|（)?(?:(?:and|but|which|that|this|it)\s)?"""
    r"""(?:(?:is|was|are|seems?|sounds|would be|cannot be|could be|looks|['’]s)\s)?"""
    rf"""(?:(?:clearly|obviously|simply|also|definitely|just|plainly|certainly|probably|likely)\s)?{FALSE}"""
    r"""|\A["'”’)*_\]}.\s]{0,6}(?:isn|wasn|can|doesn|won|couldn|wouldn)['’]?t (?:be )?"""
    r"""(?:right|correct|true|it|the|be)\b"""
    r"|\A[\"'”’)*_\]}.\s]{0,6}(?:选项|项|这|是|，|,|\s)?(?:是)?(?:错|不对|不正确|误)",
    re.IGNORECASE,
)
_SCOPE = re.compile(
    r"\A\W{0,6}(?:(?:and|but|so|now|then|however|also|similarly|likewise),?\s)?"
    r"(?:in|for|with|from|under|at|by|viewed|seen|on|after|before|turned|flipped|mirrored|without)\b",
    re.IGNORECASE,
)
_OPEN_SCOPE = re.compile(
    r"\A\W{0,6}(?:(?:and|but|so|now|then|however|also),?\s)?"
    r"(?:in (?:conclusion|summary|short|fact|the end|this (?:case|image|picture|question|context)"
    r"|my (?:opinion|view)"
    r"|light of|view of|other words|general|total|essence"
    r"|(?:the|this) (?:given |provided |original )?(?:image|picture|photo|question))"
    r"|from (?:the|this|these|what|left|my|all)|for (?:this|that|these|the (?:given|above)|all|the reasons?"
    r"|the question)"
    r"|with (?:this|that|these|all|no doubt)|under (?:these|this)|at (?:a closer|closer|second|this|last)"
    r"|by (?:elimination|process|the|looking|comparing|counting|exclusion)"
    r"|on (?:closer|second|further|careful|balance|the whole)"
    r"|after (?:look|check|examin|review|analy|all|consider|compar|careful|a |re)\w*"
    r"|without (?:a |any )?(?:doubt|question|hesitation))",
    re.IGNORECASE,
)
_QUOTES = re.compile(r'["“”「」『』]')
_KEY = re.compile(r'\w{1,20}"')
"""A word that is in quotation marks alone, such as a key in JSON."""


def strength_of(sentences: Sentences, start: int, end: int, asserted: Strength) -> Strength:
    """Returns the strength `asserted`, or a lower one if the sentence around the statement weakens it.

    Args:
        start: the position where the cue of the statement begins.
        end: the position after its answer.
    """
    before, after = sentences.before(start), sentences.after(end)
    within = sentences.text[start:end]
    here = last_clause(before)
    if _THEN.match(here) and _IF.search(sentences.previous(start)):
        return Strength.VOID
    if (
        "?" in after
        or "？" in after
        or conditional(before, here, after, _WOULD.search(within) is not None)
        or negated(before, here)
        or FALSELY.match(after)
        or _REPORTED.search(here)
        or _REPORTED_AFTER.match(after)
        or _quoted(before, within)
    ):
        return Strength.VOID
    if _SCOPE.match(here) and not _OPEN_SCOPE.match(here):
        return min(asserted, Strength.WEAK)
    if _WOULD.search(within) and not _FIRST_PERSON.search(before):
        return min(asserted, Strength.WEAK)
    return asserted


_THEN = re.compile(r"\W{0,4}(?:and |but )?then\b|\W{0,4}(?:那么|则)", re.IGNORECASE)
"""Words that continue a supposition in the previous sentence."""


def last_clause(before: str) -> str:
    """Returns the part of `before` after the last word that begins a new statement ("but", ", so")."""
    start = 0
    for match in _NEW_CLAUSE.finditer(before):
        start = match.end()
    return before[start:]


def negated(before: str, here: str) -> bool:
    """Returns whether the text before a statement negates it."""
    if not NEGATIVE.search(before):
        return False
    if _COMMA_THAT.search(here):
        return NEGATIVE.search(_NOT_NEGATIVE.sub(" ", here)) is not None
    before = _NOT_NEGATIVE.sub(" ", before)
    start = 0
    for match in _CLAUSE.finditer(before):
        start = match.end()
    return NEGATIVE.search(before, start) is not None


def conditional(before: str, here: str, after: str, would: bool) -> bool:
    """Checks whether the statement depends on a condition that the text does not assert."""
    aside = _ASIDE.search(after)
    after = after[: aside.start()] if aside else after
    return bool(
        _IF_AFTER.search(_FINE_IF.sub(" ", after)) or _IF.search(_FINE_IF.sub(" ", before if would else here))
    )


def _quoted(before: str, within: str) -> bool:
    """Checks whether the statement is in quotation marks that do not enclose the whole line."""
    if '"' not in before and "“" not in before and "「" not in before and "『" not in before:
        return False
    depth = 0
    for match in _QUOTES.finditer(before):
        mark = match[0]
        depth = depth + 1 if mark in "“「『" else depth - 1 if mark in "”」』" else 1 - min(depth, 1)
    if depth <= 0 or (before[-1:] == '"' and _KEY.match(within)):
        return False
    opened = max(before.rfind(mark) for mark in '"“「『')
    return bool(before[:opened].strip(" *_>#-"))


NO = re.compile(
    r"""[\s:：,，.()（）*_–—-]{0,8}(?:(?:is|was|would be|seems)\s(?:\w{3,12}ly\s)?)?"""
    r"""(?:no|nope|wrong|incorrect|false|never|impossible|unlikely|ruled out|eliminated|n['’]?t|cannot be"""
    r"""|can be (?:ruled|excluded)"""
    r"""|not(?!\s{1,2}(?:option\s)?[(*"]{0,3}[A-Z](?![A-Za-z0-9]))|doesn['’]t|isn['’]t|✗|✘|❌|×|☒|🚫|错|不对|不是|不符|否|不正确)"""
    r"""(?![a-z])""",
    re.IGNORECASE,
)
"""A verdict against the preceding answer, as in "(A) incorrect"."""
