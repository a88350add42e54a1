"""Generates replies with transformers, one copy of the prompt per group (`generation`), in TRL's trainer."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.train.generation import Dice, generate
from ssl4rl_bench.train.scoring import without_adapters


class SharedRollouts(GRPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Generates the replies of a group from one copy of their prompt, unless vLLM does or weights are sharded."""

    _row_numbers: list[int]
    """The row of each reply that is generated."""

    @property
    def _own_rollouts(self) -> bool:
        """Whether `generation.generate` makes the replies: without vLLM and without sharded weights."""
        return not (self.use_vllm or self.is_fsdp_enabled or self.is_deepspeed_enabled)

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
            replies = generate(without_adapters(model), inputs, num_generations, self._limits(), dice)
        ends = torch.isin(replies, torch.tensor(self.eos_token_ids, device=replies.device))
        lengths = torch.where(ends.any(1), ends.int().argmax(1) + 1, replies.shape[1])
        return [row[:n].tolist() for row, n in zip(replies.cpu(), lengths.tolist(), strict=True)], None

    def _limits(self) -> GenerationConfig:
        """Returns the settings of `generate`; the dice apply temperature, top-k and top-p."""
        keep = ("max_new_tokens", "pad_token_id", "bos_token_id", "eos_token_id", "suppress_tokens")
        return GenerationConfig(
            do_sample=False,
            **{key: self.generation_kwargs[key] for key in keep if key in self.generation_kwargs},
        )

    def _dice(self, device: Any) -> Dice:
        """Returns dice with a seed per reply: of the run's seed, the row, and the reply's index in its group."""
        n = self.num_generations
        seeds = [seed_of("reply", self.args.seed, row, i % n) for i, row in enumerate(self._row_numbers)]
        return Dice(seeds, device, temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)


def _repeated(items: list[Any], n: int) -> list[Any]:
    return [item for item in items for _ in range(n)]
