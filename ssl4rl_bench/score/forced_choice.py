"""Measures the forced-choice margin of an SSL task: how much likelier a model finds the right answers than chance.

The model does not reply: an engine tells the log-likelihood of each valid answer in the form in which the model
usually answers (`task.ssl.forms`), and `stats.alignment.margin` compares the right answers with the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.capabilities import ScoresAnswers
from ssl4rl_bench.core.types import Completion, Request, Sample
from ssl4rl_bench.stats.alignment import Choices, TargetEffect, choices, margin
from ssl4rl_bench.task.ssl.forms import asked_form, thinking, usual_form
from ssl4rl_bench.task.ssl.probe import ProbeTask

CANDIDATES = 6
"""The maximum number of candidates where a task has too many answers: the targets of as many samples."""
THINKINGS = 8
"""The maximum number of a sample's replies whose thinking is used."""


@dataclass(frozen=True, slots=True)
class ForcedChoice:
    """The margin of a model on a task."""

    sight: TargetEffect
    form: str
    """The form of the answers, with "…" for the answer; model text, to be neutralised before it is shown."""
    n_candidates: int
    """The maximum number of candidates per sample."""
    n_failed: int
    """The number of samples whose likelihoods failed; they are left out."""


def forced_choice(
    task: ProbeTask,
    engine: ScoresAnswers,
    replies: Mapping[str, Sequence[Completion]],
    extractor: str = "default",
) -> ForcedChoice | None:
    """Computes the margin of a task's samples; None if no sample succeeds.

    If readable replies have a common form, the answers are put into it. Otherwise the thinking of each of a sample's
    replies comes before the answers: the likelihoods are normalized over the candidates after each thinking, and
    averaged. A sample without a reply that has an answer tag gets the form that the prompt asks for.

    Args:
        replies: completions by sample id; they only determine the form.

    Raises:
        EngineError: as `ScoresAnswers.score_answers`.
    """
    readings = [
        (completion.text, task.ssl.score(completion, sample.target, extractor).answer)
        for sample in task.samples
        for completion in replies.get(sample.id, ())
    ]
    form = usual_form(readings)
    plain = form or asked_form(task.prompt)
    blocks = [(block, candidates_of(task, block)) for block in blocks_of(task)]
    asked, n_texts = [], {}
    for block, candidates in blocks:
        for sample in block:
            starts = [] if form else _thinkings(replies.get(sample.id, ()))
            texts = [start + f"{answer}</answer>" for start in starts for answer in candidates]
            texts = texts or [plain.reply(answer) for answer in candidates]
            n_texts[sample.id] = len(texts) // len(candidates)
            asked.append((Request(sample, task=task.name), texts))
    scored = {
        request.sample.id: np.array(values)
        for request, values in engine.score_answers(asked)
        if not isinstance(values, str)
    }
    groups = {group: index for index, group in enumerate(dict.fromkeys(s.group for s in task.samples))}
    tables = [table for block, candidates in blocks if (table := _choices(block, candidates, scored, groups))]
    if not tables:
        return None
    shown = (
        str(plain)
        if form or max(n_texts.values()) == 1
        else "thinking of each reply, then <answer>…</answer>"
    )
    widest = max(len(candidates) for _, candidates in blocks)
    return ForcedChoice(margin(tables), shown, widest, len(task.samples) - len(scored))


def blocks_of(task: ProbeTask) -> list[list[Sample]]:
    """Divides the samples into blocks with the same candidates.

    A task with few answers has one block. The samples of others are divided in order into blocks of nearly equal
    size, of at most `CANDIDATES`.
    """
    if task.ssl.few_targets:
        return [list(task.samples)]
    n = len(task.samples)
    n_blocks = -(-n // CANDIDATES)
    return [list(task.samples[n * i // n_blocks : n * (i + 1) // n_blocks]) for i in range(n_blocks)]


def candidates_of(task: ProbeTask, block: Sequence[Sample]) -> list[str]:
    """Returns the candidate answers of a block: all answers of the task, or the distinct targets of the block."""
    if task.ssl.few_targets:
        return list(task.ssl.labels)
    return list(dict.fromkeys(sample.target for sample in block))


def _thinkings(completions: Sequence[Completion]) -> list[str]:
    starts = [start for completion in completions if (start := thinking(completion.text)) is not None]
    return starts[:THINKINGS]


def _choices(
    block: Sequence[Sample],
    candidates: Sequence[str],
    scored: Mapping[str, NDArray[np.float64]],
    groups: Mapping[str, int],
) -> Choices | None:
    samples = [sample for sample in block if sample.id in scored]
    if not samples:
        return None
    rows = []
    for sample in samples:
        table = scored[sample.id].reshape(-1, len(candidates))
        if len(table) > 1:
            table = table - np.logaddexp.reduce(table, axis=1, keepdims=True)
        rows.append(np.logaddexp.reduce(table, axis=0) - np.log(len(table)))
    return choices(
        np.array(rows),
        [candidates.index(sample.target) for sample in samples],
        [groups[sample.group] for sample in samples],
    )
