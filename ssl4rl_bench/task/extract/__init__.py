r"""Reads the answer from a reply. It never guesses: a reply without a clear answer is `none`, which is wrong.

The `default` extractor applies the rules in this order, and `Reading.rule` names the rule that decided:

| rule | status | the answer was |
|---|---|---|
| `tag-letter` | tag | the last well-formed `<answer>` outside `<think>`: "B", "(b).", "Option B" |
| `tag-text` | tag | in that tag, the text of an option |
| `tag-phrase` | tag | in that tag, with more: "B) red", "B because ...", "I think B is correct" |
| `only-letter` | lenient | nothing but a letter: "B.", "Answer: B", "The answer is B." |
| `only-text` | lenient | nothing but the text of an option |
| `last-line` | lenient | the last line: a letter, the text of an option, or both |
| `boxed` | lenient | in a "\boxed{B}" |
| `statement` | lenient | in an explicit statement: "the answer is B", "B is correct", "Sorry, I meant B." |
| `opening` | lenient | the start of the first line: "B) ...", "B because ..." |
| `yes-no` | lenient | "Yes, ..." or "No, ..." where these are options |
| `told` | lenient | in the words of a short reply: "It is an elephant.", "There are 2 dogs." |
| `open-tag` | lenient | after an `<answer>` that is never closed |
| `thought-tag` | lenient | in a tag at the end of the thinking, with nothing after it |
| `thought-statement` | lenient | stated in the thinking, with nothing after it |
| `letter`, `search`, `option-text` | lenient | found by one of the three rules of the `vlmevalkit` extractors |
| `conflict` | none, truncated | contradictory ("A or B"), or a letter that is not a choice |
| `refusal` | refusal, truncated | declined |
| `no-answer` | none, truncated | nowhere |
| `failed` | error | never given: the request failed |

A statement counts only if its sentence asserts it. It does not count if it is denied, hypothetical ("if ...,
the answer would be A"), a question, a quotation, or a report of what others say. If several statements
differ, the later one counts if it corrects the earlier one ("No, B.") or concludes ("So the answer is B.");
otherwise they contradict each other. Phrases such as "Scratch that" delete the statements before them. A walk
through the options ("A) no. B) yes.") and an echoed list are not answers: an opening letter does not count if
a second option is set off. A line about the other options ("A and C are wrong.") does not change the answer.

If a tag cannot be read (a quoted template), the rules below it decide; if a tag is contradictory, or two
adjacent tags differ, they do not. A letter takes precedence over the text of an option. If two options have
the same text, text never decides. The thinking does not count if text follows it. If a reply was cut off, its
first and last line, its last sentence and its thinking are not read, unless the reply is only a letter.

`default` ignores special tokens ("<|im_end|>") and invisible characters, and treats every kind of blank
alike. `strict` reads only a tag with nothing but a capital letter and white space, and no thinking after it.
`vlmevalkit` is an alias of `vlmevalkit-2025-09`; the newest version is `vlmevalkit-2026-06`.

The work is bounded. If a reply is longer than `tags.LIMIT` (16,384) characters, only that many are read, a
quarter of them from its start and three quarters from its end. No rule examines more than a few places in a
reply.
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
    """The result of reading a reply."""

    answer: str | None
    """A key of the choices, or None if no answer was read."""
    status: Status
    rule: str
    """The rule that decided; the docstring of this module lists the names."""


_RuleResult = tuple[str | None, Status, str]


def _rules(text: str, choices: Mapping[str, str], cut: bool, *, strict: bool) -> _RuleResult:
    from ssl4rl_bench.task.extract import rules  # here because its patterns take 30 ms to compile

    return (rules.read_strict if strict else rules.read_default)(text, choices, cut)


_READERS: dict[str, Callable[[str, Mapping[str, str], bool], _RuleResult]] = {
    "default": partial(_rules, strict=False),
    "strict": partial(_rules, strict=True),
    "vlmevalkit-2025-07": partial(vlmevalkit.read, near_end=False),
    "vlmevalkit-2025-09": vlmevalkit.read,
    "vlmevalkit-2026-06": partial(vlmevalkit.read, search=True),
}
_ALIASES = {"vlmevalkit": "vlmevalkit-2025-09"}
"""The plain name keeps its meaning when a newer version is added; the newest is vlmevalkit-2026-06."""

EXTRACTORS: tuple[str, ...] = (*_READERS, *_ALIASES)
"""The names that `read` accepts."""


_VERSIONS = {"default": 2}


def reader_version(name: str) -> int:
    """Returns the version of an extractor (full name). Another version reads some replies differently."""
    return _VERSIONS.get(name, 1)


def check_extractor(name: str) -> str:
    """Returns the full name: "vlmevalkit-2025-09" for "vlmevalkit". Raises `UsageError` if unknown."""
    if name not in EXTRACTORS:
        hint = did_you_mean(name, EXTRACTORS)
        aliases = "".join(f"; {alias} means {full}" for alias, full in _ALIASES.items())
        raise UsageError(f"There is no extractor {name!r}{hint}; there are {', '.join(_READERS)}{aliases}.")
    return _ALIASES.get(name, name)


def read(
    text: str, choices: Mapping[str, str], finish_reason: FinishReason = "stop", extractor: str = "default"
) -> Reading:
    """Reads the answer of a reply to a multiple-choice question.

    `choices` maps capital letters to option texts, in order; the answer is one of these letters or None.
    Raises `UsageError` for an unknown extractor; no text raises an error.
    """
    reader = _READERS[check_extractor(extractor)]
    if finish_reason == "error":
        return Reading(None, Status.ERROR, "failed")
    cut = finish_reason == "length"
    answer, status, rule = reader(text, choices, cut)
    return Reading(answer, Status.TRUNCATED if cut and answer is None else status, rule)


def tag_content(text: str) -> str | None:
    """Returns the stripped content of the last well-formed `<answer>` outside `<think>`, or None."""
    tag = tags.split(tags.clip(text)).tag
    return None if tag is None else tag.strip()
