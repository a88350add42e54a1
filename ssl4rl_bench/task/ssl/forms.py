"""The form in which a model gives its answers, so that it can be asked how likely other answers are in that form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

SHARE = 0.1
"""The least share of the readable replies that have the usual form. Free thinking repeats no reply this often."""
_BY_STYLE = {
    "ssl4rl": ("<answer>", "</answer>"),
    "boxed": ("\\boxed{", "}"),
    "cot": ("The answer is ", "."),
    "direct": ("", "\n"),
}
"""The form that a prompt style asks for, without thinking. Each ends in a mark, so that no answer begins another."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """A reply with gaps for the answer."""

    pieces: tuple[str, ...]
    """The text before, between and after the gaps; at least two."""

    def reply(self, answer: str) -> str:
        """Returns the reply that gives an answer."""
        return answer.join(self.pieces)

    def __str__(self) -> str:
        return "…".join(self.pieces).strip()


def asked_form(style: str) -> AnswerForm:
    """Returns the form that a prompt style asks for, without thinking."""
    return AnswerForm(_BY_STYLE.get(style, _BY_STYLE["ssl4rl"]))


def usual_form(readings: Iterable[tuple[str, str | None]]) -> AnswerForm | None:
    """Returns the most common form, if at least two replies and `SHARE` of the readable ones have it, or None.

    A short trained model writes "<think>90</think> <answer>90</answer>": what it answers is decided at its first
    word, and the form has two gaps. Replies with free thinking have no usual form.

    Args:
        readings: the text of each reply, and the answer that was read from it.
    """
    forms: Counter[AnswerForm] = Counter()
    n = 0
    for text, answer in readings:
        if answer is None:
            continue
        n += 1
        if (form := _form(text, answer)) is not None:
            forms[form] += 1
    if not forms:
        return None
    form, count = forms.most_common(1)[0]
    return form if count >= max(2, SHARE * n) else None


def _form(text: str, answer: str) -> AnswerForm | None:
    pieces = re.split(rf"(?<![\w.,-]){re.escape(answer)}(?![\w-]|[.,]\w)", text)
    # A gap at the very end needs a mark after it, because one answer may begin another.
    pieces[-1] = pieces[-1] or "\n"
    return AnswerForm(tuple(pieces)) if len(pieces) > 1 else None


def thinking(text: str) -> str | None:
    """Returns a reply up to the start of its last answer tag, or None if it has none."""
    start = text.rfind("<answer>")
    return None if start < 0 else text[: start + len("<answer>")]
