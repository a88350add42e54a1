"""The rules of `default` for replies without a readable tag, which the docstring of the package lists."""

from __future__ import annotations

from collections.abc import Mapping

from ssl4rl_bench.task.extract import letters, option_texts, options, statements, tags, walks
from ssl4rl_bench.task.extract.moods import Strength
from ssl4rl_bench.task.extract.resolve import CONFLICT, Statement
from ssl4rl_bench.task.extract.sentences import Sentences


def read(text: str, choices: Mapping[str, str], cut: bool) -> tuple[str | None, str]:
    """Returns a letter, `CONFLICT` or None, and the rule; `text` is the visible part of a reply, stripped."""
    if not text:
        return None, "no-answer"
    first, _, more = text.partition("\n")
    if not more:
        if (letter := letters.only_letter(text)) and (answer := options.choice(letter, choices)):
            return answer, "only-letter"
        if answer := options.named_by(text, choices):
            return answer, "only-text"
    if not cut and (answer := _last_line(text, choices)):
        return answer, "last-line"
    sentences = Sentences(text)
    opening = None if cut else _opening(first, more, choices)
    held, stated = statements.holding(sentences, choices, opening, cut=cut)
    if held is not None:
        return held.verdict, held.rule
    if cut or stated:
        return None, "no-answer"
    return option_texts.by_text(sentences, choices)


def _last_line(text: str, choices: Mapping[str, str]) -> str | None:
    """Reads the last line, which must be a letter or the text of an option; None if it ends a list."""
    lines = text.split("\n")
    final = lines.pop()
    answer = letters.line(final, choices)
    if answer and answer != CONFLICT:
        bare = letters.only_letter(final) is not None
        return None if walks.continues(lines, walks.Item(answer, bare), choices) else answer
    before = next((line for line in reversed(lines) if line.strip()), "")
    if answer is None and lines and not options.named_by(_unmarked(before), choices):
        named = option_texts.exact_option(final, choices)
        listed = walks.read_item(before, choices) or (
            len(before) < 40 and options.mentions(options.fold(before), options.other_choices(choices, named))
        )
        return None if named and listed else named
    return None


def _unmarked(line: str) -> str:
    return line.strip(" *_`>#-•·\t")


def _opening(first: str, more: str, choices: Mapping[str, str]) -> Statement | None:
    """Reads the answer of the first line, unless it begins a walk through the options or a list of them."""
    letter = letters.line(first, choices)
    if letter == CONFLICT:
        return Statement(0, len(first), CONFLICT, Strength.WEAK, "opening")
    answer = letter or letters.opening(first, choices)
    if answer is None:
        return None
    if letter:
        item = walks.Item(answer, letters.only_letter(first) is not None)
        lines = more.split("\n")[:24]
        if walks.begins(lines, item, choices) or letters.crowded(first, answer, choices):
            return None
        if any(walks.trails(line, answer, choices) for line in lines):
            return None
    elif letters.crowded(f"{first}\n{more}" if more else first, answer, choices):
        return None
    return Statement(0, len(first), answer, Strength.FIRM, "opening")


def read_thought(thought: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    """Reads the answer that thinking ends with or states: a letter, `CONFLICT` or None, and the rule."""
    tag = tags.closing_tag(thought)
    if tag is not None and (answer := letters.content(tag, choices)[0]):
        return answer, "thought-tag"
    return statements.last(thought, choices)[0], "thought-statement"
