"""Makes TRL's trainer from the model, data, rewards, optimizer and settings of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ssl4rl_bench.engines.loading import load_network
from ssl4rl_bench.train import checkpoint
from ssl4rl_bench.train.data import Rows
from ssl4rl_bench.train.grpo.dataset import Dataset
from ssl4rl_bench.train.grpo.job import TrainingJob
from ssl4rl_bench.train.grpo.process import installed, is_main
from ssl4rl_bench.train.grpo.provenance import Origin, shipped_dtype
from ssl4rl_bench.train.grpo.settings import grpo_config, lora_config
from ssl4rl_bench.train.guards import TrainingGuards
from ssl4rl_bench.train.journal import Metrics
from ssl4rl_bench.train.packing import Cost
from ssl4rl_bench.train.planning.shapes import of_folder
from ssl4rl_bench.train.planning.sizes import shares_prompts
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.replay import prompts
from ssl4rl_bench.train.rewards import SSLReward
from ssl4rl_bench.train.stopping import Stopping
from ssl4rl_bench.train.vision_tokens import excluding, vision_token_ids


def make_trainer(
    job: TrainingJob, data: Dataset, processor: Any, metrics: Metrics, stopping: Stopping
) -> Any:
    """Makes the trainer of a run, which saves checkpoints, logs to `metrics`, and obeys `stopping`."""
    import datasets
    from transformers.trainer_callback import PrinterCallback

    from ssl4rl_bench.train.replay.assembly import with_replay
    from ssl4rl_bench.train.trainer import SSLTrainer

    recipe, parts = job.recipe, job.parts
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.out / "tensorboard")
    for name in recipe.log.to:
        if not installed(name):
            job.report.note(f"{name} is not installed: nothing is logged to it")
    ssl_rows = Rows(
        data.training_set, data.training_set.first(job.steps * parts.ssl_prompts), keep=parts.prompts
    )
    model = _network(job)
    reward = SSLReward(
        {a.name: a.task for a in data.training_set.tasks},
        scheme=recipe.reward.scheme,
        format_weight=recipe.reward.format_weight,
        extractor=recipe.reward.extractor,
        end_ids=_end_ids(model, processor),
        other_tasks=(prompts.TASK,) if parts.replayed else (),
    )
    replay = with_replay(data.replay, ssl_rows, reward, processor, parts)
    train_dataset = datasets.Dataset.from_dict({"row": range(job.steps * parts.prompts)})
    if not recipe.grpo.dynamic:  # otherwise the trainer draws the rows
        train_dataset = train_dataset.with_transform(replay.rows)
    saver = _saver(job, model, Origin(job, data, metrics))
    trainer = SSLTrainer(
        model=model,
        reward_funcs=[*reward.by_task(), *replay.rewards],
        args=grpo_config(job, _generation(job, model, processor)),
        train_dataset=train_dataset,
        processing_class=processor,
        peft_config=lora_config(recipe),
        optimizers=(_optimizer(recipe, model), None),
        callbacks=[stopping.callback(job.stop_at * parts.updates_a_step)],
        rows=replay.rows,
        replay=replay.in_trainer,
        on_save=saver,
        on_log=metrics.log,
        guards=TrainingGuards(job.out, parts.updates_a_step, metrics, main=is_main()),
        share_prompts=shares_prompts(recipe, parts),
        cost=Cost.of(of_folder(job.base.path)),
        dynamic_rounds=recipe.grpo.dynamic_rounds if recipe.grpo.dynamic else None,
    )
    # transformers adds this callback, which prints each log, if progress bars are disabled.
    trainer.remove_callback(PrinterCallback)
    metrics.watch(trainer, recipe.log.completions)
    return trainer


def _generation(job: TrainingJob, model: Any, processor: Any) -> dict[str, Any]:
    """Returns arguments that keep the tokens of pictures out of the rollouts."""
    ids = vision_token_ids(model.config, processor.tokenizer)
    return excluding(ids, processor.tokenizer, vllm=job.recipe.rollout.engine != "transformers")


def _network(job: TrainingJob) -> Any:
    """Loads the base's network in the recipe's dtype, without gradients for a frozen vision tower."""
    import torch

    recipe = job.recipe.model
    model = load_network(
        job.base.path, dtype=getattr(torch, recipe.dtype), attn_implementation=recipe.attention
    )
    if recipe.freeze_vision:
        model.model.visual.requires_grad_(False)
    return model


def _optimizer(recipe: Recipe, model: Any) -> Any:
    """Returns Muon if the recipe names it, or None for the trainer's default AdamW."""
    if recipe.optimizer.name != "muon":
        return None
    from ssl4rl_bench.train.muon import MuonAdamW

    return MuonAdamW(model.named_parameters(), recipe.optimizer.learning_rate, recipe.optimizer.weight_decay)


def _saver(job: TrainingJob, model: Any, origin: Origin) -> checkpoint.Saver:
    """Makes the saver, which writes checkpoints with their model cards."""
    recipe = job.recipe

    def saved(folder: Path) -> None:
        from ssl4rl_bench.reports.model_card.write import write_card

        write_card(folder)
        job.report.saved(folder)

    return checkpoint.Saver(
        out=job.out,
        updates_a_step=job.parts.updates_a_step,
        keep=recipe.save.keep,
        dtype=str(model.config.dtype).removeprefix("torch.")
        if recipe.model.dtype != "float32"
        else shipped_dtype(job.base),
        base=job.base.path,
        origin=origin,
        on_saved=saved,
    )


def _end_ids(model: Any, processor: Any) -> tuple[int, ...]:
    """Returns the tokens that end a reply: those of the model and of the tokenizer."""
    ids = model.generation_config.eos_token_id or processor.tokenizer.eos_token_id
    known = {processor.tokenizer.eos_token_id, *(ids if isinstance(ids, list) else [ids])}
    return tuple(sorted(known))
