"""`attend`: measures what checkpoints lose if parts of a picture are hidden, and compares the checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ssl4rl_bench.core.capabilities import ScoresAnswers, ShowsAttention
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Engine
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.evaluation.plan import EvaluationPlan, Subject, engine_for, load_tasks, subjects_of
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.signal.attend_store import Measured, Store, identity_of
from ssl4rl_bench.signal.attention import measure_shares
from ssl4rl_bench.signal.looked_at import QuestionSet, scenes_questions, task_questions
from ssl4rl_bench.signal.margins import check_form, measure_margins
from ssl4rl_bench.signal.sight import LEAST, AttendResult, summarize

QUESTIONS = 400
"""The default number of questions."""


@dataclass(frozen=True)
class AttendSettings:
    """What is measured."""

    models: tuple[str, ...]
    """The first one is the baseline."""
    task: str = "scenes"
    data: str | None = None
    """The location of the task's data."""
    n_questions: int = QUESTIONS
    form: str = "option"
    """One of `margins.FORMS`, or a reply with gaps."""
    prompt: str | None = None
    least: float = LEAST
    """Differences of at most this many nats are not claimed."""
    max_tokens: int = 256
    """The maximum length of a reply whose thinking is used."""
    layers: bool = True
    """Whether to measure attention, if the task has boxes."""
    engine: str = "hf"
    options: EngineOptions = field(default_factory=EngineOptions)
    out: Path | None = None
    """A folder for the measurements of each checkpoint, which a repeated command reads instead of measuring again."""

    def __post_init__(self) -> None:
        check_form(self.form)
        if not self.models:
            raise UsageError("--model is missing: name one checkpoint or more; the first is the baseline")
        if self.least < 0:
            raise UsageError(f"--least {self.least:g} is negative: give 0 or more nats")
        if self.n_questions < 2:
            raise UsageError(f"-n {self.n_questions} questions have no interval: give 2 or more")


def attend(settings: AttendSettings, observer: Observer = SILENT) -> AttendResult:
    """Measures the checkpoints one after the other, saves each, and compares those after the first with the first.

    Raises:
        BenchError: as `measure_all`.
    """
    questions, measured = measure_all(settings, observer)
    return summarize(measured, questions, settings.form, settings.least)


def measure_all(settings: AttendSettings, observer: Observer = SILENT) -> tuple[QuestionSet, list[Measured]]:
    """Returns the questions, and what was measured on each checkpoint now or by an earlier call.

    Raises:
        UsageError: an unknown model, task, form or engine, an engine that gives no likelihoods or attention, or a
            task without options or pictures.
        DataError: data that cannot be used.
        EngineError: the engine failed.
    """
    plan = EvaluationPlan.of(
        settings.models,
        [settings.task],
        [settings.data] if settings.data else (),
        limit=settings.n_questions,
        engine=settings.engine,
        options=settings.options,
        prompt=settings.prompt,
    )
    name, subjects = subjects_of(plan)
    if len({subject.fingerprint for subject in subjects}) < len(subjects):
        raise UsageError("two of the --model checkpoints have the same weights: name different ones")
    questions = questions_of(settings, plan, observer)
    measured = []
    for subject in subjects:
        engine = engine_for(name, subject, plan)  # loads nothing before it is asked
        try:
            measured.append(_measured(engine, subject, questions, settings, observer))
        finally:
            engine.close()
    return questions, measured


def questions_of(settings: AttendSettings, plan: EvaluationPlan, observer: Observer = SILENT) -> QuestionSet:
    """Returns the questions: with boxes for `scenes`, with a grid for any other task.

    Raises:
        UsageError, DataError: as `load_tasks` and `task_questions`.
    """
    if len(plan.loading) != 1:
        raise UsageError(f"--tasks {settings.task} names several tasks: name one")
    if short_name(next(iter(plan.loading))) == "scenes" and settings.data is None:
        return scenes_questions(settings.n_questions, settings.prompt)
    (task,) = load_tasks(plan, observer)
    return task_questions(task, settings.n_questions)


def _measured(
    engine: Engine, subject: Subject, questions: QuestionSet, settings: AttendSettings, observer: Observer
) -> Measured:
    """Reads what was measured on a checkpoint before, or measures and saves it."""
    with_layers = settings.layers and questions.has_boxes
    _check_engine(engine, with_layers)
    options = settings.options
    identity = identity_of(
        questions,
        subject.fingerprint,
        settings.form,
        with_layers,
        settings.max_tokens if settings.form == "thinking" else 0,
        engine.name,
        engine.version,
        options.attn,
        options.min_pixels,
        options.max_pixels,
    )
    store = Store.of(settings.out, subject.label, identity)
    if store is not None and (saved := store.load()) is not None:
        observer.say(f"{subject.label}: read from {store.path}")
        return saved
    began = time.monotonic()
    total = len(questions.questions) * len(questions.conditions)
    with observer.measuring(f"{subject.label}, margins", total) as on_done:
        margins = measure_margins(questions, engine, settings.form, on_done, settings.max_tokens)
    shares, shares_index = np.zeros((0, 2, 2, 0)), np.zeros(0, np.intp)
    if with_layers:
        with observer.measuring(f"{subject.label}, attention", 2 * len(questions.questions)) as on_done:
            shares, shares_index = measure_shares(questions, engine, on_done)
    result = Measured(
        label=subject.label,
        fingerprint=subject.fingerprint,
        engine=f"{engine.name} {engine.version}",
        margins=margins,
        shares=shares,
        shares_index=shares_index,
        seconds=time.monotonic() - began,
    )
    if store is not None:
        store.save(result)
    return result


def _check_engine(engine: Engine, layers: bool) -> None:
    """Checks whether the engine can do what is asked before anything is measured."""
    if not isinstance(engine, ScoresAnswers):
        raise UsageError(f"engine {engine.name} gives no likelihoods, which `attend` needs: use --engine hf")
    if layers and not isinstance(engine, ShowsAttention):
        raise UsageError(f"engine {engine.name} does not show attention: use --engine hf, or add --no-layers")


def write_sight(sight: AttendResult, folder: Path) -> Sequence[Path]:
    """Writes attend.json and the figure, as attend.svg and attend.png, to a folder.

    Raises:
        StoreError: a file cannot be written.
    """
    from ssl4rl_bench.core.atomic import reporting, write_text
    from ssl4rl_bench.reports.views.attend import FILE, view_of
    from ssl4rl_bench.signal.attend_tables import sight_json

    with reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)
    values = sight_json(sight)
    write_text(folder / FILE, json.dumps(values, indent=1, allow_nan=False) + "\n")
    return [folder / FILE, *view_of(values).write(folder)]
