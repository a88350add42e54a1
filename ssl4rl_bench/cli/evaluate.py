"""What `run` and `demo` do: load the tasks, then for each model ask, journal, score and print."""

from __future__ import annotations

import dataclasses
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import LoadProgress, RunProgress
from ssl4rl_bench.core.errors import BenchError, UsageError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.core.output import say
from ssl4rl_bench.core.types import Engine, ImagePart, TextPart
from ssl4rl_bench.engines import EngineOptions, create, recorded, resolve_name
from ssl4rl_bench.engines.checkpoints.served import served
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model, unused_defaults
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import check_tasks, execute
from ssl4rl_bench.run.spec import MOCK, ExecInfo, RunSpec, TaskSpec
from ssl4rl_bench.score.scoring import score_and_write
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.registry import AnyTask, load_task

RUNS = Path("runs")
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


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a checkpoint, or what stands for one."""

    label: str
    model: Model | None
    fingerprint: str

    @classmethod
    def of(cls, model: Model) -> Subject:
        return cls(model.name, model, model.fingerprint)


def evaluate(plan: Plan) -> list[dict[str, Any]]:
    """Runs the plan and prints its tables; returns the results, one a model.

    Raises:
        BenchError: as the command line reports it. With several models, what others answered is kept.
    """
    check_extractor(plan.extractor)
    name, subjects = _subjects(plan)
    tasks = load_tasks(plan)
    results, places = [], []
    with Stop().handling() as stop:
        for subject in subjects:
            engine = create(name, subject.model, _options_for(plan, subject))
            try:
                if (served := getattr(engine, "served_model", None)) is not None:
                    label = subject.label if plan.models else served
                    subject = Subject(label, None, f"served as {served}")
                place = _place(plan, subject, engine, tasks, len(subjects) > 1)
                result = evaluate_one(plan, subject, engine, tasks, stop, place)
            finally:
                engine.close()
            results.append(result)
            places.append(place)
    _print(results, places, tasks, plan.extractor)
    return results


def dry_run(plan: Plan) -> None:
    """Prints the resolved spec, counts and one rendered prompt a task. Loads no model and asks no server."""
    check_extractor(plan.extractor)
    name, subjects = _subjects(plan)
    tasks = load_tasks(plan)
    screen = console()
    for subject in subjects:
        version = (
            "asked when it runs" if name == "openai" else create(name, subject.model, plan.options).version
        )
        spec = _spec(plan, subject, name, version, tasks)
        screen.print_json(data=spec.to_json(), ensure_ascii=not screen.encoding.startswith("utf"))
    for task in tasks:
        screen.rule(one_line(task.name))
        screen.print(one_line(f"{len(task.samples)} samples of {task.n_groups} groups from {task.source}"))
        for level, counts in task.counts().items():
            screen.print(one_line(f"{level}: " + ", ".join(f"{key} {n}" for key, n in counts.items())))
        sample = task.samples[0]
        screen.print()
        screen.print(one_line(f"sample {sample.id}, target {sample.target}:"))
        for message in sample.messages:
            for part in message.content:
                if isinstance(part, TextPart):
                    screen.print(part.text)
                elif isinstance(part, ImagePart):
                    screen.print(f"<image {part.image.sha256[:12]}, {len(part.image.data)} bytes>")
        for warning in task.warnings:
            screen.print(one_line(f"warning: {warning}"))


def _subjects(plan: Plan) -> tuple[str, list[Subject]]:
    """The engine's name, and what it is to run."""
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


def _options_for(plan: Plan, subject: Subject) -> EngineOptions:
    if plan.models and subject.model is None and resolve_name(plan.engine) == "openai":
        return dataclasses.replace(plan.options, served_model=plan.options.served_model or subject.label)
    return plan.options


def load_tasks(plan: Plan) -> list[AnyTask]:
    """The plan's tasks, with its sampling; prints their warnings.

    Raises:
        DataError, UsageError: as `registry.load_task`.
    """
    screen = console(stderr=True)
    tasks = []
    for name, how in plan.loading.items():
        with LoadProgress(screen, name) as on_share:
            task = load_task(name, prompt=plan.prompt, image=plan.image, on_share=on_share, **how)
        sampling = task.sampling
        if plan.temperature is not None:
            sampling = dataclasses.replace(sampling, temperature=plan.temperature)
        if plan.max_tokens is not None:
            sampling = dataclasses.replace(sampling, max_tokens=plan.max_tokens)
        task = dataclasses.replace(task, sampling=sampling)
        if plan.repeats > 1 and task.sampling.temperature == 0:
            raise UsageError(
                f"--repeats {plan.repeats} of greedy replies are all alike: add --temperature above 0"
            )
        if plan.seed and task.sampling.temperature == 0:
            raise UsageError(
                f"--seed {plan.seed} changes nothing in greedy replies: add --temperature above 0"
            )
        for warning in task.warnings:
            screen.print(one_line(f"warning: {task.name}: {warning}"), style="yellow")
        tasks.append(task)
    return tasks


def _spec(plan: Plan, subject: Subject, engine: str, version: str, tasks: Sequence[AnyTask]) -> RunSpec:
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


def _place(plan: Plan, subject: Subject, engine: Engine, tasks: Sequence[AnyTask], several: bool) -> Path:
    """The run directory of a model."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", subject.label).strip("-.")[-60:] or "run"
    if plan.out is not None:
        return plan.out / slug if several else plan.out
    spec = _spec(plan, subject, engine.name, engine.version, tasks)
    return RUNS / f"{slug}-{sha256_json([spec.sha256])[:8]}"


def evaluate_one(
    plan: Plan,
    subject: Subject,
    engine: Engine,
    tasks: Sequence[AnyTask],
    stop: threading.Event,
    path: Path,
) -> dict[str, Any]:
    """One model's run, begun or resumed in the directory `path`; returns its result.

    Raises:
        BenchError: as `runner.execute` and `RunDir.create`. What was answered is kept.
    """
    check_tasks(engine, tasks)
    spec = _spec(plan, subject, engine.name, engine.version, tasks)
    before = RunDir.open(path).spec if (path / "spec.json").is_file() else spec
    with RunDir.create(path, spec) as run:
        for clause in spec.moved(before):
            print(f"note: {clause}, with the same content", file=sys.stderr)
        loading = {
            task.name: {**how, "task": name}
            for task, (name, how) in zip(tasks, plan.loading.items(), strict=True)
        }
        info = ExecInfo.capture(sys.argv, dataclasses.asdict(plan.options), loading)
        run.record(info)
        say(f"{subject.label}: engine {engine.name} {engine.version}, run {path}", stderr=True)
        ended = "failed"
        try:
            with RunProgress(console(stderr=True), tasks, plan.extractor) as progress:
                execute(
                    tasks,
                    engine,
                    run,
                    spec,
                    max_error_rate=plan.max_error_rate,
                    on_event=progress,
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


def _print(
    results: Sequence[dict[str, Any]],
    places: Sequence[Path],
    tasks: Sequence[AnyTask],
    extractor: str,
) -> None:
    from ssl4rl_bench.cli.show import print_tables

    print_tables(results, [task.name for task in tasks])
    screen = console()
    for path in places:
        screen.print(one_line(path / "result.json"))
