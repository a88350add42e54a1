"""A GRPO run from a recipe: model, training set and reward put together around TRL's trainer."""

from __future__ import annotations

import importlib
import os
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import DataError, Interrupted, ModelError, StoreError, UsageError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.scheme import SCHEME
from ssl4rl_bench.engines.allocator import keep_freed_memory
from ssl4rl_bench.engines.checkpoints.files import read_config, read_json
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.engines.inputs import load_processor as processor_of
from ssl4rl_bench.engines.loading import load_network
from ssl4rl_bench.task.registry import select_images
from ssl4rl_bench.train import checkpoint, overlap
from ssl4rl_bench.train.data import Asked, Rows, TrainingSet, asked
from ssl4rl_bench.train.journal import METRICS, Metrics
from ssl4rl_bench.train.planning.sizes import Sizes, shares_prompts, sizes
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.reporting import Reporter, Silent
from ssl4rl_bench.train.rewards import SSLReward
from ssl4rl_bench.train.stopping import Stopping

RECIPE, DATA = "recipe.json", "data.json"


@dataclass(frozen=True)
class Length:
    """How long a run is."""

    steps: int
    """Of the whole run, as the recipe says; the learning rate's schedule is over these."""
    stop_at: int
    """Where this call stops."""


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    max_steps: int | None = None,
    report: Reporter | None = None,
) -> Path:
    """Trains by a recipe and returns the last checkpoint.

    Under `accelerate launch` all processes call this together.

    Args:
        out: the run's folder, made if it is not there.
        resume: go on from the newest checkpoint in `out`.
        max_steps: stop after this many steps of the run, counted from its start; the schedule stays the recipe's.

    Raises:
        StoreError: the folder holds another run, or this one and `resume` is not given; full disk.
        UsageError: numbers that do not come out even on these processes; training images in an evaluation set; vLLM
            without a GPU.
        DataError, ModelError: as the images and the base are.
        Interrupted: SIGTERM or Ctrl-C; a checkpoint was saved before.
    """
    from accelerate import PartialState

    if not _has_gpu():
        keep_freed_memory()
    _quiet(vllm=recipe.rollout.engine != "transformers")
    if recipe.rollout.engine != "transformers" and not _has_gpu():
        raise UsageError(
            f"rollout.engine = {recipe.rollout.engine} needs a GPU, since vLLM for CPUs cannot take new weights: "
            "--set rollout.engine=transformers"
        )
    state = PartialState(cpu=not _has_gpu())
    report = report if report and state.is_main_process else Silent()
    if recipe.hardware.threads and not _has_gpu():
        import torch

        torch.set_num_threads(recipe.hardware.threads)
    parts = sizes(recipe, state.num_processes)
    with state.main_process_first():
        last = _opened(out, recipe, resume, state.is_main_process)
    model_from = resolve_model(recipe.model.base, chat=True)
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        processor = load_processor(recipe, model_from)
        selection = stack.enter_context(
            select_images(
                recipe.data.images,
                split=recipe.data.images_split,
                ratio=recipe.data.split,
                limit=recipe.data.limit,
            )
        )
        training_set, data = prepared(recipe, selection, processor, report)
        length = _length(recipe, training_set, parts, max_steps)
        if last and _steps_of(last, parts) >= length.stop_at:
            report.note(f"{last} is already at step {length.stop_at}: nothing to do")
            return last
        if state.is_main_process:
            atomic.write_json(out / DATA, data)
        rows = Rows(training_set, training_set.first(length.steps * parts.prompts), keep=parts.prompts)
        metrics = Metrics(
            out,
            parts,
            length.steps,
            from_step=_steps_of(last, parts) if last else 0,
            main=state.is_main_process,
            report=report,
        )
        trainer = _trainer(
            recipe, out, parts, length, model_from, processor, rows, data, metrics, stopping, report
        )
        if resume and last:
            report.note(f"going on from {last.name}")
        view = checkpoint.as_trainer_wrote(last, state) if last else nullcontext()
        with view as flat:
            trainer.train(resume_from_checkpoint=str(flat) if last else None)
        done = checkpoint.whole(out)[-1]
        if state.is_main_process and (out / METRICS).is_file():
            _draw(out, recipe, report)  # a signal that comes now finds the run whole
    if stopping.ends and _steps_of(done, parts) < length.stop_at:
        raise Interrupted(f"interrupted; {done} is saved, and --resume goes on from there")
    return done


