"""What a journal says about replies besides their scores: tokens, cut replies, and replies that repeat themselves."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from ssl4rl_bench.run.journal import BadLine, Place, read_journal
from ssl4rl_bench.run.rundir import RunDir

_TAIL = 1000
"""The number of characters at a reply's end that are examined."""
_RATIO = 2.4
"""A text that zlib shrinks by more than this factor repeats itself. The threshold is the default of
`compression_ratio_threshold` in openai/whisper's `transcribe`, which detects loops in this way."""


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """Facts about the replies of one task of a run."""

    n: int
    """The number of replies in the journal, without failed requests."""
    prompt_tokens: float | None
    """The mean number of tokens of a prompt, text and image; None if the engine did not count them."""
    n_cut: int
    """The number of replies that hit the token limit, whether or not an answer was read."""
    repeating: frozenset[Place]
    """The replies that hit the token limit while they repeated themselves."""


def reply_facts(run: RunDir, task: str) -> ReplyFacts:
    """Reads the facts about the replies of a task. A run without a journal has none.

    Raises:
        StoreError: the journal cannot be read.
    """
    seen: set[Place] = set()
    repeating: set[Place] = set()
    tokens, n_cut = 0, 0
    for line in read_journal(run.journal_path(task)):
        if isinstance(line, BadLine) or line.error is not None or (place := (line.id, line.repeat)) in seen:
            continue
        seen.add(place)
        tokens += line.n_prompt_tokens
        if line.finish_reason == "length":
            n_cut += 1
            if repeats_itself(line.text or line.reasoning):
                repeating.add(place)
    return ReplyFacts(len(seen), tokens / len(seen) if tokens else None, n_cut, frozenset(repeating))


def repeats_itself(text: str) -> bool:
    """Checks whether the end of a text repeats itself, by how far zlib compresses it."""
    tail = text[-_TAIL:].encode("utf-8", "surrogatepass")
    return len(tail) > _RATIO * len(zlib.compress(tail))
