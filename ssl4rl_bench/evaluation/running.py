"""Evaluates checkpoints as a plan says: asks, journals and scores each model."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.capabilities import Measures, Serves, Swaps
from ssl4rl_bench.core.errors import BenchError, EngineError
from ssl4rl_bench.core.types import Engine, Task
from ssl4rl_bench.engines import EngineOptions, create, resolve_name
from ssl4rl_bench.engines.base import as_pairs
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.evaluation.margins import measure_margins
from ssl4rl_bench.evaluation.plan import (
    EvaluationPlan,
    Subject,
    engine_for,
    load_tasks,
    narrowed,
    spec_of,
    subjects_of,
)
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.rundir import RunDir, default_place, slug_of
from ssl4rl_bench.run.runner import check_tasks, execute
from ssl4rl_bench.run.shards import Shard
from ssl4rl_bench.score.runs import Data, Run, Runs, data_values, open_run
from ssl4rl_bench.score.scoring import score_and_write


@dataclass(frozen=True)
class Evaluation:
    """A complete run: its directory, and its result with the engine's name (`RunDir.shown`)."""

    path: Path
    result: dict[str, Any]


def evaluate(
    models: str | Path | Sequence[str | Path],
    tasks: str | Sequence[str],
    *,
    data: Data = None,
    limit: int | None = None,
    skip_bad: bool = False,
    engine: str = "auto",
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
    preset: str | None = None,
    prompt: str | None = None,
    image: str = "real",
    repeats: int = 1,
    seed: int = 0,
    temperature: float | None = None,
    max_tokens: int | None = None,
    extractor: str = "default",
    out: str | Path | None = None,
    max_error_rate: float = 0.01,
    shard: str | None = None,
    progress: Observer = SILENT,
) -> Run | Runs:
    """Evaluates checkpoints on tasks, as the command `run` does; repeating the call resumes the run.

    Args:
        models: a folder, a bundled checkpoint, a hub id or the name of a served model; or several of these.
        tasks: names of tasks or groups, or paths of task files.
        data: the location of the data: one location, or a mapping from task to location.
        limit: the maximum number of questions per task, each with all its copies; for an SSL task, of images.
        skip_bad: leave out questions with bad rows instead of refusing the data.
        engine: "auto", "vllm", "hf", "openai", "replay" or "mock".
        workers: the number of engines that share the requests, in processes that Ray starts; 1 uses no Ray.
        options: engine options by name (`engines.base.EngineOptions`).
        preset: the name of a preset, which sets the prompt, the pixel limits and the sampling as another project
            does (docs/presets.md). Arguments that are given take precedence.
        prompt: a prompt style that replaces the tasks' default.
        image: "real", or a blinding (`task.blinding.BLINDINGS`).
        repeats: how often each sample is asked; more than once requires a temperature above 0.
        seed: the seed of the sampling.
        temperature, max_tokens: replace the tasks' defaults.
        extractor: the name of the extractor that reads the replies.
        out: the run directory, or for several models its parent; by default runs/MODEL-HASH, and for a shard
            runs/MODEL-HASH.shard-I-of-N.
        max_error_rate: the fraction of requests that may fail.
        shard: "I/N" asks only the I-th of N parts of the questions; `merge` joins the N runs into one.
        progress: shows the progress; nothing by default, bars with `ssl4rl_bench.Progress()`.

    Returns:
        A `Run`, or `Runs` for a sequence of models.

    Raises:
        BenchError: as `evaluate_plan`.

    Example:
        >>> run = evaluate("tiny-base", ["scenes", "ssl_probes"], limit=60)
        >>> run.table().task.unique().tolist()[:2]
        ['scenes', 'ssl_rotation_90']
    """
    several = not isinstance(models, str | Path)
    plan = EvaluationPlan.of(
        [str(models)] if isinstance(models, str | Path) else map(str, models),
        [tasks] if isinstance(tasks, str) else tasks,
        data_values(data),
        limit=limit,
        skip_bad=skip_bad,
        engine=engine,
        options=EngineOptions.from_pairs(as_pairs(options or {}), EngineOptions(workers=workers)),
        preset=preset,
        prompt=prompt,
        image=image,
        repeats=repeats,
        seed=seed,
        temperature=temperature,
        max_tokens=max_tokens,
        extractor=extractor,
        out=None if out is None else Path(out),
        max_error_rate=max_error_rate,
        shard=None if shard is None else Shard.parse(shard),
        command=("ssl4rl_bench.evaluate",),
    )
    runs = Runs(open_run(one.path) for one in evaluate_plan(plan, progress))
    return runs if several else runs[0]


