"""Reads an answer from an option's text if no letter is given: "Yes, it is.", "It shows an elephant."."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ssl4rl_bench.task.extract.moods import FALSELY, Strength, strength_of
from ssl4rl_bench.task.extract.options import (
    choice,
    fold,
    is_word,
    longest,
    mentions,
    named_by,
    other_choices,
)
from ssl4rl_bench.task.extract.resolve import CONFLICT, takes_back
from ssl4rl_bench.task.extract.sentences import Sentences
from ssl4rl_bench.task.extract.walks import others_named

LONGEST = 400
"""The maximum number of characters of a sentence that is read."""

_LEAD = re.compile(
    r"\A[\s*_#>`-]{0,6}(?:(?:so|thus|therefore|hence),?\s)?(?:the\s)?(?:final |correct |best "
    r"|right )?(?:answer|ans\.?|答案)"
    r"\s?(?:is|[:：]|是|为)[\s*_:：]{0,4}",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:not|no|never|neither|nor|none|cannot|or|either|maybe|perhaps|might|could|may|possibly|if|whether"
    r"|would|unless"
    r"|except|without|unlike|hardly|than|instead|anything|everything|far from)\b|n['’]t\b|[?？]"
    r"|不|没|非|或|可能|如果|若",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"(?:\b(?:is|are|was|were|be|shows?|depicts?|contains?|displays?|features?|called|named|say|see|count"
    r"|looks?(?: like)?"
    r"|seems?(?: to be| like)?|appears?(?: to be)?|made of|made from|makes?|gives?|equals?|totals?|go for"
    r"|choose|pick|that"
    r"|hence|therefore|reads|weighs|measures|costs)|['’]s|[=:→⇒])\s[\"“']?"
    r"(?:(?:an?|the|clearly|indeed|most likely|probably|definitely|actually|located|positioned|exactly"
    r"|in fact|simply|hence"
    r"|that|about|best described as|an example of|a case of|an instance of)\s)*[\"“']?\Z"
)
_CONCLUDES = re.compile(r"\A(?:(?:therefore|so|thus|hence|overall|in conclusion|因此|所以)[,，]?\s?)")
_BARE_CONCLUSION = re.compile(
    r"(?:therefore|so|thus|hence)[,:]?\s(?:(?:it is|it['’]s|this is|that is)\s)?(?:(?:an?|the)\s)?\Z"
)
_COUNTED = re.compile(
    r"(?:there (?:is|are)|i (?:can )?(?:see|count)|the (?:image|picture|photo) (?:shows|contains|has)"
    r"|it (?:shows|has))\s"
    r"(?:exactly\s)?(?P<n>\S{1,12})\s(?:[a-z]+\s?){1,5}"
)
_NUMBER = re.compile(r"\d{1,4}|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve")
_LABEL = re.compile(r"\w[\w ]{0,30} (?:[a-z]|\d{1,2})")
_HAS = re.compile(
    r"\s(?:has|have|is|was|shows?|looks?|appears?|contains?)\s(?!not\b|(?:the|an?) (?:label|name|letter)\b)"
)
_OPPOSITES = (("yes", "no"), ("true", "false"), ("是", "否"), ("对", "错"))
_YES = dict(_OPPOSITES) | {second: first for first, second in _OPPOSITES}
_YES_START = re.compile(
    r"\s*[*_\"'“]{0,3}(yes|no|true|false|是的?|不是|否|对|不对|错)[*_\"'”]{0,3}(?=[,.!;:，。！；：—–-]|\s?\Z|\n)",
    re.I,
)
_YES_LEAD = re.compile(
    r"\s*(?:indeed|well|so|hmm|i (?:would|['’]d) say|i think|my answer is|probably|clearly"
    r"|therefore)[,:]?\s(?=(?:yes|no|true|false)[.!]?\s*\Z)",
    re.I,
)
_SAME = {"是的": "是", "不是": "否", "不对": "错"}


def exact_option(text: str, choices: Mapping[str, str]) -> str | None:
    """Returns the option whose text a line is, with or without "Answer:" before it."""
    if len(text) > LONGEST:
        return None
    text = text.strip(" *_`>#•·\t")
    match = _LEAD.match(text)
    return named_by(text, choices) or (named_by(text[match.end() :], choices) if match else None)


def by_text(sentences: Sentences, choices: Mapping[str, str]) -> tuple[str | None, str]:
    """Returns the option that a short reply names by its text, and the rule, or (None, "no-answer")."""
    text = sentences.text
    answer = _yes_or_no(sentences, choices)
    if answer is not None:
        return (answer, "yes-no") if answer != CONFLICT else (None, "no-answer")
    spans = [(a, b) for a, b in sentences.spans() if text[a:b].strip()]
    if not spans or len(spans) > 12 or len(text) > 4 * LONGEST:
        return None, "no-answer"
    if answer := _paired(text, choices):
        return answer, "told"
    if takes_back(text) or any(True for _ in others_named(text, None, choices)):
        return None, "no-answer"
    texts = [fold(text[a:b].rstrip(" .!。！\n")) for a, b in spans]
    if len(spans) > 1 and (answer := named_by(text[slice(*spans[0])], choices)):
        return (None, "no-answer") if _named_too(texts[1:], answer, choices) else (answer, "only-text")
    final = texts[-1]
    answer = _chinese(text[slice(*spans[-1])], choices) or _complement(_plain(final, choices), choices)
    if answer is None and len(spans) == 1:
        answer = _counted(final, choices) or _labelled(final, choices)
    if answer is None or not _stands(sentences, spans[-1], choices[answer]):
        return None, "no-answer"
    if not _CONCLUDES.match(final) and _named_too(texts[:-1], answer, choices):
        return None, "no-answer"
    return answer, "told"


def _named_too(sentences: Sequence[str], answer: str, choices: Mapping[str, str]) -> bool:
    """Checks whether folded sentences name another option, and not only to deny it."""
    rest = other_choices(choices, answer)
    return any(
        mentions(sentence, rest) and (not _UNSURE.search(sentence) or _ends(sentence, rest))
        for sentence in sentences
    )


def _stands(sentences: Sentences, span: tuple[int, int], option: str) -> bool:
    """Checks whether a sentence asserts an option: it is not denied, supposed, asked or reported."""
    text = option.rstrip(" .。").lower()
    place = sentences.text.lower().rfind(text, *span)
    start, end = (place, place + len(text)) if place >= 0 else span
    return strength_of(sentences, start, end, Strength.PLAIN) is not Strength.VOID


_PLAIN_STARTS = ("it ", "this ", "about ", "approximately ", "roughly ", "around ")
_PARTS = re.compile(
    r"[,;，；](?!\d)\s?|(?<!anything)(?<!everything)(?<!nothing)\sbut\s|\sand\s(?=not\s)|\s(?=(?:rather than"
    r"|instead of|unlike)\s)|\sas\s"
)
_TAIL = re.compile(
    r"\s(?:in total|altogether|long|wide|high|tall|deep|here|now|in the (?:image|picture|photo|scene))\Z"
)


_REASON = re.compile(r"(?:because|since|while|whereas|although|though|unlike|as)\s", re.IGNORECASE)


def _plain(sentence: str, choices: Mapping[str, str]) -> str:
    """Returns the only clause of a folded sentence that names an option and denies nothing, or "".

    This is "it is a tram" for "it is a tram, not a ferry". A sentence is not split if an option contains a
    comma or a semicolon.
    """
    sentence = _TAIL.sub("", sentence)
    if any("," in option or ";" in option for option in choices.values()):
        return "" if _UNSURE.search(sentence) and not _unsure_options(choices) else sentence
    sentence = re.sub(r"([,;，；]\s?)(?:but|so)\s", r"\1", sentence)
    sure = [
        part for part in _PARTS.split(sentence) if part and (not _UNSURE.search(part) or _ends(part, choices))
    ]
    naming = [part for part in sure if mentions(part, choices)]
    return naming[0] if len(naming) == 1 else ""


def _unsure_options(choices: Mapping[str, str]) -> bool:
    return any(_UNSURE.search(fold(option)) for option in choices.values())


def _ends(part: str, choices: Mapping[str, str]) -> bool:
    """Checks whether the word that denies belongs to the option that ends the part ("none of the above")."""
    for option in choices.values():
        text = fold(option)
        if _UNSURE.search(text) and part.endswith(text) and not _UNSURE.search(part[: -len(text)]):
            return True
    return False


def _yes_or_no(sentences: Sentences, choices: Mapping[str, str]) -> str | None:
    """Reads a reply that begins with "Yes," or "No." if these are options; `CONFLICT` if it gives both."""
    text = sentences.text
    begin = next((a for a, b in sentences.spans() if "?" not in text[a:b] and "？" not in text[a:b]), 0)
    if lead := _YES_LEAD.match(text, begin):
        begin = lead.end()
    match = _YES_START.match(text, begin)
    if match is None:
        return None
    word = match[1].lower()
    word = _SAME.get(word, word)
    letters = [letter for letter, option in choices.items() if fold(option) == word]
    if len(letters) != 1 or not any(fold(option) == _YES[word] for option in choices.values()):
        return None
    rest = text[match.end() :]
    for start, end in sentences.spans():
        if (
            start > match.start()
            and (other := _YES_START.match(text[start:end]))
            and _SAME.get(other[1].lower(), other[1].lower()) != word
        ):
            return CONFLICT
    contrary = (
        rf"\A[\s,.;:-]*(?:and|or|but|/)?\s?{_YES[word]}\b(?! doubt| question)"
        r"|\b(?:wait|actually|sorry|on second thought|i meant)\b"
    )
    return CONFLICT if re.search(contrary, rest, re.IGNORECASE) else letters[0]


def _complement(sentence: str, choices: Mapping[str, str]) -> str | None:
    """Returns the option that ends a folded sentence after a verb such as "is", if it mentions no other."""
    texts = {letter: fold(option) for letter, option in choices.items()}
    letter = longest(
        (len(option), letter)
        for letter, option in texts.items()
        if option and sentence.endswith(option) and not is_word(sentence[-len(option) - 1 : -len(option)])
    )
    if letter is None:
        return None
    before = sentence[: -len(texts[letter])]
    if not before:
        return letter
    if len(before) > 160 or _UNSURE.search(before):
        return None
    if not (_SAYS.search(before) or before in _PLAIN_STARTS or _BARE_CONCLUSION.search(before)):
        return None
    others = {other: option for other, option in choices.items() if other != letter}
    return None if mentions(before, others) else letter


_LAST = r"(?:[(\[（]|[—–:,-]{1,2}\s)\s?(?:option |choice |选项)?([A-Z])[)\]）]?[*_.!。\s]{0,4}\Z"
_LETTER_LAST = re.compile(rf"(.{{1,300}}?)\s?[*_]{{0,2}}\s?{_LAST}", re.IGNORECASE)
_LAST_LETTER = re.compile(_LAST, re.IGNORECASE)
"""The end of `_LETTER_LAST`, of at most 17 characters."""


_ZH_CLAUSE = re.compile(r"[，,；;：:。.！!\n]|而(?=是|在)")
_ZH_SAYS = re.compile(r"(?:是|为|有|在|共|显示|属于|选|所以|因此|即|：)")


def _chinese(sentence: str, choices: Mapping[str, str]) -> str | None:
    """Returns the only option in the last clause of a Chinese sentence, which it ends: "因此是出租车。"."""
    if not _CJK.search(sentence):
        return None
    clauses = [part.strip() for part in _ZH_CLAUSE.split(sentence) if part.strip()]
    sure = [part for part in clauses if not _UNSURE.search(part) or _ends(fold(part), choices)]
    if not sure:
        return None
    clause = fold(sure[-1].removesuffix("的").removesuffix("的景色"))
    texts = {letter: fold(option) for letter, option in choices.items()}
    letter = longest(
        (len(option), letter) for letter, option in texts.items() if option and clause.endswith(option)
    )
    if letter is None or len(texts[letter]) < 2:
        return None
    before = clause[: -len(texts[letter])]
    if any(option and option in before for option in other_choices(texts, letter).values()):
        return None
    return letter if not before or (_ZH_SAYS.search(before) and len(before) <= 16) else None


_CJK = re.compile("[\u4e00-\u9fff]")


def _paired(text: str, choices: Mapping[str, str]) -> str | None:
    """Returns the option of "It is parasitism (B).": its text and its letter at the end, no other letter."""
    if not _LAST_LETTER.search(text, max(0, len(text) - 17)):  # fails much faster than the whole pattern
        return None
    match = _LETTER_LAST.search(text, max(0, len(text) - LONGEST))
    if match is None or not match[2].isupper() or (letter := choice(match[2], choices)) is None:
        return None
    before, option = fold(match[1]), fold(choices[letter])
    if not option or not before.endswith(option) or is_word(before[-len(option) - 1 : -len(option)]):
        return None
    return (
        None if any(True for _ in others_named(text, letter, choices)) or _UNSURE.search(before) else letter
    )


def _counted(sentence: str, choices: Mapping[str, str]) -> str | None:
    """Returns the option of the number in "there are 2 dogs", if all options are numbers."""
    match = _COUNTED.fullmatch(sentence)
    if (
        match is None
        or _UNSURE.search(sentence)
        or not all(_NUMBER.fullmatch(fold(option)) for option in choices.values())
    ):
        return None
    if len(_NUMBER.findall(re.sub(r"[a-z]+", "", sentence))) > 1:
        return None
    return named_by(match["n"], choices)


def _labelled(sentence: str, choices: Mapping[str, str]) -> str | None:
    """Returns the option "Sample A" for "Sample A has the higher temperature."."""
    for letter, option in choices.items():
        text = fold(option)
        if not _LABEL.fullmatch(text) or not sentence.startswith(text) or not _HAS.match(sentence, len(text)):
            continue
        if FALSELY.match(sentence[len(text) :]):
            return None
        named = mentions(sentence[len(text) :], other_choices(choices, letter))
        return None if named or _UNSURE.search(sentence) else letter
    return None
