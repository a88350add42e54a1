"""Computes the replies' log-probabilities in the rows and forward passes that `packing` plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import is_peft_model
from trl import GRPOTrainer
from trl.trainer.utils import split_pixel_values_by_grid

from ssl4rl_bench.train import packing, shared_prompts
from ssl4rl_bench.train.packing import Cost, Group, Pass
from ssl4rl_bench.train.shared_prompts import TokenBatch

IMAGES = ("pixel_values", "image_grid_thw", "num_images")
"""TRL's keys for the replies' images: all patches, all grids, and the number of images per reply."""
TYPES = "mm_token_type_ids"


@dataclass(frozen=True)
class MicroBatch:
    """A micro-batch in TRL's form."""

    batch: TokenBatch
    attention_mask: Any
    images: dict[str, Any]
    """`IMAGES`, with a list item per reply; empty without images."""
    types: Any
    """The kinds of the tokens (text or image), in the shape of `batch.input_ids`, or None."""

    @property
    def groups(self) -> list[Group]:
        """The groups as `packing.plan` needs them."""
        batch = self.batch
        replies = [
            tuple(batch.replies[i : i + batch.group]) for i in range(0, len(batch.replies), batch.group)
        ]
        grids = self.images.get("image_grid_thw")
        return [
            Group(n, int(grids[batch.first(p)].prod(-1).sum()) if grids else 0, replies[p])
            for p, n in enumerate(batch.prompts)
        ]

    def numbers(self, rows: Pass) -> list[tuple[int, list[int]]]:
        """Returns the prompt and the replies of each row, as indices into the micro-batch."""
        return [(row.group, [self.batch.first(row.group) + i for i in row.replies]) for row in rows]

    def pictures(self, replies: Sequence[int]) -> dict[str, Any]:
        """Returns the pixels and grids of these replies' images."""
        return {key: torch.cat([self.images[key][i] for i in replies]) for key in IMAGES[:2] if self.images}


