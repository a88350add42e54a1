"""Carries out a GRPO run from a recipe, starting from an empty folder or a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import Interrupted, UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.datasets.validation import refuse_validation
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.task.registry import select_images
from ssl4rl_bench.train import checkpoint, sharded
from ssl4rl_bench.train.agreement import on_main
from ssl4rl_bench.train.data import training_tasks
from ssl4rl_bench.train.grpo import process
from ssl4rl_bench.train.grpo.assembly import make_trainer
from ssl4rl_bench.train.grpo.continuity import require_same_base, require_same_data
from ssl4rl_bench.train.grpo.dataset import (
    Dataset,
    load_training_processor,
    prepared,
    with_base_replies,
    with_replay,
)
from ssl4rl_bench.train.grpo.folder import DATA, RECIPE, open_folder, require_own_folder, steps_done
from ssl4rl_bench.train.grpo.job import TrainingJob
from ssl4rl_bench.train.journal import METRICS, Metrics
from ssl4rl_bench.train.lock import RunLock, acquire
from ssl4rl_bench.train.lora_targets import adapters_of
from ssl4rl_bench.train.planning.sizes import Sizes, sizes, steps_of
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.reporting import Reporter
from ssl4rl_bench.train.stopping import Stopping


def train_grpo(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    max_steps: int | None = None,
    report: Reporter | None = None,
    stop_file: Path | None = None,
) -> Path:
    """Trains as a recipe specifies and returns the last checkpoint.

    Under `accelerate launch`, all processes must call this together.

    Args:
        out: the run's folder, created if it does not exist.
        resume: whether to continue from the newest checkpoint in `out`.
        max_steps: stop after this many steps, counted from the start of the run; the learning rate schedule
            is not changed.
        stop_file: a file that ends the run after the current step once it exists, as `watch` writes it.

    Raises:
        StoreError: the folder holds another run, or it holds this run and `resume` is false; another process
            trains in it; the base or the data have changed since the checkpoint to resume from; the disk is
            full.
        TrainingError: a loss, a gradient norm or a weight is not finite.
        UsageError: the stop file exists already; a step cannot be divided evenly among the processes; training
            images are in an evaluation set; vLLM without a GPU.
        DataError, ModelError: the images or the base cannot be used.
        Interrupted: SIGTERM, Ctrl-C or the stop file; a checkpoint was saved first.
    """
    stopping = Stopping(stop_file)
    if stopping.by_file:
        raise UsageError(
            f"{stop_file} exists, which stops a training: read its reason, and remove it to train"
        )
    state = process.start(recipe)
    report = report if report and state.is_main_process else Reporter()
    parts = sizes(recipe, state.num_processes)
    with _locked(out, state, report):
        last = on_main(state, lambda: open_folder(out, recipe, resume=resume))
        return _train(recipe, out, parts, last, max_steps, report, stopping)


@contextmanager
def _locked(out: Path, state: Any, report: Reporter) -> Iterator[None]:
    """Holds the lock of the run's folder on the main process; if that fails, all processes raise the error."""
    held: list[RunLock] = []

    def take() -> None:
        require_own_folder(out)
        held.append(acquire(out))

    try:
        on_main(state, take)
        if held and held[0].note:
            report.note(held[0].note)
        yield
    finally:
        for lock in held:
            lock.release()


def _train(
    recipe: Recipe,
    out: Path,
    parts: Sizes,
    last: Path | None,
    max_steps: int | None,
    report: Reporter,
    stopping: Stopping,
) -> Path:
    """Trains in a locked folder from the checkpoint `last`, or from the base; returns the last checkpoint."""
    base = resolve_model(recipe.model.base, chat=True)
    if last:
        require_same_base(last, base)
    adapters = adapters_of(recipe, base.path)
    if adapters:
        report.note(str(adapters))
    wanted = recipe.data
    refuse_validation(wanted.images)
    images = select_images(wanted.images, split=wanted.images_split, ratio=wanted.split, limit=wanted.limit)
    with stopping.handling(), images as selection:
        processor = load_training_processor(recipe, base)
        data = prepared(recipe, selection, processor, report)
        if last:
            require_same_data(last, out / DATA, data.facts)
        steps = steps_of(recipe, parts, data.training_set.rows_an_epoch)
        stop_at = min(steps, max_steps or steps)
        if last and steps_done(last) >= stop_at:
            report.note(f"{last} is already at step {stop_at}: nothing to do")
            return last
        job = TrainingJob(recipe, out, base, parts, steps, stop_at, report, adapters)
        data = with_replay(data, job, processor, last)
        if process.is_main():
            # From here on, the folder is that of a run: it may hold a part of the base's replies.
            atomic.write_json(out / RECIPE, recipe.values())
        data = with_base_replies(data, job, main=process.is_main())
        if process.is_main():
            atomic.write_json(out / DATA, data.facts)
        _fit(job, data, processor, stopping, last)
        done = checkpoint.complete_checkpoints(out)[-1]
        if process.is_main() and (out / METRICS).is_file():
            _draw(out, recipe)  # the run is already complete if a signal arrives now
    if stopping.ends and steps_done(done) < stop_at:
        reason = f"stopped by {stopping.file}" if stopping.by_file else "interrupted"
        raise Interrupted(f"{reason}; {done} is saved, and --resume continues from it")
    return done


def _fit(job: TrainingJob, data: Dataset, processor: Any, stopping: Stopping, last: Path | None) -> None:
    """Trains from the checkpoint `last`, or from the base."""
    from accelerate import PartialState

    state = PartialState()
    metrics = Metrics(
        job.out,
        job.parts,
        job.steps,
        from_step=steps_done(last) if last else 0,
        main=state.is_main_process,
        report=job.report,
    )
    trainer = make_trainer(job, data, processor, metrics, stopping)
    if last:
        sharded.require_resumable(
            last / checkpoint.TRAINER,
            fsdp=trainer.is_fsdp_enabled,
            deepspeed=trainer.is_deepspeed_enabled,
            lora=job.recipe.lora is not None,
            processes=state.num_processes,
        )
        job.report.note(f"continuing from {last.name}")
    with checkpoint.as_trainer_wrote(last, state) if last else nullcontext() as flat:
        trainer.train(resume_from_checkpoint=str(flat) if last else None)


def _draw(out: Path, recipe: Recipe) -> None:
    """Draws the curves of a run, with chance levels if the reward is the share of correct answers."""
    from ssl4rl_bench.train.curves import draw

    exact = recipe.reward.scheme == "exact" and not recipe.reward.format_weight
    chance = {short_name(a.name): a.task.chance for a in training_tasks(recipe.tasks, recipe.data.prompt)}
    draw(out / METRICS, out / "curves.png", recipe.name, chance if exact else None)