def is_main() -> bool:
    """Whether this is the process that writes and speaks."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def load_processor(recipe: Recipe, base: Model) -> Any:
    """The base's processor, with the recipe's pixel limits."""
    processor = processor_of(base.path)
    size = processor.image_processor.size
    low, high = recipe.model.min_pixels, recipe.model.max_pixels
    processor.image_processor.size = {
        "shortest_edge": low or size["shortest_edge"],
        "longest_edge": high or size["longest_edge"],
    }
    processor.tokenizer.padding_side = "left"
    return processor


def prepared(
    recipe: Recipe, selection: Any, processor: Any, report: Reporter
) -> tuple[TrainingSet, dict[str, Any]]:
    """The training set, audited and measured, and what data.json says of it.

    Raises:
        UsageError: images of an audited set that nobody asked for.
        DataError: prompts that are too long; no image left.
    """
    selection = _of_split(selection, recipe.data.split)
    overlaps = overlap.audit(selection, recipe.data.audit, on_progress=report.stage)
    for found in overlaps:
        report.note(_sentence(found))
    leave_out = overlap.enforce(overlaps, recipe.data)
    tasks = asked(recipe.tasks, recipe.data.prompt)
    made = TrainingSet(
        selection,
        tasks,
        seed=recipe.seed,
        frozen=recipe.data.frozen,
        shuffled=recipe.reward.shuffled,
        tokens=_Tokens(processor, tasks),
        max_tokens=recipe.grpo.max_prompt_tokens,
        leave_out=frozenset(leave_out),
        on_progress=lambda done, total: report.stage("looking at", done, total),
    )
    limit = recipe.grpo.max_prompt_tokens
    if made.n_over_long and recipe.data.over_long == "refuse":
        raise DataError(
            f"{made.n_over_long} of {len(made.pictures)} images give prompts of more than {limit} tokens, the "
            f"longest {made.longest}: raise grpo.max_prompt_tokens, lower model.max_pixels, or write "
            'data.over_long = "drop"'
        )
    made.require_images()
    unusable = sum(made.unusable.values())
    report.note(
        f"{made.n_images} training images from {selection.source}; prompts of at most {made.longest} tokens"
        + (f"; {made.n_over_long} left out as too long" if made.n_over_long else "")
        + (f"; {made.n_left_out} left out as evaluation images" if made.n_left_out else "")
    )
    for reason, n in sorted(made.unusable.items()):
        report.note(f"not used for {n} images: {reason}")
    manifest = made.manifest()
    data = {
        "source": selection.source,
        "images": made.n_images,
        "manifest_sha256": sha256_json(manifest),
        "over_long": made.n_over_long,
        "left_out": made.n_left_out,
        "unusable": unusable,
        "tokens": {
            "longest": made.longest,
            "mean": statistics.mean(n for n, _ in made.tokens_seen),
            "mean_of_images": statistics.mean(n for _, n in made.tokens_seen),
        },
        "unusable_by_reason": made.unusable,
        "counts": selection.counts(),
        "overlap": [found.as_json() for found in overlaps],
        "overlap_details": [found.details() for found in overlaps],
        "transductive": recipe.data.transductive,
        "manifest": manifest,
    }
    return made, data


class _Tokens:
    """Counts a prompt's tokens without making pixel values."""

    def __init__(self, processor: Any, tasks: list[Asked]) -> None:
        self.image_processor = processor.image_processor
        self.merged = processor.image_processor.merge_size**2
        self.text: dict[tuple[str, int], int] = {}
        self.processor = processor

    def __call__(self, a: Asked, images: Any) -> tuple[int, int]:
        key = (a.name, len(images))
        if key not in self.text:
            content = [*({"type": "image"} for _ in images), {"type": "text", "text": a.prompt}]
            chat = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
            self.text[key] = len(self.processor.tokenizer(chat)["input_ids"]) - len(images)
        patches = sum(self.image_processor.get_number_of_image_patches(i.height, i.width, {}) for i in images)
        of_images = int(patches // self.merged)
        return self.text[key] + of_images, of_images


def grpo_config(recipe: Recipe, out: Path, parts: Sizes, length: Length) -> Any:
    """TRL's settings for a recipe on so many processes."""
    from trl import GRPOConfig

    g, opt, roll = recipe.grpo, recipe.optimizer, recipe.rollout
    gpu = _has_gpu()
    schedule = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}[opt.schedule]
    return GRPOConfig(
        output_dir=str(out),
        max_steps=length.steps * parts.updates_a_step,
        per_device_train_batch_size=parts.micro_batch,
        gradient_accumulation_steps=parts.accumulate,
        steps_per_generation=parts.micro_batches,
        num_generations=g.group,
        num_iterations=g.iterations,
        max_completion_length=g.max_reply_tokens,
        temperature=g.temperature,
        top_p=g.top_p,
        top_k=g.top_k,
        beta=g.kl,
        use_bias_correction_kl=False,
        epsilon=g.clip,
        epsilon_high=g.clip_high,
        delta=g.delta,
        entropy_coef=g.entropy,
        loss_type=g.loss,
        scale_rewards=g.scale,
        mask_truncated_completions=g.mask_truncated,
        learning_rate=opt.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=opt.warmup,
        weight_decay=opt.weight_decay,
        max_grad_norm=opt.clip_norm,
        adam_beta1=opt.beta1,
        adam_beta2=opt.beta2,
        bf16=recipe.model.compute == "bfloat16",
        gradient_checkpointing=recipe.model.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        use_vllm=roll.engine != "transformers",
        vllm_mode="server" if roll.engine == "vllm_server" else "colocate",
        vllm_server_base_url=roll.server if roll.engine == "vllm_server" else None,
        vllm_gpu_memory_utilization=roll.gpu_memory,
        vllm_tensor_parallel_size=roll.tensor_parallel,
        vllm_enable_sleep_mode=roll.sleep,
        vllm_max_model_length=g.max_prompt_tokens + g.max_reply_tokens,
        vllm_importance_sampling_correction=roll.correct_mismatch,
        shuffle_dataset=False,  # rows are in their order already
        remove_unused_columns=False,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        seed=recipe.seed,
        save_strategy="steps",
        save_steps=recipe.save.every * parts.updates_a_step,
        logging_steps=recipe.log.every * parts.updates_a_step,
        logging_nan_inf_filter=False,
        report_to=[name for name in recipe.log.to if _installed(name)],
        log_multimodal=False,
        disable_tqdm=True,
    )


