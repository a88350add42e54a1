"""Compares short texts exactly, after case, blanks, articles and surrounding punctuation are normalised."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

SEPARATOR = "||"
"""Separates the accepted answers of a target: "colour || color"."""
LONGEST = 80
"""The maximum number of characters of an accepted answer."""
MOST_WORDS = 8
"""The maximum number of words of an accepted answer: whether a longer text is right needs a judge."""
SHORT_WORDS = 4
"""The maximum number of words of a text that is read as an answer although it is not an accepted one."""

CUT = "\N{REPLACEMENT CHARACTER}"
"""The mark of a reply that was cut off (`extract.free.CUT`): its last word is not an answer."""

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff\ufe0e\ufe0f]")
_LATEX = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|boxed)\s?\{([^{}]*)\}")
_QUOTES = str.maketrans("‘’‛“”„«»", "'" * 3 + '"' * 5)
_EDGE = " \t\r\n.。,，:;!！'\"`_*$(){}[]"
_ARTICLE = re.compile(r"(?:the|a|an)\s(?=\S)")
_NOT_SHORT = re.compile(r"[.!?;:,](?:\s|\Z)|[<>|\\]")
"""Signs of sentences, lists and markup, which are not answers unless they are accepted."""
_OF_SENTENCES = (
    "i we you he she it they this that these those there is are was were be been am do does did has have had can "
    "could will would should must may might not no or and but because since so if answer see think shows says "
    "sorry cannot unable unclear final correct"
)
_FUNCTION_WORDS = frozenset(_OF_SENTENCES.split())


def normalised(text: str) -> str:
    """Returns a text in lower case and NFKC, without articles at its start and punctuation at its ends.

    The function is idempotent. Texts of more than 4 * `LONGEST` characters should not be passed.
    """
    previous = None
    while text != previous:
        previous = text
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_QUOTES).casefold()
        while "\\" in text and text != (inner := _LATEX.sub(r"\1", text)):
            text = inner
        text = " ".join(text.split()).strip(_EDGE)
        text = _ARTICLE.sub("", text, count=1) if _ARTICLE.match(text) else text
    return text


@dataclass(frozen=True, slots=True)
class TextTarget:
    """The accepted answers of a question."""

    text: str
    """The first accepted answer, as it is written."""
    accepted: tuple[str, ...]
    """The accepted answers, normalised."""

    def parse(self, text: str) -> str | None:
        """Returns the target's first answer for an accepted text, another short text normalised, or None.

        Sentences and texts of more than `SHORT_WORDS` words are not answers unless they are accepted.
        """
        if len(text) > 4 * LONGEST or "\n" in text.strip() or CUT in text:
            return None
        normal = normalised(text)
        if normal in self.accepted:
            return self.text
        words = normal.split()
        if not 1 <= len(words) <= SHORT_WORDS or len(normal) > LONGEST or _NOT_SHORT.search(normal):
            return None
        bare = {word.strip(_EDGE) for word in words}
        return normal if bare.isdisjoint(_FUNCTION_WORDS) and any(map(str.isalnum, normal)) else None


def text_target(text: str) -> TextTarget | None:
    """Returns the target that a text is, with its alternatives; None if one of them is empty or too long."""
    parts = [part.strip() for part in text.split(SEPARATOR)]
    accepted = tuple(map(normalised, parts)) if len(text) <= 40 * LONGEST else ()
    short = all(0 < len(part) <= LONGEST and len(part.split()) <= MOST_WORDS for part in accepted)
    return TextTarget(parts[0], accepted) if accepted and short else None