def evaluate_plan(
    plan: EvaluationPlan, observer: Observer = SILENT, stop: threading.Event | None = None
) -> list[Evaluation]:
    """Starts or resumes a run for each model of the plan.

    Args:
        stop: once this event is set, no further request is sent (`runner.execute`).

    Raises:
        UsageError, ModelError, DataError, MissingDependency: no request was sent.
        BenchError: as `runner.execute` and `RunDir.create`. All replies received so far are kept, also those
            of other models.
    """
    name, subjects = subjects_of(plan)
    tasks = load_tasks(plan, observer)
    done = []
    for given in subjects:
        subject = given
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
    """Evaluates checkpoints one after another and reuses the engine as long as it can swap the weights."""

    def __init__(
        self,
        plan: EvaluationPlan,
        tasks: Sequence[Task],
        observer: Observer = SILENT,
        stop: threading.Event | None = None,
    ) -> None:
        self._plan, self._tasks, self._observer, self._stop = plan, tasks, observer, stop
        self._name = resolve_name(plan.engine)
        self._engine: Engine | None = None

    def __call__(self, model: Model, path: Path) -> dict[str, Any]:
        """Starts or resumes a run in the directory `path` and returns its result.

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


def _place(
    plan: EvaluationPlan, subject: Subject, engine: Engine, tasks: Sequence[Task], several: bool
) -> Path:
    """Returns the run directory of a model."""
    if plan.out is not None:
        return plan.out / slug_of(subject.label) if several else plan.out
    place = default_place(spec_of(plan, subject, engine.name, engine.version, tasks))
    return place if plan.shard is None else place.with_name(f"{place.name}.{plan.shard.suffix}")


def evaluate_one(
    plan: EvaluationPlan,
    subject: Subject,
    engine: Engine,
    tasks: Sequence[Task],
    path: Path,
    observer: Observer = SILENT,
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """Starts or resumes the run of one model in the directory `path` and returns its result.

    Raises:
        BenchError: as `runner.execute` and `RunDir.create`. All replies received so far are kept.
    """
    check_tasks(engine, tasks)
    spec, parts = narrowed(plan, spec_of(plan, subject, engine.name, engine.version, tasks), tasks)
    before = RunDir.open(path).spec if (path / "spec.json").is_file() else spec
    with RunDir.create(path, spec) as run:
        for clause in spec.moved(before):
            observer.say(f"note: {clause}, with the same content")
        loading = {
            task.name: {**how, "task": name}
            for task, (name, how) in zip(tasks, plan.loading.items(), strict=True)
        }
        shard = None if plan.shard is None else str(plan.shard)
        info = ExecInfo.capture(plan.command, dataclasses.asdict(plan.options), loading, shard)
        run.record(info)
        what = "run" if shard is None else f"shard {shard}, run"
        observer.say(f"{subject.label}: engine {engine.name} {engine.version}, {what} {path}")
        ended, seconds = "failed", {}
        try:
            with observer.running(parts, plan.extractor) as on_event:
                execute(
                    parts,
                    engine,
                    run,
                    spec,
                    max_error_rate=plan.max_error_rate,
                    on_event=on_event,
                    stop=stop,
                )
            seconds = _margins(plan, engine, run, parts, observer, stop)
            result = run.shown(score_and_write(run, parts, plan.extractor))
            ended = "complete"
        except BenchError as error:
            ended = str(error)
            raise
        except KeyboardInterrupt:
            ended = "aborted"
            raise
        finally:
            measures = engine.measures() if isinstance(engine, Measures) else {}
            if seconds:
                measures = {**measures, "margin_seconds": seconds}
            run.record(info.ended(ended, measures))
    return result


def _margins(
    plan: EvaluationPlan,
    engine: Engine,
    run: RunDir,
    tasks: Sequence[Task],
    observer: Observer,
    stop: threading.Event | None,
) -> dict[str, float]:
    """Measures the margins of probes. If the engine fails, a warning replaces them, and the run has no margin.

    Returns:
        The seconds by task (`measure_margins`).
    """
    if not plan.options.margin:
        return {}
    try:
        return measure_margins(tasks, engine, run, plan.extractor, observer, stop)
    except EngineError as error:
        engine.close()  # it starts again if it is needed
        run.log(f"no margin: {error}")
        observer.warn(f"the margin was not measured; the same command tries it again: {error}")
        return {}
