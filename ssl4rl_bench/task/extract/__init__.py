"""Reads the answer out of a reply. It never guesses: what is not clearly an answer is `none`, which is wrong.

`default` reads in this order, and `Reading.rule` says what decided:

| rule | status | the answer was |
|---|---|---|
| `tag-letter` | tag | the last well-formed `<answer>` outside `<think>`: "B", "(b).", "Option B" |
| `tag-text` | tag | in that tag, an option's own text |
| `tag-phrase` | tag | in that tag, with more: "B) red", "B because ...", "I think B is correct" |
| `only-letter` | lenient | nothing but a letter: "B.", "Answer: B", "The answer is B." |
| `only-text` | lenient | nothing but an option's own text |
| `last-line` | lenient | the last line: a letter, an option's own text, or both |
| `boxed` | lenient | in a "\\boxed{B}" |
| `statement` | lenient | in an explicit statement: "the answer is B", "B is correct", "Sorry, I meant B." |
| `opening` | lenient | the first line's start: "B) ...", "B because ..." |
| `yes-no` | lenient | "Yes, ..." or "No, ..." where these are options |
| `told` | lenient | a short reply's own words: "It is an elephant.", "There are 2 dogs." |
| `open-tag` | lenient | after an `<answer>` that is never closed |
| `thought-tag` | lenient | in the tag that the thinking ends in, with nothing after it |
| `thought-statement` | lenient | stated in the thinking, with nothing after it |
| `letter`, `search`, `option-text` | lenient | found by the three rules of the `vlmevalkit` extractors |
| `conflict` | none, truncated | contradictory ("A or B"), or a letter that is no choice |
| `refusal` | refusal, truncated | declined |
| `no-answer` | none, truncated | nowhere |
| `failed` | error | never given: the request failed |

A statement counts only if its sentence states it: one that is denied, supposed ("if ..., the answer would be A"),
asked, quoted or reported of others does not. Of several statements that differ, the later one counts if it corrects
the earlier ("No, B.") or concludes ("So the answer is B."); otherwise they contradict each other. "Scratch that" and
its like delete what was stated before. A walk through the options ("A) no. B) yes.") and an echoed list are no
answer: where a second option is set off, an opening letter is nothing. A line about the other options ("A and C are
wrong.") leaves the answer as it is.

A tag that cannot be read (a quoted template) leaves the decision to the rules below it; a contradictory tag, or two
that differ side by side, does not. A letter wins over an option's text; where two options have the same text, text
never decides. What the thinking says does not count once text follows it. A reply that was cut off is not read by its
first or last line, its last sentence or its thinking, unless it is a letter and no more.

`default` reads special tokens ("<|im_end|>") and invisible characters as nothing, and every kind of blank as a blank.
`strict` reads only a tag with nothing but a capital letter and white space in it, and no thinking after it.
`vlmevalkit` stands for `vlmevalkit-2025-09`; the newest version is `vlmevalkit-2026-06`.

Work is bounded: of a reply longer than `tags.LIMIT` (16,384) characters, the first quarter and the last three
quarters of that many are read, and no rule looks at more than a few places in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.types import FinishReason, Status
from ssl4rl_bench.task.extract import tags, vlmevalkit

__all__ = ["EXTRACTORS", "Reading", "check_extractor", "read", "reader_version", "tag_content"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from a reply."""

    answer: str | None
    """A key of the choices, or None."""
    status: Status
    rule: str
    """Which rule decided; the names are in this module's docstring."""


_Found = tuple[str | None, Status, str]


def _rules(text: str, choices: Mapping[str, str], cut: bool, *, strict: bool) -> _Found:
    from ssl4rl_bench.task.extract import rules  # here, because its patterns take 30 ms to compile

    return (rules.read_strict if strict else rules.read_default)(text, choices, cut)


_READERS: dict[str, Callable[[str, Mapping[str, str], bool], _Found]] = {
    "default": partial(_rules, strict=False),
    "strict": partial(_rules, strict=True),
    "vlmevalkit-2025-07": partial(vlmevalkit.read, near_end=False),
    "vlmevalkit-2025-09": vlmevalkit.read,
    "vlmevalkit-2026-06": partial(vlmevalkit.read, search=True),
}
_ALIASES = {"vlmevalkit": "vlmevalkit-2025-09"}
"""The plain name keeps its meaning when a newer version comes; the newest is vlmevalkit-2026-06."""

EXTRACTORS: tuple[str, ...] = (*_READERS, *_ALIASES)
"""Names that `read` accepts."""


_VERSIONS = {"default": 2}


def reader_version(name: str) -> int:
    """Of what an extractor reads (its full name): another number reads some replies otherwise."""
    return _VERSIONS.get(name, 1)


def check_extractor(name: str) -> str:
    """An extractor's full name: "vlmevalkit" is "vlmevalkit-2025-09". Raises `UsageError` if unknown."""
    if name not in EXTRACTORS:
        hint = did_you_mean(name, EXTRACTORS)
        aliases = "".join(f"; {alias} means {full}" for alias, full in _ALIASES.items())
        raise UsageError(f"No extractor is called {name!r}{hint}; there are {', '.join(_READERS)}{aliases}.")
    return _ALIASES.get(name, name)


def read(
    text: str, choices: Mapping[str, str], finish_reason: FinishReason = "stop", extractor: str = "default"
) -> Reading:
    """Reads the answer of a reply to a multiple-choice question.

    `choices` maps capital letters to option texts, in order; the answer is one of these letters or None.
    Raises `UsageError` for an unknown extractor, and nothing else whatever the text is.
    """
    reader = _READERS[check_extractor(extractor)]
    if finish_reason == "error":
        return Reading(None, Status.ERROR, "failed")
    cut = finish_reason == "length"
    answer, status, rule = reader(text, choices, cut)
    return Reading(answer, Status.TRUNCATED if cut and answer is None else status, rule)


def tag_content(text: str) -> str | None:
    """Content of the last well-formed `<answer>` outside `<think>`, without outer white space, or None."""
    tag = tags.split(tags.clip(text)).tag
    return None if tag is None else tag.strip()
