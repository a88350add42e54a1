"""Evaluates checkpoints: load the tasks, then for each model ask, journal and score. Shows nothing by itself."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import BenchError, EngineError, UsageError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.types import Engine, Serves, Swaps, Task
from ssl4rl_bench.engines import EngineOptions, create, resolve_name
from ssl4rl_bench.engines.checkpoints.served import served
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model, unused_defaults
from ssl4rl_bench.run import recorded
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RUNS, RunDir
from ssl4rl_bench.run.runner import check_tasks, execute
from ssl4rl_bench.run.spec import MOCK, RunSpec, TaskSpec
from ssl4rl_bench.score.scoring import score_and_write
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.registry import load_task

REPLY_OPTIONS = ("attn", "max_model_len", "served_model")
"""Engine options that can change replies and stand in neither the engine's version nor the pixel limits."""


@dataclass(frozen=True)
class Plan:
    """A `run` command, parsed."""

    models: tuple[str, ...]
    loading: Mapping[str, Mapping[str, Any]]
    """Full task name to `data`, `limit` and `skip_bad`."""
    engine: str
    options: EngineOptions
    prompt: str | None = None
    image: str = "real"
    """A blinding of all tasks (`blinding.BLINDINGS`)."""
    repeats: int = 1
    seed: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    extractor: str = "default"
    out: Path | None = None
    max_error_rate: float = 0.01
    command: tuple[str, ...] = ()
    """The command line, for the record of the sitting."""


@dataclass(frozen=True)
class Evaluation:
    """A complete run: where it is, and its result with the engine's name, as tables take it."""

    path: Path
    result: dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a checkpoint, or what stands for one."""

    label: str
    model: Model | None
    fingerprint: str

    @classmethod
    def of(cls, model: Model) -> Subject:
        return cls(model.name, model, model.fingerprint)


def evaluate(
    plan: Plan, observer: Observer = SILENT, stop: threading.Event | None = None
) -> list[Evaluation]:
    """Begins or resumes a run of each of the plan's models.

    Args:
        stop: once set, nothing more is asked (`runner.execute`).

    Raises:
        UsageError, ModelError, DataError, MissingDependency: nothing was asked.
        BenchError: as `runner.execute` and `RunDir.create`. What was answered is kept, also that of other models.
    """
    name, subjects = subjects_of(plan)
    tasks = load_tasks(plan, observer)
    done = []
    for subject in subjects:
        engine = engine_for(name, subject, plan)
        try:
            if isinstance(engine, Serves):
                label = subject.label if plan.models else engine.served_model
                subject = Subject(label, None, f"served as {engine.served_model}")
            path = _place(plan, subject, engine, tasks, len(subjects) > 1)
            result = evaluate_one(plan, subject, engine, tasks, path, observer, stop)
        finally:
            engine.close()
        done.append(Evaluation(path, result))
    return done


class Evaluator:
    """Evaluates one checkpoint after the other, with one engine as long as it can take other weights."""

    def __init__(
        self,
        plan: Plan,
        tasks: Sequence[Task],
        observer: Observer = SILENT,
        stop: threading.Event | None = None,
    ) -> None:
        self._plan, self._tasks, self._observer, self._stop = plan, tasks, observer, stop
        self._name = resolve_name(plan.engine)
        self._engine: Engine | None = None

    def __call__(self, model: Model, path: Path) -> dict[str, Any]:
        """Begins a run in the directory `path` or goes on with it; returns its result.

        Raises:
            BenchError: as `evaluate_one`. After an EngineError, the next checkpoint gets a new engine.
        """
        engine = self._for(model)
        try:
            return evaluate_one(
                self._plan, Subject.of(model), engine, self._tasks, path, self._observer, self._stop
            )
        except EngineError:
            self.close()
            raise

    @property
    def needs_chat(self) -> bool:
        """Whether a checkpoint must have a chat template to be evaluated."""
        return self._name in ("hf", "vllm")

    def _for(self, model: Model) -> Engine:
        engine = self._engine
        if not isinstance(engine, Swaps) or not engine.swap(model):
            self.close()
            engine = self._engine = create(self._name, model, self._plan.options)
        return engine

    def close(self) -> None:
        """Frees the engine."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.close()


def subjects_of(plan: Plan) -> tuple[str, list[Subject]]:
    """The engine's name, and what it is to run.

    Raises:
        UsageError, ModelError: a model is missing, unknown or broken, or the extractor is unknown.
    """
    check_extractor(plan.extractor)
    if plan.engine in ("auto", "vllm", "hf"):
        if not plan.models:
            raise UsageError(
                "--model is missing: name a folder, a bundled checkpoint (tiny-base) or a hub id"
            )
        # Before "auto" is resolved, which imports torch: a broken checkpoint is to be told at once.
        subjects = [Subject.of(resolve_model(model, chat=True)) for model in plan.models]
        return resolve_name(plan.engine), subjects
    name = resolve_name(plan.engine)
    if name == "openai":
        # What weights a server has cannot be seen from here: its name for them has to stand in,
        # and where the user does not say it, the server does before the run starts.
        labels = plan.models or (plan.options.served_model or "served model",)
        return name, [Subject(label, None, f"served as {label}") for label in labels]
    if len(plan.models) > 1:
        raise UsageError(f"engine {name} asks no model: give one --model at most, as its name")
    if name == "replay":
        if plan.options.replies is None:
            raise UsageError(
                "engine replay needs --replies with a file, a run directory, or a folder of files"
            )
        if not plan.options.replies.exists():
            raise UsageError(f"there are no replies {plan.options.replies}: name a file or a run directory")
        identity = recorded.identity(plan.options.replies, plan.models[0] if plan.models else None)
        label = plan.options.replies.stem
    else:
        identity = label = f"mock:{plan.options.mock}"
    return name, [Subject(plan.models[0] if plan.models else label, None, identity)]