def _trainer(
    recipe: Recipe,
    out: Path,
    parts: Sizes,
    length: Length,
    base: Model,
    processor: Any,
    rows: Rows,
    data: Mapping[str, Any],
    metrics: Metrics,
    stopping: Stopping,
    report: Reporter,
) -> Any:
    import torch
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback

    from ssl4rl_bench.train.trainer import SSLTrainer

    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard")
    for name in recipe.log.to:
        if not _installed(name):
            report.note(f"{name} is not installed: nothing is logged to it")
    model = load_network(
        base.path, dtype=getattr(torch, recipe.model.dtype), attn_implementation=recipe.model.attention
    )
    if recipe.model.freeze_vision:
        model.model.visual.requires_grad_(False)
    rewards = SSLReward(
        {a.name: a.task for a in rows.training_set.asked},
        scheme=recipe.reward.scheme,
        format_weight=recipe.reward.format_weight,
        extractor=recipe.reward.extractor,
        end_ids=_end_ids(model, processor),
    ).by_task()
    started = time.time()

    def origin(updates: int) -> dict[str, Any]:
        steps = updates / parts.updates_a_step
        return {
            "schema": 1,
            "kind": "grpo",
            "name": recipe.name,
            "step": updates // parts.updates_a_step,
            "updates": updates,
            "samples": round(steps * parts.prompts),
            "epochs": round(steps * parts.prompts / rows.training_set.rows_an_epoch, 4),
            "seed": recipe.seed,
            "recipe": recipe.values(),
            "recipe_sha256": recipe.sha256,
            "fingerprint_scheme": SCHEME,
            "base": {"name": base.name, "fingerprint": base.fingerprint, "revision": base.revision},
            "data": {
                key: data[key]
                for key in (
                    "source",
                    "images",
                    "manifest_sha256",
                    "over_long",
                    "left_out",
                    "unusable",
                    "overlap",
                    "transductive",
                )
            },
            "processes": parts.processes,
            "seconds_of_last_start": round(time.time() - started),
            "versions": _versions(),
            "metrics": metrics.last,
        }

    def saved(folder: Path) -> None:
        from ssl4rl_bench.reports.model_card.write import write_card

        write_card(folder)
        report.saved(folder)

    optimizer = None
    if recipe.optimizer.name == "muon":
        from ssl4rl_bench.train.muon import MuonAdamW

        optimizer = MuonAdamW(
            model.named_parameters(), recipe.optimizer.learning_rate, recipe.optimizer.weight_decay
        )
    trainer = SSLTrainer(
        model=model,
        reward_funcs=rewards,
        args=grpo_config(recipe, out, parts, length),
        train_dataset=Dataset.from_dict({"row": range(len(rows.rows))}).with_transform(rows),
        processing_class=processor,
        peft_config=_lora(recipe),
        optimizers=(optimizer, None),
        callbacks=[stopping.callback(length.stop_at * parts.updates_a_step)],
        rows=rows,
        on_save=checkpoint.Saver(
            out,
            updates_a_step=parts.updates_a_step,
            keep=recipe.save.keep,
            dtype=str(model.config.dtype).removeprefix("torch.")
            if recipe.model.dtype != "float32"
            else _shipped(base),
            base=base.path,
            origin=origin,
            on_saved=saved,
        ),
        on_log=metrics.log,
        share_prompts=shares_prompts(recipe, parts),
    )
    trainer.remove_callback(PrinterCallback)
    metrics.watch(trainer, recipe.log.completions)
    return trainer


