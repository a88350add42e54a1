"""Compares the question, the options and the answer of a prediction with those of a sample."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import Sample, Task
from ssl4rl_bench.interop.predictions.rows import Prediction

_MARKS = re.compile(r"\[(?:image|video)\]|<image(?: \d+)?>|<video>")
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff]")


def differing_content(task: Task, sample: Sample, row: Prediction) -> Iterator[tuple[str, str]]:
    """Yields what can be compared ("question", "option", "answer") and how it differs, "" if it does not."""
    ours = plain(task.question(sample)[0])
    theirs = plain(row.question or row.prompt or "")
    if ours and theirs:
        shown = f"has {_quoted(theirs)} where the task has {_quoted(ours)}"
        yield "question", "" if ours in theirs else shown
    options = {letter: plain(text) for letter, text in row.options.items() if letter in sample.choices}
    options = {letter: text for letter, text in options.items() if text}
    if options:
        other = next(
            (letter for letter, text in options.items() if not _same(text, sample.choices[letter])), None
        )
        if other is None:
            yield "option", ""
        else:
            known = _quoted(sample.choices[other])
            yield "option", f"has {_quoted(options[other])} as option {other}, where the task has {known}"
    if row.target is not None:
        is_same = any(_same(row.target, form) for form in _targets(sample))
        yield (
            "answer",
            "" if is_same else f"has {_quoted(row.target)} where the task has {_quoted(sample.target)}",
        )


def same_prompt(sample: Sample, prompt: str | None) -> bool:
    """Whether a prompt has the text that the task renders for a sample."""
    return prompt is not None and plain(prompt) == plain(sample.text())


def plain(text: str) -> str:
    """Returns a text without marks of images, control characters and differences in blanks."""
    return " ".join(_UNPRINTED.sub(" ", _MARKS.sub(" ", text)).split())


def _targets(sample: Sample) -> Iterator[str]:
    """Yields the forms in which tools write the right answer."""
    yield sample.target
    yield f"({sample.target})"
    if sample.target in sample.choices:
        yield sample.choices[sample.target]
        yield str(list(sample.choices).index(sample.target))


def _same(one: str, two: str) -> bool:
    one, two = plain(one).casefold(), plain(two).casefold()
    if one == two:
        return True
    try:
        return float(one) == float(two)
    except ValueError:
        return False


def _quoted(text: str) -> str:
    return repr(clean(plain(text), 60))
