"""TRL's GRPOTrainer with three additions: shared prompts, timed phases, and checkpoints saved by a callback.

`grpo.assembly` makes the trainer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.engines.loading import load_network
from ssl4rl_bench.train import shared_prompts, vision_tokens
from ssl4rl_bench.train.data import Rows
from ssl4rl_bench.train.guards import TrainingGuards
from ssl4rl_bench.train.journal import renamed

PHASES = ("data", "rollout", "reward", "logprobs", "update")
"""The phases of a step, timed in seconds on the main process. "logprobs" computes the log-probabilities under
the sampling policy and the base, where they are needed."""
IMAGES = ("pixel_values", "image_grid_thw", "num_images")
"""TRL's keys for the replies' images: all patches, all grids, and the number of images per reply."""


class SSLTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """A GRPO trainer of SSL tasks.

    Args:
        rows: makes the columns of the training set.
        on_save: called on every process with (trainer, write), where `write(folder)` writes the checkpoint to
            that folder as transformers' Trainer does.
        on_log: called on the main process with each line of metrics, under this project's names.
        guards: checks each update, and the rewards of each step.
        share_prompts: whether a group's prompt is computed once (`shared_prompts`); micro-batches must then
            hold complete groups.
    """

    def __init__(
        self,
        *args: Any,
        rows: Rows,
        on_save: Callable[[SSLTrainer, Callable[[Path], None]], None],
        on_log: Callable[[dict[str, float]], None],
        guards: TrainingGuards,
        share_prompts: bool,
        **kwargs: Any,
    ) -> None:
        self.rows, self.on_save, self.on_log, self.guards = rows, on_save, on_log, guards
        self.share_prompts = share_prompts
        self.spent = dict.fromkeys(PHASES, 0.0)
        self._save_into: Path | None = None
        self._asked: set[str] = set()
        self._buffered_inputs: Any = None
        super().__init__(*args, **kwargs)
        ids = vision_tokens.vision_token_ids(self.model.config, self._tokenizer)
        for network in filter(None, (self.model, self.ref_model)):
            vision_tokens.shield(network, ids, self._tokenizer.pad_token_id)

    # Resuming

    def _load_from_checkpoint(self, path: str, model: Any = None) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled or is_peft_model(self.model):
            super()._load_from_checkpoint(path, model)
            return
        # The saved keys have the hub's names; only from_pretrained maps them back.
        saved = load_network(Path(path), type(self.model), dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.args.device.type == "cpu":
            # With several processes the device is "cpu:0", to which torch cannot load tensors.
            self.args._setup_devices = torch.device("cpu")
        super()._load_optimizer_and_scheduler(checkpoint)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
        out = super()._init_training_state(*args, **kwargs)
        # TRL chooses the next slice of a step's replies by a count of micro-batches that it does not save.
        self._step = self.state.global_step * self.args.gradient_accumulation_steps
        return out

    # Saving

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        def write(folder: Path) -> None:
            self._save_into = folder
            try:
                super(SSLTrainer, self)._save_checkpoint(model, trial)
            finally:
                self._save_into = None

        self.on_save(self, write)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._save_into) if self._save_into else str(super()._get_output_dir(trial))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: `reports.model_card` writes the model card."""

    # Guards

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the loss. With DeepSpeed it is checked here, as its backward pass includes the update."""
        loss = super().compute_loss(*args, **kwargs)
        if self.is_deepspeed_enabled:
            self.guards.require_finite(self, loss.detach())
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # The Trainer calls this after the backward passes of an update and before the optimizer's step.
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self.guards.require_finite(self, self._tr_loss, norm)
        return norm

    # Shared prompts

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not (self.share_prompts and self.model.training):
            return super()._prepare_inputs(generation_batch)
        every = self.args.steps_per_generation * self.num_iterations
        if self._step % every == 0 or self._buffered_inputs is None:
            # The same as in TRL, except that replies are not shuffled, which would scatter the groups.
            batch = split_pixel_values_by_grid(self._generate_and_score_completions(generation_batch))
            parts = split_tensor_dict(batch, self.args.steps_per_generation)
            self._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in parts]
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        if not self._own_rollouts:
            return super()._tokenize_prompts(prompts)
        # TRL has each prompt `num_generations` times in a row; each is tokenized only once here.
        ids, images, fields = super()._tokenize_prompts(prompts[:: self.num_generations])
        n = self.num_generations
        return _repeated(ids, n), _repeated(images, n) if images else images, fields

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, **kwargs: Any
    ) -> Any:
        if not self._own_rollouts:
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, **kwargs
            )
        prompts = [torch.tensor(ids) for ids in prompt_ids[::num_generations]]
        fields = {"input_ids": prompts, "attention_mask": [torch.ones_like(ids) for ids in prompts]}
        for key, value in multimodal_fields.items():
            fields[key] = value if isinstance(value, torch.Tensor) else [torch.tensor(v) for v in value]
        for key, value in fields.items():
            if isinstance(value, list):
                padding = self._tokenizer.pad_token_id if key == "input_ids" else 0
                fields[key] = pad_sequence(value, True, padding, padding_side="left")
        inputs = super(GRPOTrainer, self)._prepare_inputs(fields)
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                generation_kwargs=self.generation_kwargs,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            self.accelerator.autocast(),
        ):
            dice = self._dice(inputs["input_ids"].device)
            core = _without_adapters(model)
            replies = shared_prompts.generate(core, inputs, num_generations, self._greedy(), dice)
        ends = torch.isin(replies, torch.tensor(self.eos_token_ids, device=replies.device))
        lengths = torch.where(ends.any(1), ends.int().argmax(1) + 1, replies.shape[1])
        return [row[:n].tolist() for row, n in zip(replies.cpu(), lengths.tolist(), strict=True)], None

    @property
    def _own_rollouts(self) -> bool:
        """Whether `shared_prompts.generate` makes the replies: without vLLM and without sharded weights."""
        return not (self.use_vllm or self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _greedy(self) -> GenerationConfig:
        """Returns a greedy configuration, because `GumbelNoise` adds the randomness to the scores."""
        keep = ("max_new_tokens", "pad_token_id", "bos_token_id", "eos_token_id", "suppress_tokens")
        return GenerationConfig(
            do_sample=False,
            **{key: self.generation_kwargs[key] for key in keep if key in self.generation_kwargs},
        )

    def _dice(self, device: Any) -> LogitsProcessorList:
        """Returns processors that apply temperature, top-k and top-p, and then draw one token.

        Each reply has its own seed, derived from the run's seed, the row, and the reply's index in its group.
        """
        n = self.num_generations
        seeds = [seed_of("reply", self.args.seed, row, i % n) for i, row in enumerate(self._row_numbers)]
        out = LogitsProcessorList([TemperatureLogitsWarper(self.temperature)])
        if self.top_k:
            out.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1:
            out.append(TopPLogitsWarper(self.top_p))
        out.append(shared_prompts.GumbelNoise(seeds, device))
        return out

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **kwargs: Any,
    ) -> Any:
        # A masked reply may hold a placeholder of an image, which the model would count.
        input_ids = input_ids.masked_fill(attention_mask == 0, self._tokenizer.pad_token_id)
        if not (self.share_prompts and self.model.training):
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size=batch_size,
                compute_entropy=compute_entropy,
                **kwargs,
            )
        size = batch_size or len(input_ids)
        images = {key: kwargs[key] for key in IMAGES if kwargs.get(key) is not None}
        by_reply = split_pixel_values_by_grid(images)
        logps, entropies = [], []
        for start in range(0, len(input_ids), size):
            rows = slice(start, min(start + size, len(input_ids)))
            firsts = range(rows.start, rows.stop, self.num_generations)
            before = input_ids.shape[1] - logits_to_keep
            packed = shared_prompts.pack(
                input_ids[firsts, :before],
                attention_mask[firsts, :before],
                input_ids[rows, before:],
                attention_mask[rows, before:],
            )
            shown = {key: torch.cat([by_reply[key][i] for i in firsts]) for key in IMAGES[:2] if images}
            types = kwargs.get("mm_token_type_ids")
            positions = _without_adapters(self.accelerator.unwrap_model(model)).model.get_rope_index(
                input_ids[firsts, :before],
                image_grid_thw=shown.get("image_grid_thw"),
                attention_mask=attention_mask[firsts, :before],
                mm_token_type_ids=None if types is None else types[firsts, :before],
            )[0]
            with self.accelerator.autocast():
                out = model(
                    input_ids=packed.input_ids,
                    attention_mask=shared_prompts.attention_mask(
                        packed.allowed, self.model.config._attn_implementation
                    ),
                    position_ids=packed.positions(positions),
                    labels=packed.labels,
                    fused_lm_head=True,
                    **shown,
                )
            logps.append(packed.per_reply(out.log_probs))
            if compute_entropy:
                entropies.append(packed.per_reply(out.entropy))
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    # Times and metrics

    @contextmanager
    def _timed(self, phase: str) -> Any:
        """Adds the duration of a block to a phase, excluding the phases nested in it."""
        before, start = sum(self.spent.values()), time.perf_counter()
        try:
            yield
        finally:
            inside = sum(self.spent.values()) - before
            self.spent[phase] += time.perf_counter() - start - inside

    def _generate(self, prompts: list[Any]) -> Any:
        with self._timed("rollout"):
            return super()._generate(prompts)

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
        with self._timed("reward"):
            self._rewards = super()._calculate_rewards(*args, **kwargs)
        return self._rewards

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self._row_numbers = [row["row"] for row in inputs]
        with self._timed("logprobs"):
            out = super()._generate_and_score_completions(inputs)
        self._asked |= self.guards.watch_rewards(self, [row["task"] for row in inputs], self._rewards)
        return out

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Performs the training step of transformers' Trainer and times it."""
        with self._timed("update"):
            return super().training_step(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs as TRL does, and passes the metrics to `on_log` under this project's names."""
        self.spent["data"], self.rows.seconds = self.rows.seconds, 0.0
        if self.accelerator.is_main_process and "train_runtime" not in logs:
            self.on_log(self.renamed_metrics(logs))
        self.spent, self._asked = dict.fromkeys(PHASES, 0.0), set()
        super().log(logs, start_time)

    def renamed_metrics(self, logs: dict[str, float]) -> dict[str, float]:
        """Returns the metrics since the last log and `logs`, under this project's names.

        Tasks without prompts since then are omitted; other values may be NaN.
        """
        metrics = {key: _mean(values) for key, values in self._metrics["train"].items()}
        for name in set(self.reward_func_names) - self._asked:
            metrics.pop(f"rewards/{name}/mean", None)
        return renamed({**metrics, **logs}, self.spent)


def _without_adapters(model: Any) -> Any:
    return model.get_base_model() if is_peft_model(model) else model


def _repeated(items: list[Any], n: int) -> list[Any]:
    return [item for item in items for _ in range(n)]


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else math.nan