def _lora(recipe: Recipe) -> Any:
    if recipe.lora is None:
        return None
    from peft import LoraConfig

    part = recipe.lora
    return LoraConfig(
        r=part.rank,
        lora_alpha=part.alpha,
        lora_dropout=part.dropout,
        target_modules=list(part.targets),
        exclude_modules=r".*visual.*" if recipe.model.freeze_vision else None,
        task_type="CAUSAL_LM",
    )


def _opened(out: Path, recipe: Recipe, resume: bool, main: bool) -> Path | None:
    """The run's folder, ready; the checkpoint to go on from, or None."""
    known = out / RECIPE
    if known.is_file():
        _same(known, recipe, out)
        last = checkpoint.last_resumable(out)
        if last and not resume:
            raise StoreError(
                f"{out} already holds a run, up to {last.name}: --resume goes on, --out starts another"
            )
    elif out.is_dir() and atomic.contents(out):
        raise StoreError(f"{out} is not empty and holds no run of this command: choose another --out")
    else:
        last = None
    if main:
        with atomic.reporting(out):
            out.mkdir(parents=True, exist_ok=True)
        checkpoint.clean(out)
        atomic.write_json(known, recipe.values())
    return last


def _same(known: Path, recipe: Recipe, out: Path) -> None:
    import json

    old, new = _flat(read_json(known)), _flat(json.loads(atomic.to_text(recipe.values())))
    # What only says how a run is carried out may change in its course.
    free = ("save.", "log.", "hardware.", "rollout.", "grpo.micro_batch", "model.gradient_checkpointing")
    differ = [
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(free)
    ]
    if differ:
        raise StoreError(
            f"{out} holds a run of another recipe ({', '.join(differ)} "
            f"{'differs' if len(differ) == 1 else 'differ'}): choose another --out"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


def _length(recipe: Recipe, training_set: TrainingSet, parts: Sizes, max_steps: int | None) -> Length:
    g = recipe.grpo
    by_epochs = None if g.epochs is None else int(g.epochs * training_set.rows_an_epoch) // parts.prompts
    steps = min(n for n in (g.steps, by_epochs) if n is not None)
    if steps < 1:
        raise DataError(
            f"{g.epochs:g} epochs of {training_set.rows_an_epoch} prompts are less than one step of {parts.prompts}: "
            "lower grpo.prompts, or give more images"
        )
    return Length(steps, min(steps, max_steps or steps))


def _steps_of(folder: Path, parts: Sizes) -> int:
    return int(folder.name.removeprefix("step-").split(".")[0])


def _sentence(found: overlap.Overlap) -> str:
    shared = len(found.exact) + len(found.near)
    return (
        f"{shared} training images are in {found.set} or look like one that is"
        if shared
        else f"no training image is in {found.set} ({found.images} images compared)"
    )


def _of_split(selection: Any, split: float | None) -> Any:
    """The training share of a selection."""
    if split is None:
        return selection
    import dataclasses

    kept = tuple(picture for picture in selection.kept if picture.split == "train")
    if not kept:
        raise DataError(f"{selection.source}: data.split = {split:g} leaves no training images: raise it")
    return dataclasses.replace(selection, kept=kept)


def _end_ids(model: Any, processor: Any) -> tuple[int, ...]:
    ids = model.generation_config.eos_token_id or processor.tokenizer.eos_token_id
    known = {processor.tokenizer.eos_token_id, *(ids if isinstance(ids, list) else [ids])}
    return tuple(sorted(known))


def _shipped(base: Model) -> str:
    """The dtype of the base's weights: what checkpoints have too."""

    config = read_config(base.path)
    dtype = config.get("dtype") or config.get("torch_dtype") or config.get("text_config", {}).get("dtype")
    if dtype not in ("bfloat16", "float16", "float32"):
        raise ModelError(f"{base.path / 'config.json'} does not say the weights' dtype; download it again")
    return str(dtype)


def _draw(out: Path, recipe: Recipe, report: Reporter) -> None:
    from ssl4rl_bench.train.curves import draw

    exact = recipe.reward.scheme == "exact" and not recipe.reward.format_weight
    chance = {short_name(a.name): a.task.chance for a in asked(recipe.tasks, recipe.data.prompt)}
    draw(out / METRICS, out / "curves.png", recipe.name, chance if exact else None)


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "trl", "accelerate", "peft", "vllm")
    out = {"ssl4rl_bench": version("ssl4rl-bench")}
    for name in names:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def _installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _quiet(vllm: bool) -> None:
    """Warnings and bars of the libraries off; the import of vLLM too, where it is not needed."""
    import logging
    import warnings

    from datasets.utils import logging as datasets_logging
    from transformers.utils import logging as transformers_logging

    datasets_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if not vllm:
        # TRL imports vLLM wherever it is installed: ten seconds, and words of its own.
        imports: Any = importlib.import_module("trl.import_utils")
        imports.is_vllm_available = lambda min_version=None: False
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(trl|transformers|torch|peft)\b.*")
