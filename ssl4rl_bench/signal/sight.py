"""The result of `attend`: effects of hidden parts on the margin, per checkpoint, and differences between these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core import images
from ssl4rl_bench.signal.advising import DECODE, PREFILL
from ssl4rl_bench.signal.attend_store import Measured
from ssl4rl_bench.signal.attention import LayerAttention, area_shares, by_layer
from ssl4rl_bench.signal.looked_at import ASKED, BLANK, CELLS, EMPTY, OTHER, SEEN, SHUFFLED, QuestionSet
from ssl4rl_bench.stats.clustered import ClusteredMean, clustered_mean, p_beyond
from ssl4rl_bench.stats.multiple import holm

CONTRAST = "contrast"
"""The margin with the object asked about hidden, minus the margin with another object hidden."""
LEAST = 0.3
"""The default of `AttendResult.least`: seeds of one recipe differ by up to 0.2 nats in docs/attend.md."""
_PIXELS_PER_TOKEN = 28 * 28
_TOKENS_PER_WORD, _FRAME_TOKENS, _OPTION_TOKENS, _THINKING_TOKENS = 1.4, 30, 14, 100
"""Assumptions of the estimate for a 3B model, none of them measured."""


@dataclass(frozen=True, slots=True)
class ModelSight:
    """What was measured on one checkpoint. Effects are changes of the margin in nats."""

    label: str
    fingerprint: str
    engine: str
    n_failed: int
    """Questions that failed under some condition; they are left out."""
    right: float
    """The share of questions whose right option is the likeliest, with the picture."""
    margin: ClusteredMean
    """The margin with the picture."""
    effects: Mapping[str, ClusteredMean]
    """With boxes: ASKED, OTHER and EMPTY, each minus the margin with the picture, and CONTRAST. Otherwise BLANK and
    SHUFFLED."""
    cells: Sequence[ClusteredMean]
    """The effect of hiding each cell of the grid, row by row; empty with boxes."""
    layers: Sequence[LayerAttention]
    """Empty if attention was not measured."""
    seconds: float


@dataclass(frozen=True, slots=True)
class SightDifference:
    """An effect on a checkpoint minus that on the baseline, on the same questions."""

    label: str
    effect: str
    difference: ClusteredMean
    p_beyond: float
    """The p-value of a difference of at most `AttendResult.least` (`stats.clustered.p_beyond`)."""
    p_corrected: float
    """With Holm's correction over all differences."""


@dataclass(frozen=True, slots=True)
class AttendResult:
    """The result of `attend`."""

    task: str
    source: str
    prompt: str
    form: str
    has_boxes: bool
    n_questions: int
    n_left_out: int
    models: Sequence[ModelSight]
    """The baseline first."""
    differences: Sequence[SightDifference]
    least: float
    """Differences of at most this many nats are not claimed, however certain they are."""
    seconds_3b: float
    """The estimate for one checkpoint of 3B parameters on one GPU."""
    chance: float
    """The share of right options of a guesser."""

    @property
    def headlines(self) -> tuple[str, ...]:
        """The effects that are compared between checkpoints, the headline first."""
        return (CONTRAST,) if self.has_boxes else (SHUFFLED, BLANK)


def summarize(
    measured: Sequence[Measured], questions: QuestionSet, form: str, least: float = LEAST
) -> AttendResult:
    """Computes the effects on each checkpoint, and the differences from the first one."""
    models = [_model(one, questions) for one in measured]
    with_layers = any(model.layers for model in models)
    sight = AttendResult(
        questions.task,
        questions.source,
        questions.prompt,
        form,
        questions.has_boxes,
        len(questions.questions),
        questions.n_left_out,
        models,
        (),
        least,
        estimate_3b(questions, form, with_layers),
        float(np.mean([1.0 / len(item.sample.choices) for item in questions.questions])),
    )
    drafts = [
        _difference(measured[0], one, effect, questions, least)
        for one in measured[1:]
        for effect in sight.headlines
    ]
    corrected = holm([draft.p_beyond for draft in drafts])
    return replace(
        sight,
        differences=[
            replace(draft, p_corrected=float(p)) for draft, p in zip(drafts, corrected, strict=True)
        ],
    )


def estimate_3b(questions: QuestionSet, form: str, layers: bool) -> float:
    """Estimates the seconds that a checkpoint of 3B parameters takes on one GPU.

    Pictures have a token per 28 x 28 pixels, words 1.4 tokens, and the rates are those that `advise` assumes.
    """
    prompts = options = 0.0
    for item in questions.questions:
        width, height = images.size(item.sample.images[0])
        words = len(item.sample.text().split())
        prompts += width * height / _PIXELS_PER_TOKEN + _TOKENS_PER_WORD * words + _FRAME_TOKENS
        options += _OPTION_TOKENS * len(item.sample.choices)
    n = len(questions.conditions)
    seconds = n * (prompts + options) / PREFILL + (2.0 * prompts / PREFILL if layers else 0.0)
    if form == "thinking":
        seconds += n * (prompts / PREFILL + len(questions.questions) * _THINKING_TOKENS / DECODE)
    return seconds


def _model(one: Measured, questions: QuestionSet) -> ModelSight:
    margins, clusters = one.margins, _pictures(questions, one.margins.index)
    seen = questions.conditions.index(SEEN)
    names = (ASKED, OTHER, EMPTY, CONTRAST) if questions.has_boxes else (BLANK, SHUFFLED)
    layers: list[LayerAttention] = []
    if len(one.shares_index):
        pictures = _pictures(questions, one.shares_index)
        layers = by_layer(one.shares, pictures, area_shares(questions, one.shares_index))
    return ModelSight(
        label=one.label,
        fingerprint=one.fingerprint,
        engine=one.engine,
        n_failed=len(questions.questions) - len(margins.index),
        right=float(margins.is_right[:, seen].mean()),
        margin=clustered_mean(margins.values[:, seen], clusters),
        effects={name: clustered_mean(effect_of(one, name, questions), clusters) for name in names},
        cells=[]
        if questions.has_boxes
        else [clustered_mean(effect_of(one, cell, questions), clusters) for cell in CELLS],
        layers=layers,
        seconds=one.seconds,
    )


def effect_of(one: Measured, effect: str, questions: QuestionSet) -> NDArray[np.float64]:
    """Returns an effect on the margin in nats, of shape (questions that did not fail,)."""
    column = {name: number for number, name in enumerate(questions.conditions)}
    values = one.margins.values
    if effect == CONTRAST:
        return np.asarray(values[:, column[ASKED]] - values[:, column[OTHER]])
    return np.asarray(values[:, column[effect]] - values[:, column[SEEN]])


def differences_of(
    baseline: Measured, one: Measured, effect: str, questions: QuestionSet
) -> tuple[NDArray[np.float64], list[str]]:
    """Returns an effect minus that on the baseline, per question that both answered, and the questions' pictures."""
    common, first, second = np.intersect1d(
        baseline.margins.index, one.margins.index, assume_unique=True, return_indices=True
    )
    values = effect_of(one, effect, questions)[second] - effect_of(baseline, effect, questions)[first]
    return values, _pictures(questions, common)


def _difference(
    baseline: Measured, one: Measured, effect: str, questions: QuestionSet, least: float
) -> SightDifference:
    values, pictures = differences_of(baseline, one, effect, questions)
    p = p_beyond(values, pictures, least)
    return SightDifference(one.label, effect, clustered_mean(values, pictures), p, p)


def _pictures(questions: QuestionSet, index: NDArray[np.intp]) -> list[str]:
    return [questions.questions[place].picture for place in index]
