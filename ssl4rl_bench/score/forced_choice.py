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
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.types import Completion, Request, Sample
from ssl4rl_bench.stats.alignment import Choices, TargetEffect, choices, margin, target_margins
from ssl4rl_bench.task.ssl.forms import asked_form, thinking, usual_form
from ssl4rl_bench.task.ssl.probe import ProbeTask

CANDIDATES = 6
"""The maximum number of candidates where a task has too many answers: the targets of as many samples."""
THINKINGS = 8
"""The maximum number of a sample's replies whose thinking is used."""
THINKING_FORM = "thinking of each reply, then <answer>…</answer>"
"""The form where replies have no usual one."""
_FORM = 200
"""The maximum length of a form's text. A longer one ends in a digest instead."""


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


@dataclass(frozen=True, slots=True)
class AnswersToScore:
    """What an engine is asked about a sample."""

    sample: Sample
    form: str
    """As in `ForcedChoice`; the same for all samples of a task."""
    answers: tuple[str, ...]
    """The candidate answers."""
    texts: tuple[str, ...]
    """The beginnings of a reply that are scored: each beginning before an answer with each candidate in turn."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredAnswers:
    """The likelihoods of the candidate answers to a sample."""

    form: str
    answers: tuple[str, ...]
    values: NDArray[np.float64]
    """Log-likelihoods in nats, shape (beginnings, candidates)."""


def forced_choice(
    task: ProbeTask,
    engine: ScoresAnswers,
    replies: Mapping[str, Sequence[Completion]],
    extractor: str = "default",
) -> ForcedChoice | None:
    """Computes the margin of a task's samples; None if no sample succeeds.

    Args:
        replies: completions by sample id; they only determine the form (`answers_to_score`).

    Raises:
        EngineError: as `ScoresAnswers.score_answers`.
    """
    asked = {one.sample.id: one for one in answers_to_score(task, replies, extractor)}
    requests = [(Request(one.sample, task=task.name), one.texts) for one in asked.values()]
    scored = {}
    for request, values in engine.score_answers(requests):
        if not isinstance(values, str):
            one = asked[request.sample.id]
            rows = np.array(values).reshape(-1, len(one.answers))
            scored[request.sample.id] = ScoredAnswers(one.form, one.answers, rows)
    return choice_of(task, scored)


def answers_to_score(
    task: ProbeTask, replies: Mapping[str, Sequence[Completion]], extractor: str = "default"
) -> list[AnswersToScore]:
    """Determines the texts whose likelihoods give the margin of a task's samples.

    If readable replies have a common form, the answers are put into it. Otherwise the thinking of each of a sample's
    replies comes before the answers. A sample without a reply that has an answer tag gets the form that the prompt
    asks for.

    Args:
        replies: completions by sample id.
    """
    form = usual_form(
        (completion.text, task.ssl.score(completion, sample.target, extractor).answer)
        for sample in task.samples
        for completion in replies.get(sample.id, ())
    )
    plain = form or asked_form(task.prompt)
    starts = {} if form else {name: _thinkings(of_sample) for name, of_sample in replies.items()}
    shown = THINKING_FORM if any(starts.values()) else _short(str(plain))
    asked = []
    for block in blocks_of(task):
        common = tuple(candidates_of(task, block))
        for sample in block:
            answers = tuple(task.candidates(sample)) if task.ssl.texts else common
            texts = [
                start + f"{answer}</answer>" for start in starts.get(sample.id, ()) for answer in answers
            ]
            texts = texts or [plain.reply(answer) for answer in answers]
            asked.append(AnswersToScore(sample, shown, answers, tuple(texts)))
    return asked


def choice_of(task: ProbeTask, scored: Mapping[str, ScoredAnswers]) -> ForcedChoice | None:
    """Computes the margin from the likelihoods of samples; None without any.

    The likelihoods are normalized over the candidates after each thinking, and averaged. Samples with the same
    candidates form a block, whose targets are permuted.

    Args:
        scored: likelihoods by sample id, all in one form.
    """
    blocks = _blocks(task, scored)
    if not blocks:
        return None
    widest = max(len(block.values[0]) for _, block in blocks)
    form = next(iter(scored.values())).form
    n = sum(len(samples) for samples, _ in blocks)
    return ForcedChoice(margin([block for _, block in blocks]), form, widest, len(task.samples) - n)


def sample_margins(task: ProbeTask, scored: Mapping[str, ScoredAnswers]) -> dict[str, float]:
    """Computes the margin of each sample in nats, by its id. Their mean is the value of `choice_of`."""
    return {
        sample.id: float(value)
        for samples, block in _blocks(task, scored)
        for sample, value in zip(samples, target_margins(block), strict=True)
    }


def blocks_of(task: ProbeTask) -> list[list[Sample]]:
    """Divides the samples into blocks with the same candidates.

    A task with few answers has one block. The samples of others are divided in order into blocks of nearly equal
    size, of at most `CANDIDATES`. If the answers depend on a sample's text, there is one block, whose candidates are
    the places of the words in the text.
    """
    if task.ssl.few_targets or task.ssl.texts:
        return [list(task.samples)]
    n = len(task.samples)
    n_blocks = -(-n // CANDIDATES)
    return [list(task.samples[n * i // n_blocks : n * (i + 1) // n_blocks]) for i in range(n_blocks)]


def candidates_of(task: ProbeTask, block: Sequence[Sample]) -> list[str]:
    """Returns the candidate answers of a block: all answers of the task, or the distinct targets of the block."""
    if task.ssl.few_targets:
        return list(task.ssl.labels)
    return list(dict.fromkeys(sample.target for sample in block))


def _short(form: str) -> str:
    """Returns the text of a form, whose end is replaced by a digest if it is long."""
    return (
        form
        if len(form) <= _FORM
        else f"{form[: _FORM - 10]}… {sha256_hex(form.encode('utf-8', 'replace'))[:8]}"
    )


def _thinkings(completions: Sequence[Completion]) -> list[str]:
    starts = [start for completion in completions if (start := thinking(completion.text)) is not None]
    return starts[:THINKINGS]


def _blocks(task: ProbeTask, scored: Mapping[str, ScoredAnswers]) -> list[tuple[list[Sample], Choices]]:
    """Returns the samples with the same candidates together, with their likelihoods."""
    groups = {group: index for index, group in enumerate(dict.fromkeys(s.group for s in task.samples))}
    by_answers: dict[tuple[str, ...] | int, list[Sample]] = {}
    for sample in task.samples:
        if sample.id in scored:
            answers = scored[sample.id].answers
            by_answers.setdefault(len(answers) if task.ssl.texts else answers, []).append(sample)
    return [
        (
            samples,
            choices(
                np.array([_likelihoods(scored[sample.id].values) for sample in samples]),
                [scored[sample.id].answers.index(sample.target) for sample in samples],
                [groups[sample.group] for sample in samples],
            ),
        )
        for samples in by_answers.values()
    ]


def _likelihoods(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the log-likelihood of each candidate, averaged over the beginnings of the reply."""
    if len(values) > 1:
        values = values - np.logaddexp.reduce(values, axis=1, keepdims=True)
    return np.asarray(np.logaddexp.reduce(values, axis=0) - np.log(len(values)))
