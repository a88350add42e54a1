"""Reimplements VLMEvalKit's extraction of letters from a description of it, to reproduce published numbers.

It treats a reply as a bag of words and does not parse tags. There are three versions. Before 2025-08, a
letter counted at any position, and the text of an option counted in a reply of any length. Since then, the
letter must be among the last four words, and the reply must be short. Since 2026-06, "answer is X" is
searched as well, without a word boundary, so that "answer is clearly" is C. All three agree with the original
up to `tags.LIMIT` characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ssl4rl_bench.core.types import Status
from ssl4rl_bench.task.extract.tags import clip

_FAILED = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SEPARATORS = bytes.maketrans(b".()[],:;!*#{}\t\n\v\f\r\x1c\x1d\x1e\x1f", b" " * 22)
_WIDE_SPACES = "\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_LAST_WORDS = 4
_ANSWER_IS = re.compile(r"answer\s+is\s+\**([A-D])", re.IGNORECASE)


def read(
    text: str,
    choices: Mapping[str, str],
    cut: bool,  # noqa: ARG001
    *,
    near_end: bool = True,
    search: bool = False,
) -> tuple[str | None, Status, str]:
    """Returns the letter, its status and the rule. The original's Z, a refusal, is not a letter here.

    `near_end` enables the position rule and the limit on the length (since 2025-08), and `search` enables the
    search for "answer is X" (since 2026-06). `cut` has no effect.
    """
    answer, rule = _option(text, choices, near_end, search)
    if rule == "no-answer":
        answer, rule = _text(text, choices, near_end)
    if answer is not None:
        return answer, Status.LENIENT, rule
    return None, Status.REFUSAL if rule == "refusal" else Status.NONE, rule


def _option(text: str, choices: Mapping[str, str], near_end: bool, search: bool) -> tuple[str | None, str]:
    text = clip(text, gap=" ")
    if _FAILED in text:
        return None, "no-answer"
    if any(sentence in text for sentence in _REFUSALS):
        return None, "refusal"
    head, tail = _words(text, _LAST_WORDS if near_end else 0)
    words = {letter: b" %b " % letter.encode() for letter in choices}
    matches = [letter for letter, word in words.items() if word in tail or word in head]
    if len(matches) == 1 and not (near_end and words[matches[0]] in head):
        return matches[0], "letter"
    if not matches and (b" Z " in tail or b" Z " in head):
        return None, "refusal"
    if search and (match := _ANSWER_IS.search(text)) and match[1].upper() in choices:
        return match[1].upper(), "search"
    return None, "no-answer"


def _text(text: str, choices: Mapping[str, str], near_end: bool) -> tuple[str | None, str]:
    cap = 2 * sum(map(len, choices.values())) if near_end else math.inf
    if len(text) > cap or len(low := clip(text, gap=" ").lower()) > cap:
        return None, "no-answer"
    held = [letter for letter, option in choices.items() if option.lower() in low]
    return (held[0], "option-text") if len(held) == 1 else (None, "no-answer")


def _words(text: str, last: int) -> tuple[bytes, bytes]:
    """Returns the words between single-byte spaces: all words but the last few, and the last few.

    Choices are single ASCII letters, so every other character may become a "?" as long as it does not
    separate words. Searching bytes for " B " is many times faster than building a list of words.
    """
    if not text.isascii():
        for space in _WIDE_SPACES:
            if space in text:
                text = text.replace(space, " ")
    words = text.encode("ascii", "replace").translate(_SEPARATORS)
    if not last:
        return b"", b" %b " % words
    split = words.rsplit(None, last)
    head = split.pop(0) if len(split) > last else b""
    return b" %b " % head, b" %b " % b" ".join(split)