class RowScoring(GRPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Computes log-probabilities with shared prompts and without needless padding."""

    share_prompts: bool
    """Whether replies to a prompt may share a row; micro-batches then hold complete groups."""
    cost: Cost
    """The cost by which rows and passes are planned."""

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
        others = {key for key, value in kwargs.items() if value is not None and value is not False}
        if others - {*IMAGES, TYPES} or not self.model.training:
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
        images = split_pixel_values_by_grid({key: kwargs[key] for key in IMAGES if key in others})
        types = kwargs.get(TYPES)
        out = []
        for start in range(0, len(input_ids), size):
            part = slice(start, start + size)
            micro = MicroBatch(
                self._batch(input_ids[part], attention_mask[part], logits_to_keep),
                attention_mask[part],
                {key: values[part] for key, values in images.items()},
                None if types is None else types[part],
            )
            out.append(self._scored(model, micro, entropy=compute_entropy))
        logps, entropies = (
            torch.cat(values) if values[0] is not None else None for values in zip(*out, strict=True)
        )
        return logps, entropies, None

    def _batch(self, input_ids: Any, attention_mask: Any, logits_to_keep: int) -> TokenBatch:
        before = input_ids.shape[1] - logits_to_keep
        group = self.num_generations if self.share_prompts else 1
        return TokenBatch(
            input_ids=input_ids,
            prompt_width=before,
            group=group,
            prompts=attention_mask[::group, :before].sum(1).tolist(),
            replies=attention_mask[:, before:].sum(1).tolist(),
        )

    def _passes(self, micro: MicroBatch) -> tuple[list[Pass], list[Pass]]:
        """Returns the passes of a micro-batch, and passes that only keep the processes together.

        Each pass of a process with sharded weights, or with gradients that are averaged, communicates with
        the others, so that all processes need the same number. Sharded weights are gathered for each pass:
        they are used in only one.
        """
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        plan = packing.plan(
            micro.groups, self.cost, share=self.share_prompts, max_passes=1 if sharded else None
        )
        if sharded or self.accelerator.num_processes == 1:
            return plan, []
        n = torch.tensor([len(plan)], device=self.accelerator.device)
        return packing.with_passes(plan, int(self.accelerator.gather(n).max()))

    def _scored(self, model: Any, micro: MicroBatch, *, entropy: bool) -> tuple[Any, Any]:
        """Returns log-probabilities and entropies of shape (replies, C); the latter are None unless asked for."""
        passes, repeated = self._passes(micro)
        positions = self._prompt_positions(model, micro) if self.share_prompts else None
        one = self._scored_packed if self.share_prompts else self._scored_apart
        done = [one(model, micro, rows, positions, entropy=entropy) for rows in (*passes, *repeated)]
        order = [i for rows in passes for _, replies in micro.numbers(rows) for i in replies]
        place = torch.tensor(order, device=micro.attention_mask.device).argsort()

        def joined(values: Sequence[Any]) -> Any:
            # The backward pass must go through all passes on all processes.
            nothing = sum(0 * extra.sum() for extra in values[len(passes) :])
            return torch.cat(values[: len(passes)])[place] + nothing

        logps, entropies = zip(*done, strict=True)
        return joined(logps), joined(entropies) if entropy else None

    def _prompt_positions(self, model: Any, micro: MicroBatch) -> Any:
        """Returns the position ids of the prompts, of shape (3, prompts, P)."""
        batch = micro.batch
        firsts, before = slice(None, None, batch.group), batch.prompt_width
        shown = micro.pictures(range(0, len(batch.replies), batch.group))
        return without_adapters(self.accelerator.unwrap_model(model)).model.get_rope_index(
            batch.input_ids[firsts, :before],
            image_grid_thw=shown.get("image_grid_thw"),
            attention_mask=micro.attention_mask[firsts, :before],
            mm_token_type_ids=None if micro.types is None else micro.types[firsts, :before],
        )[0]

    def _scored_packed(
        self, model: Any, micro: MicroBatch, rows: Pass, positions: Any, *, entropy: bool
    ) -> tuple[Any, Any]:
        """Computes the values of some rows in one pass, in the order of the rows."""
        packed = shared_prompts.pack(micro.batch, micro.numbers(rows))
        with self.accelerator.autocast():
            out = model(
                input_ids=packed.input_ids,
                attention_mask=shared_prompts.attention_mask(packed.allowed, self.model.config),
                position_ids=packed.positions(positions),
                labels=packed.labels,
                fused_lm_head=True,
                **micro.pictures([micro.batch.first(row.group) for row in rows]),
            )
        return packed.per_reply(out.log_probs), packed.per_reply(out.entropy) if entropy else None

    def _scored_apart(
        self, model: Any, micro: MicroBatch, rows: Pass, _: Any, *, entropy: bool
    ) -> tuple[Any, Any]:
        """Computes the same as `_scored_packed` by TRL, for rows of one reply, without columns of padding."""
        numbers, batch = [row.group for row in rows], micro.batch
        before, width = batch.prompt_width, batch.input_ids.shape[1] - batch.prompt_width
        n_columns = max(1, *(batch.replies[i] for i in numbers))
        columns = slice(before - max(batch.prompts[i] for i in numbers), before + n_columns)
        images = micro.pictures(numbers)
        if images:
            images["num_images"] = [micro.images["num_images"][i] for i in numbers]
        if micro.types is not None:
            images[TYPES] = micro.types[numbers, columns]
        logps, entropies, _ = super()._get_per_token_logps_and_entropies(
            model,
            batch.input_ids[numbers, columns],
            micro.attention_mask[numbers, columns],
            n_columns,
            compute_entropy=entropy,
            **images,
        )
        logps, entropies = (
            None if values is None else torch.nn.functional.pad(values, (0, width - n_columns))
            for values in (logps, entropies)
        )
        return logps, entropies


def without_adapters(model: Any) -> Any:
    """Returns the model to which adapters were added."""
    return model.get_base_model() if is_peft_model(model) else model
