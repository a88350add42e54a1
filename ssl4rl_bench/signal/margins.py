"""The margins of a checkpoint: how much likelier it finds the right option than the others, picture by picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.capabilities import ScoresAnswers
from ssl4rl_bench.core.errors import EngineError, UsageError
from ssl4rl_bench.core.types import Engine, Request, Sample, Sampling
from ssl4rl_bench.signal.looked_at import QuestionSet
from ssl4rl_bench.task.ssl.forms import asked_form, thinking

OPTION = "<think>{option} {letter}</think> <answer>{letter}</answer>"
FORMS = ("option", "letter", "thinking")
"""The forms by name: the option's text and its letter (`OPTION`); the letter in the form that the prompt asks for;
and the letter after the model's thinking about each picture."""
_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Margins:
    """The margins of one checkpoint on the questions that did not fail."""

    values: _Floats
    """In nats, of shape (questions, conditions)."""
    is_right: NDArray[np.bool_]
    """Whether the right option is the likeliest; of the same shape."""
    index: NDArray[np.intp]
    """The index of each question in the set."""
    n_texts: int
    """The number of texts whose likelihood was computed."""


def check_form(form: str) -> str:
    """Returns the form unchanged if it is one of `FORMS` or has a gap for the option or its letter.

    Raises:
        UsageError: for any other text.
    """
    if form in FORMS or "{letter}" in form or "{option}" in form:
        return form
    raise UsageError(
        f"--form {form!r} is unknown: give {', '.join(FORMS)}, or a reply with {{letter}} or {{option}}"
    )


def shown_form(form: str, style: str) -> str:
    """Returns a form with "…" for the letter or option, for readers."""
    if form == "thinking":
        return "the thinking about each picture, then <answer>…</answer>"
    return reply_of(form, style, "…", "…").strip()


def reply_of(form: str, style: str, letter: str, option: str) -> str:
    """Returns the reply that gives an option, in a form other than "thinking".

    Args:
        style: the prompt style, which asks for a form of the letter.
    """
    if form == "letter":
        return asked_form(style).reply(letter)
    gaps = {"{option}": option, "{letter}": letter}
    return re.sub("{option}|{letter}", lambda gap: gaps[gap[0]], OPTION if form == "option" else form)


def measure_margins(
    questions: QuestionSet,
    engine: Engine,
    form: str,
    on_done: Callable[[int], None] | None = None,
    max_tokens: int = 256,
) -> Margins:
    """Measures the margin of each question under each condition.

    The margin is the log-likelihood of the right option minus the mean of the other options', all in one form.

    Args:
        on_done: is called with the number of pictures done.
        max_tokens: the maximum length of a reply whose thinking is used.

    Raises:
        EngineError: the engine gives no likelihoods, or every question failed.
    """
    if not isinstance(engine, ScoresAnswers):
        raise EngineError(f"engine {engine.name} gives no likelihoods, which `attend` needs: use --engine hf")
    place = {item.sample.id: number for number, item in enumerate(questions.questions)}
    column = {condition: number for number, condition in enumerate(questions.conditions)}
    shape = (len(place), len(column))
    values, is_right, errors, n_texts = np.full(shape, np.nan), np.zeros(shape, bool), [], 0
    asked = _asked(questions, engine, form, max_tokens)
    for n_done, (request, scored) in enumerate(engine.score_answers(asked), start=1):
        sample_id, _, condition = request.sample.id.rpartition("|")
        spot = place[sample_id], column[condition]
        if isinstance(scored, str):
            errors.append(scored)
        else:
            values[spot], is_right[spot] = margin_of(request.sample, scored)
            n_texts += len(scored)
        if on_done is not None:
            on_done(n_done)
    usable = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(usable):
        raise EngineError(f"every question failed: {errors[0] if errors else 'no reply had an answer tag'}")
    return Margins(values[usable], is_right[usable], usable, n_texts)


def margin_of(sample: Sample, scored: Sequence[float]) -> tuple[float, bool]:
    """Returns the margin of the right option, and whether it is likelier than all others.

    Args:
        scored: the log-likelihoods of the sample's choices, in order.
    """
    target = list(sample.choices).index(sample.target)
    others = np.delete(np.asarray(scored, np.float64), target)
    return float(scored[target] - others.mean()), bool(scored[target] > others.max())


def _asked(
    questions: QuestionSet, engine: Engine, form: str, max_tokens: int
) -> Iterator[tuple[Request, list[str]]]:
    """Yields requests with one text per option; with the form "thinking", those whose reply has an answer tag."""
    if form != "thinking":
        for request in _requests(questions):
            choices = request.sample.choices.items()
            yield request, [reply_of(form, questions.prompt, letter, text) for letter, text in choices]
        return
    starts: dict[str, str] = {}
    for request, completion in engine.run(_requests(questions), Sampling(max_tokens=max_tokens)):
        if completion.error is None and (start := thinking(completion.text)) is not None:
            starts[request.sample.id] = start
    for request in _requests(questions):
        if (begun := starts.get(request.sample.id)) is not None:
            yield request, [f"{begun}{letter}</answer>" for letter in request.sample.choices]


def _requests(questions: QuestionSet) -> Iterator[Request]:
    for item in questions.questions:
        for condition, sample in item.samples(questions.conditions):
            yield Request(replace(sample, id=f"{item.sample.id}|{condition}"), task=questions.task)
