"""TRL's GRPOTrainer with shared prompts, dynamic sampling, timed phases, and checkpoints saved by a callback.

`grpo.assembly` makes the trainer. `scoring`, `rollouts` and `dynamic` override further parts of it.
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
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from ssl4rl_bench.engines.loading import load_network
from ssl4rl_bench.train import sharded, vision_tokens
from ssl4rl_bench.train.data import Rows
from ssl4rl_bench.train.dynamic import DynamicSampling
from ssl4rl_bench.train.guards import TrainingGuards
from ssl4rl_bench.train.journal import renamed
from ssl4rl_bench.train.packing import Cost
from ssl4rl_bench.train.replay.assembly import TrainerReplay
from ssl4rl_bench.train.replay.prompts import ReplayRows
from ssl4rl_bench.train.rollouts import SharedRollouts
from ssl4rl_bench.train.scoring import RowScoring

PHASES = ("data", "rollout", "reward", "logprobs", "update")
"""The phases of a step, timed in seconds on the main process. "logprobs" computes the log-probabilities under
the sampling policy and the base, where they are needed."""


class SSLTrainer(RowScoring, DynamicSampling, SharedRollouts):
    """A GRPO trainer of SSL tasks.

    Args:
        rows: makes the columns of the training set.
        on_save: called on every process with (trainer, write), where `write(folder)` writes the checkpoint to
            that folder as transformers' Trainer does.
        on_log: called on the main process with each line of metrics, under this project's names.
        replay: what `[replay]` adds to the training.
        guards: checks each update, and the rewards of each step.
        share_prompts: whether replies to a prompt may share it (`shared_prompts`); micro-batches must then hold
            complete groups.
        cost: the cost by which rows are planned (`packing`).
        dynamic_rounds: maximum number of rounds of dynamic sampling (`dynamic`); None: no dynamic sampling.
    """

    def __init__(
        self,
        *args: Any,
        rows: Rows | ReplayRows,
        replay: TrainerReplay | None,
        on_save: Callable[[SSLTrainer, Callable[[Path], None]], None],
        on_log: Callable[[dict[str, float]], None],
        guards: TrainingGuards,
        share_prompts: bool,
        cost: Cost,
        dynamic_rounds: int | None,
        **kwargs: Any,
    ) -> None:
        self.rows, self.on_save, self.on_log, self.guards = rows, on_save, on_log, guards
        self.share_prompts, self.cost, self.dynamic_rounds = share_prompts, cost, dynamic_rounds
        self.replay = replay
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
        fsdp = self.is_fsdp_enabled
        as_is = self.is_deepspeed_enabled or is_peft_model(self.model)
        if as_is or (fsdp and (Path(path) / sharded.FSDP_WEIGHTS).is_file()):
            super()._load_from_checkpoint(path, model)
            return
        # The saved keys have the hub's names; only from_pretrained maps them back.
        if fsdp:
            sharded.load_weights(model, Path(path), self.model.dtype, main=self.accelerator.is_main_process)
        else:
            saved = load_network(Path(path), type(self.model), dtype=self.model.dtype)
            self.model.load_state_dict(saved.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.args.device.type == "cpu":
            # With several processes the device is "cpu:0", to which torch cannot load tensors.
            self.args._setup_devices = torch.device("cpu")
        if checkpoint and not self.is_deepspeed_enabled:
            # Checkpoints of FSDP name the optimizer's parameters, and others number them.
            if self.accelerator.is_main_process:
                names = sharded.parameter_names(self.model, self.optimizer)
                sharded.convert_optimizer(Path(checkpoint), names, fsdp=self.is_fsdp_enabled)
            self.accelerator.wait_for_everyone()
        super()._load_optimizer_and_scheduler(checkpoint)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
        out = super()._init_training_state(*args, **kwargs)
        # TRL chooses the next slice of a step's replies by a count of micro-batches that it does not save.
        self._step = self.state.global_step * self.args.gradient_accumulation_steps
        self._restore_drawn()
        return out

    # Saving

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._record_drawn()

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

    def compute_loss(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes the loss with the replay's part.

        With DeepSpeed it is checked here, as its backward pass includes the update.
        """
        loss = super().compute_loss(model, *args, **kwargs)
        if self.replay is not None:
            loss = self.replay.add(self, model, loss)
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
        inputs = self.sampled(inputs)
        self._row_numbers = [row["row"] for row in inputs]
        with self._timed("logprobs"):
            out = super()._generate_and_score_completions(inputs)
        self._asked |= self.guards.watch_rewards(self, [row["task"] for row in inputs], self._rewards)
        if self.replay is not None:
            self.replay.weigh(out, [row["task"] for row in inputs])
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


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else math.nan
