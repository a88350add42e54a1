"""Adds the negative log-likelihood of the base's own replies to the loss (kind "self"). The trainer calls it.

An update replays an equal share of its step's questions. Their replies are known to every process, so the number
of tokens that the loss is a mean of is known without communication, and a micro-batch's part of the loss does not
depend on how the questions are divided among processes and micro-batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Sample
from ssl4rl_bench.engines.inputs import chat_messages
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.replay.replies import Reply
from ssl4rl_bench.train.replay.schedule import ReplaySchedule, slice_of

METRIC = "replay_loss"
"""The mean negative log-likelihood of the replies' tokens in a step, in nats."""


@dataclass
class ReplayLoss:
    """The replay's part of the loss.

    Args:
        replies: the base's replies by the sample's id, for all samples of the schedule.
        processor: the processor of the training, which pads on the left.
        weight: the factor of the loss; with 0 the loss is only measured.
        sizes: the sizes of a step.
    """

    schedule: ReplaySchedule
    replies: Mapping[str, Reply]
    processor: Any
    weight: float
    sizes: Sizes
    _tokens: dict[str, list[int]] = field(default_factory=dict)
    _sum: Any = 0.0

    def add(self, trainer: Any, model: Any, loss: Any) -> Any:
        """Returns a micro-batch's loss with the replay's part, and logs `METRIC` at the end of an update."""
        parts, accelerator = self.sizes, trainer.accelerator
        update, micro_batch = divmod(trainer._step, parts.accumulate)
        step, of_step = divmod(update, parts.updates_a_step)
        samples = slice_of(self.schedule.of_step(step), of_step % parts.updates, parts.updates)
        n_tokens = sum(len(self._reply(sample)) for sample in samples)
        every = slice_of(samples, micro_batch, parts.accumulate)
        mine = every[accelerator.process_index :: parts.processes]
        if every:
            # With sharded weights, all processes must call the model equally often.
            measured = self._measured(trainer, model, mine or every[:1])
            total = measured if mine else 0.0 * measured
            self._sum = self._sum + total.detach()
            if self.weight:
                # Gradients are averaged over the processes.
                loss = loss + self.weight * parts.processes * total / n_tokens
        if micro_batch == parts.accumulate - 1:
            sums = torch.as_tensor(self._sum, dtype=torch.float32, device=accelerator.device)
            value = accelerator.reduce(sums, reduction="sum").item() / n_tokens
            trainer._metrics["train"][METRIC].append(value)
            self._sum = 0.0
        return loss

    def weigh(self, batch: dict[str, Any], tasks: Sequence[str]) -> None:
        """Changes nothing: the replies of GRPO are those to the SSL tasks."""

    def _measured(self, trainer: Any, model: Any, samples: Sequence[Sample]) -> Any:
        """Returns the summed negative log-likelihood, without gradients if the weight is 0."""
        inputs = {key: value.to(trainer.accelerator.device) for key, value in self.batch(samples).items()}
        if self.weight:
            return summed_nll(model, inputs, trainer.accelerator.autocast())
        # Dropout must not change the random numbers of the training.
        devices = [trainer.accelerator.device] if trainer.accelerator.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            return summed_nll(model, inputs, trainer.accelerator.autocast())

    def batch(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Returns the model's inputs: prompts padded on the left, replies on the right, and labels.

        The labels have shape (samples, longest reply): token ids, and -100 for padding.
        """
        texts = [
            self.processor.apply_chat_template(
                chat_messages(sample.messages), tokenize=False, add_generation_prompt=True
            )
            for sample in samples
        ]
        shown = [images.decode(image) for sample in samples for image in sample.images]
        out = dict(
            self.processor(
                text=texts,
                images=shown or None,
                padding=True,
                return_tensors="pt",
                add_special_tokens=False,
            )
        )
        replies = [self._reply(sample) for sample in samples]
        longest = max(map(len, replies))
        labels = torch.tensor([ids + [-100] * (longest - len(ids)) for ids in replies])
        padding = self.processor.tokenizer.pad_token_id
        out["input_ids"] = torch.cat([out["input_ids"], labels.masked_fill(labels < 0, padding)], dim=1)
        out["attention_mask"] = torch.cat([out["attention_mask"], (labels >= 0).long()], dim=1)
        if "mm_token_type_ids" in out:
            types = torch.as_tensor(out["mm_token_type_ids"])
            out["mm_token_type_ids"] = torch.cat([types, torch.zeros_like(labels)], dim=1)
        return out | {"labels": labels}

    def _reply(self, sample: Sample) -> list[int]:
        """Returns the tokens of a sample's reply, with the end token unless it was cut off."""
        if sample.id not in self._tokens:
            tokenizer, reply = self.processor.tokenizer, self.replies[sample.id]
            special = set(tokenizer.all_special_ids)
            ids = tokenizer(reply.text, add_special_tokens=False)["input_ids"]
            ids = [id for id in ids if id not in special]
            self._tokens[sample.id] = ids + [tokenizer.eos_token_id] * (reply.ended or not ids)
        return self._tokens[sample.id]


def summed_nll(model: Any, inputs: Mapping[str, Any], autocast: Any = None) -> Any:
    """Returns the summed negative log-likelihood of `labels`, the last tokens of each row, at temperature 1.

    Args:
        inputs: the output of `ReplayLoss.batch`.
    """
    given = dict(inputs)
    labels = given.pop("labels")
    n = labels.shape[1]
    # TRL's fused head divides by the sampling temperature, so the logits of the reply are computed instead.
    with autocast or nullcontext():
        logits = model(**given, logits_to_keep=n + 1, use_cache=False).logits
    logits = logits[:, -n - 1 : -1].float()
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-100, reduction="sum"
    )
