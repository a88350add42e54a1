"""Translates a recipe to the settings of TRL and peft."""

from __future__ import annotations

from typing import Any

from ssl4rl_bench.train.grpo.job import TrainingJob
from ssl4rl_bench.train.grpo.process import has_gpu, installed
from ssl4rl_bench.train.recipe import Recipe

_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
"""transformers' names of the recipe's schedules."""


def grpo_config(job: TrainingJob, generation: dict[str, Any]) -> Any:
    """Returns TRL's settings. A recipe counts steps, TRL counts optimizer updates.

    Args:
        generation: further arguments for the engine of the rollouts.
    """
    from trl import GRPOConfig

    recipe, parts = job.recipe, job.parts
    g, opt = recipe.grpo, recipe.optimizer
    gpu = has_gpu()
    return GRPOConfig(
        output_dir=str(job.out),
        max_steps=job.steps * parts.updates_a_step,
        per_device_train_batch_size=parts.micro_batch,
        gradient_accumulation_steps=parts.accumulate,
        steps_per_generation=parts.micro_batches,
        num_generations=g.group,
        num_iterations=g.iterations,
        max_completion_length=g.max_reply_tokens,
        generation_kwargs=generation,
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
        lr_scheduler_type=_SCHEDULES[opt.schedule],
        warmup_steps=opt.warmup,
        weight_decay=opt.weight_decay,
        max_grad_norm=opt.clip_norm,
        adam_beta1=opt.beta1,
        adam_beta2=opt.beta2,
        bf16=recipe.model.compute == "bfloat16",
        gradient_checkpointing=recipe.model.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        **_vllm(recipe),
        shuffle_dataset=False,  # the rows are already in random order
        remove_unused_columns=False,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        seed=recipe.seed,
        save_strategy="steps",
        save_steps=recipe.save.every * parts.updates_a_step,
        logging_steps=recipe.log.every * parts.updates_a_step,
        logging_nan_inf_filter=False,
        report_to=[name for name in recipe.log.to if installed(name)],
        log_multimodal=False,
        disable_tqdm=True,
    )


def lora_config(recipe: Recipe) -> Any:
    """Returns peft's settings, or None if all weights are trained."""
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


def _vllm(recipe: Recipe) -> dict[str, Any]:
    """Returns the settings of vLLM's rollouts, which TRL ignores if `use_vllm` is false."""
    g, roll = recipe.grpo, recipe.rollout
    return {
        "use_vllm": roll.engine != "transformers",
        "vllm_mode": "server" if roll.engine == "vllm_server" else "colocate",
        "vllm_server_base_url": roll.server if roll.engine == "vllm_server" else None,
        "vllm_gpu_memory_utilization": roll.gpu_memory,
        "vllm_tensor_parallel_size": roll.tensor_parallel,
        "vllm_enable_sleep_mode": roll.sleep,
        "vllm_max_model_length": g.max_prompt_tokens + g.max_reply_tokens,
        "vllm_importance_sampling_correction": roll.correct_mismatch,
    }