def engine_for(name: str, subject: Subject, plan: Plan) -> Engine:
    """An engine of this name for a subject of the plan.

    Raises:
        UsageError, MissingDependency, DataError: as `engines.create` and `recorded.read`.
    """
    replies = recorded.read(plan.options.replies) if name == "replay" and plan.options.replies else None
    return create(name, subject.model, _options_for(plan, subject), replies)


def _options_for(plan: Plan, subject: Subject) -> EngineOptions:
    if plan.models and subject.model is None and resolve_name(plan.engine) == "openai":
        return dataclasses.replace(plan.options, served_model=plan.options.served_model or subject.label)
    return plan.options


def load_tasks(plan: Plan, observer: Observer = SILENT) -> list[Task]:
    """The plan's tasks, with its sampling; the observer is told their warnings.

    Raises:
        DataError, UsageError: as `registry.load_task`.
    """
    tasks: list[Task] = []
    for name, how in plan.loading.items():
        with observer.loading(name) as on_share:
            task = load_task(name, prompt=plan.prompt, image=plan.image, on_share=on_share, **how)
        sampling = task.sampling
        if plan.temperature is not None:
            sampling = dataclasses.replace(sampling, temperature=plan.temperature)
        if plan.max_tokens is not None:
            sampling = dataclasses.replace(sampling, max_tokens=plan.max_tokens)
        task = task.drawing(sampling)
        if plan.repeats > 1 and task.sampling.temperature == 0:
            raise UsageError(
                f"--repeats {plan.repeats} of greedy replies are all alike: add --temperature above 0"
            )
        if plan.seed and task.sampling.temperature == 0:
            raise UsageError(
                f"--seed {plan.seed} changes nothing in greedy replies: add --temperature above 0"
            )
        for warning in task.warnings:
            observer.warn(f"{task.name}: {warning}")
        tasks.append(task)
    return tasks


def spec_of(plan: Plan, subject: Subject, engine: str, version: str, tasks: Sequence[Task]) -> RunSpec:
    """What a run of the plan is.

    Args:
        engine, version: the engine's name and version.
    """
    defaults = EngineOptions()
    options = {key: getattr(plan.options, key) for key in REPLY_OPTIONS}
    changed = {key: value for key, value in options.items() if value != getattr(defaults, key)}
    if engine == "replay" and plan.options.replies and recorded.recorded_by(plan.options.replies) == MOCK:
        changed["recorded_by"] = MOCK
    return RunSpec(
        model=subject.label,
        fingerprint=subject.fingerprint,
        tasks={task.name: TaskSpec.of(task) for task in tasks},
        engine=engine,
        engine_version=version,
        min_pixels=plan.options.min_pixels,
        max_pixels=plan.options.max_pixels,
        repeats=plan.repeats,
        seed=plan.seed,
        engine_options=changed,
        served={} if subject.model is None else served(subject.model.path),
        unused_defaults=unused_defaults(subject.model.path) if subject.model else {},
        commit=subject.model.revision if subject.model else None,
    )


def _place(plan: Plan, subject: Subject, engine: Engine, tasks: Sequence[Task], several: bool) -> Path:
    """The run directory of a model."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", subject.label).strip("-.")[-60:] or "run"
    if plan.out is not None:
        return plan.out / slug if several else plan.out
    spec = spec_of(plan, subject, engine.name, engine.version, tasks)
    return RUNS / f"{slug}-{sha256_json([spec.sha256])[:8]}"


def evaluate_one(
    plan: Plan,
    subject: Subject,
    engine: Engine,
    tasks: Sequence[Task],
    path: Path,
    observer: Observer = SILENT,
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """One model's run, begun or resumed in the directory `path`; returns its result.

    Raises:
        BenchError: as `runner.execute` and `RunDir.create`. What was answered is kept.
    """
    check_tasks(engine, tasks)
    spec = spec_of(plan, subject, engine.name, engine.version, tasks)
    before = RunDir.open(path).spec if (path / "spec.json").is_file() else spec
    with RunDir.create(path, spec) as run:
        for clause in spec.moved(before):
            observer.say(f"note: {clause}, with the same content")
        loading = {
            task.name: {**how, "task": name}
            for task, (name, how) in zip(tasks, plan.loading.items(), strict=True)
        }
        info = ExecInfo.capture(plan.command, dataclasses.asdict(plan.options), loading)
        run.record(info)
        observer.say(f"{subject.label}: engine {engine.name} {engine.version}, run {path}")
        ended = "failed"
        try:
            with observer.running(tasks, plan.extractor) as on_event:
                execute(
                    tasks,
                    engine,
                    run,
                    spec,
                    max_error_rate=plan.max_error_rate,
                    on_event=on_event,
                    stop=stop,
                )
            result = run.shown(score_and_write(run, tasks, plan.extractor))
            ended = "complete"
        except BenchError as error:
            ended = str(error)
            raise
        except KeyboardInterrupt:
            ended = "aborted"
            raise
        finally:
            run.record(info.ended(ended))
    return result
