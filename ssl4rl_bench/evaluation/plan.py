"""What an evaluation asks: its plan, the models, tasks and specs that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.types import Engine, Task
from ssl4rl_bench.engines import EngineOptions, create, resolve_name
from ssl4rl_bench.engines.checkpoints.served import served
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model, unused_defaults
from ssl4rl_bench.engines.vllm.arguments import reply_arguments
from ssl4rl_bench.evaluation.presets import load_preset
from ssl4rl_bench.run import recorded
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.shards import Shard, part_of
from ssl4rl_bench.run.spec import MOCK, RunSpec, TaskSpec
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.registry import load_task, per_task
from ssl4rl_bench.task.taskfile import expand

REPLY_OPTIONS = ("attn", "max_model_len", "served_model")
"""Engine options that can change replies but are not part of the engine's version or the pixel limits."""


@dataclass(frozen=True)
class EvaluationPlan:
    """The parsed arguments of a `run` command."""

    models: tuple[str, ...]
    loading: Mapping[str, Mapping[str, Any]]
    """Maps each full task name to its `data`, `limit` and `skip_bad`."""
    engine: str
    options: EngineOptions
    prompt: str | None = None
    image: str = "real"
    """The blinding of all tasks (`blinding.BLINDINGS`)."""
    repeats: int = 1
    seed: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    extractor: str = "default"
    out: Path | None = None
    max_error_rate: float = 0.01
    shard: Shard | None = None
    """The part of each run that is asked; None for all of it."""
    command: tuple[str, ...] = ()
    """The command line, recorded in exec.json."""
    preset: str | None = None
    """The name of the preset whose values are among the settings above."""

    def preset_lines(self) -> list[str]:
        """Returns what the preset sets, one line per setting with its source, and its note."""
        if self.preset is None:
            return []
        return list(load_preset(self.preset).lines(self.options, vars(self)))

    @classmethod
    def of(
        cls,
        models: Iterable[str],
        tasks: Iterable[str],
        data: Sequence[str] = (),
        *,
        limit: int | None = None,
        skip_bad: bool = False,
        engine: str = "auto",
        options: EngineOptions | None = None,
        preset: str | None = None,
        **settings: Any,
    ) -> EvaluationPlan:
        """Creates a plan from names as users give them.

        Args:
            models: names of models; duplicates are dropped.
            tasks: names of tasks and groups, with or without the prefix, or paths of task files.
            data: values of the option `--data` (`registry.per_task`).
            limit, skip_bad: apply to all tasks.
            engine: `auto` means `openai` if `options` name servers.
            preset: the name of a preset (`presets`), which sets what is None in `options` and `settings`.
            settings: the other fields of the plan.

        Raises:
            UsageError: no task, an unknown task or preset, or data that belong to none of the tasks.
        """
        names = expand(tasks)
        if not names:
            raise UsageError("--tasks is missing: name one or more (`ssl4rl-bench list tasks`)")
        options = options or EngineOptions()
        if preset is not None:
            options, settings = load_preset(preset).chosen(options, settings)
            settings["preset"] = preset
        if options.base_urls and engine == "auto":
            engine = "openai"
        sources = per_task(data, names)
        full = [full_name(name) for name in names]
        loading = {name: {"data": sources.get(name), "limit": limit, "skip_bad": skip_bad} for name in full}
        return cls(tuple(dict.fromkeys(models)), loading, engine, options, **settings)


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a checkpoint, or a stand-in for one (a served model, recorded replies, a mock)."""

    label: str
    model: Model | None
    fingerprint: str

    @classmethod
    def of(cls, model: Model) -> Subject:
        """Returns the subject for a resolved checkpoint."""
        return cls(model.name, model, model.fingerprint)


def subjects_of(plan: EvaluationPlan) -> tuple[str, list[Subject]]:
    """Returns the engine's name and the subjects that it evaluates.

    Raises:
        UsageError, ModelError: a model is missing, unknown or broken, or the extractor is unknown.
    """
    check_extractor(plan.extractor)
    if plan.engine in ("auto", "vllm", "hf"):
        if not plan.models:
            raise UsageError(
                "--model is missing: name a folder, a bundled checkpoint (tiny-base) or a hub id"
            )
        # Resolving "auto" imports torch, so check the checkpoints first: a broken one is reported at once.
        subjects = [Subject.of(resolve_model(model, chat=True)) for model in plan.models]
        return resolve_name(plan.engine), subjects
    name = resolve_name(plan.engine)
    if name == "openai":
        # The weights of a server cannot be inspected, so its name for them stands in for the fingerprint.
        # If the user gives no name, the server is asked for it before the run starts.
        labels = plan.models or (plan.options.served_model or "served model",)
        return name, [Subject(label, None, f"served as {label}") for label in labels]
    if len(plan.models) > 1:
        raise UsageError(
            f"engine {name} runs no model: give at most one --model, the name of the model that is shown"
        )
    if name == "replay":
        if plan.options.replies is None:
            raise UsageError(
                "engine replay needs --replies with a file, a run directory, or a folder of files"
            )
        if not plan.options.replies.exists():
            raise UsageError(
                f"the replies {plan.options.replies} do not exist: name a file or a run directory"
            )
        identity = recorded.identity(plan.options.replies, plan.models[0] if plan.models else None)
        label = plan.options.replies.stem
    else:
        identity = label = f"mock:{plan.options.mock}"
    return name, [Subject(plan.models[0] if plan.models else label, None, identity)]


def engine_for(name: str, subject: Subject, plan: EvaluationPlan) -> Engine:
    """Creates the engine of this name for a subject of the plan.

    Raises:
        UsageError, MissingDependency, DataError: as `engines.create` and `recorded.read_replies`.
    """
    replies = (
        recorded.read_replies(plan.options.replies) if name == "replay" and plan.options.replies else None
    )
    return create(name, subject.model, _options_for(plan, subject), replies)


def _options_for(plan: EvaluationPlan, subject: Subject) -> EngineOptions:
    if plan.models and subject.model is None and resolve_name(plan.engine) == "openai":
        return dataclasses.replace(plan.options, served_model=plan.options.served_model or subject.label)
    return plan.options


def load_tasks(plan: EvaluationPlan, observer: Observer = SILENT) -> list[Task]:
    """Loads the plan's tasks, applies its sampling, and passes their warnings to the observer.

    Raises:
        DataError, UsageError: as `registry.load_task`.
    """
    tasks: list[Task] = []
    for name, how in plan.loading.items():
        with observer.loading(name) as on_share:
            task = load_task(name, prompt=plan.prompt, image=plan.image, on_share=on_share, **how)
        given = {name: getattr(plan, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        chosen = {name: value for name, value in given.items() if value is not None}
        task = task.drawing(dataclasses.replace(task.sampling, **chosen))
        if plan.repeats > 1 and task.sampling.temperature == 0:
            raise UsageError(
                f"--repeats {plan.repeats} asks for greedy replies, which are all equal: add --temperature above 0"
            )
        if plan.seed and task.sampling.temperature == 0:
            raise UsageError(f"--seed {plan.seed} has no effect on greedy replies: add --temperature above 0")
        for warning in task.warnings:
            observer.warn(f"{task.name}: {warning}")
        tasks.append(task)
    return tasks


def spec_of(
    plan: EvaluationPlan, subject: Subject, engine: str, version: str, tasks: Sequence[Task]
) -> RunSpec:
    """Builds the spec of a run of the plan.

    Args:
        engine, version: the engine's name and version.
    """
    defaults = EngineOptions()
    options = {key: getattr(plan.options, key) for key in REPLY_OPTIONS}
    changed = {key: value for key, value in options.items() if value != getattr(defaults, key)}
    if engine == "vllm":
        changed |= {f"vllm.{key}": value for key, value in reply_arguments(plan.options.vllm).items()}
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


def narrowed(plan: EvaluationPlan, spec: RunSpec, tasks: Sequence[Task]) -> tuple[RunSpec, Sequence[Task]]:
    """Returns the spec and the tasks of the plan's shard, or those of the whole run if it has none.

    Args:
        spec: the spec of the whole run.
        tasks: the whole tasks. A task without a sample in the shard is left out.
    """
    if plan.shard is None:
        return spec, tasks
    parts = [part for task in tasks if (part := part_of(task, plan.shard)).samples]
    return spec.for_shard(plan.shard, parts), parts
