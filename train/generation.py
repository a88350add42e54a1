"""Generates the replies of groups with transformers, from one copy of each prompt's keys and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from ssl4rl_bench.train.shared_prompts import attention_mask

Draw = Callable[[list[int], Any], Any]
"""Chooses tokens from the numbers of the replies and their scores, of shape (replies, vocabulary)."""
EMPTY = -1
"""The number of a slot without a reply."""


class Dice:
    """Draws tokens at random, with a separate seed per reply.

    The argmax of log p_i - log E_i, where the E_i are exponential, is i with probability p_i (the Gumbel-max
    trick). With separate seeds, a reply depends neither on its batch nor on the number of processes.
    """

    def __init__(
        self, seeds: Sequence[int], device: Any, *, temperature: float, top_k: int = 0, top_p: float = 1.0
    ) -> None:
        self.generators = [torch.Generator(device=device).manual_seed(seed) for seed in seeds]
        self.warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
        if top_k:
            self.warpers.append(TopKLogitsWarper(top_k))
        if top_p < 1:
            self.warpers.append(TopPLogitsWarper(top_p))

    def __call__(self, numbers: list[int], scores: Any) -> Any:
        """Returns the next token of each of the replies `numbers`."""
        scores = self.warpers(None, scores).float()
        noise = torch.empty_like(scores)
        for row, number in zip(noise, numbers, strict=True):
            row.exponential_(generator=self.generators[number])
        return (scores - noise.log()).argmax(-1)


@dataclass
class _Slots:
    """The replies that are still generated: a row per prompt, with a slot for each of its unfinished replies.

    The keys and values of a row are those of its prompt, and those of every slot for every step so far.
    """

    cache: Any
    numbers: Any
    """Array of shape (prompts, slots): the replies by their numbers, or `EMPTY`."""
    last_position: Any
    """Position ids of the prompts' last tokens, of shape (3, prompts, 1)."""
    allowed: Any
    """Boolean array of shape (prompts, 1, slots, keys): the keys that each slot attends to."""
    n_prompt_keys: int
    steps: int = 0

    def keep(self, unfinished: Any) -> None:
        """Removes prompts and slots without an unfinished reply, if at least half of the work is saved.

        Args:
            unfinished: Boolean array of shape (prompts, slots).
        """
        counts = unfinished.sum(1)
        n, width = int((counts > 0).sum()), int(counts.max())
        if 2 * n * width > self.numbers.numel():
            return
        rows = counts.nonzero()[:, 0]
        # Unfinished replies come first, in their order; rows with fewer of them get empty slots.
        order = (~unfinished[rows]).int().sort(dim=1, stable=True).indices[:, :width]
        old_width, prompt = self.numbers.shape[1], self.n_prompt_keys
        of_steps = torch.arange(self.steps, device=rows.device)[:, None] * old_width
        keys = torch.cat(
            [
                torch.arange(prompt, device=rows.device).expand(n, -1),
                (prompt + of_steps[None] + order[:, None, :]).reshape(n, -1),
            ],
            dim=1,
        )
        for layer in self.cache.layers:
            layer.keys = _taken(layer.keys, rows, keys)
            layer.values = _taken(layer.values, rows, keys)
        selected = unfinished[rows].gather(1, order)
        self.numbers = self.numbers[rows].gather(1, order).masked_fill(~selected, EMPTY)
        self.last_position = self.last_position[:, rows]
        allowed = self.allowed[rows].gather(
            2, order[:, None, :, None].expand(-1, -1, -1, self.allowed.shape[3])
        )
        self.allowed = allowed.gather(3, keys[:, None, None, :].expand(-1, -1, width, -1))


def _taken(states: Any, rows: Any, keys: Any) -> Any:
    """Returns keys or values of some rows, of shape (rows, heads, number of keys, width of a head)."""
    index = keys[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
    return states[rows].gather(2, index)


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed by mypy
def generate(model: Any, inputs: dict[str, Any], group: int, config: Any, draw: Draw | None = None) -> Any:
    """Generates `group` replies to each prompt from one copy of the prompt's keys and values.

    Each step computes the next tokens of all replies to a prompt as one row, in which each reply attends to
    the prompt and to itself. The prompt's keys and values are thus read once, not `group` times. Finished
    replies and prompts leave the batch whenever this halves it.

    Args:
        model: a Qwen2.5-VL or Qwen3-VL, unwrapped.
        inputs: input_ids and attention_mask of shape (prompts, P), padded on the left, and the image inputs.
        config: a GenerationConfig; its max_new_tokens, eos_token_id, pad_token_id and suppress_tokens are
            used.
        draw: chooses the tokens; None takes the most likely ones.

    Returns:
        The generated tokens, of shape (prompts * group, at most config.max_new_tokens), padded after the end.
    """
    slots = _read(model, inputs, group)
    token = inputs["input_ids"][:, -1:].expand(-1, group)
    n, device = token.numel(), token.device
    ends = torch.tensor(config.eos_token_id, device=device).view(-1)
    replies = torch.full((n, config.max_new_tokens), config.pad_token_id, device=device)
    for step in range(config.max_new_tokens):
        scores = _next_scores(model, slots, token)
        if config.suppress_tokens:
            scores[:, config.suppress_tokens] = -torch.inf
        active = slots.numbers != EMPTY
        numbers = slots.numbers[active]
        scores = scores[active.view(-1)]
        chosen = draw(numbers.tolist(), scores) if draw else scores.argmax(-1)
        replies[numbers, step] = chosen
        token = torch.full_like(slots.numbers, config.pad_token_id)
        token[active] = chosen
        unfinished = active & ~torch.isin(token, ends)
        if not bool(unfinished.any()):
            return replies[:, : step + 1]
        slots.numbers = slots.numbers.masked_fill(~unfinished, EMPTY)
        slots.keep(unfinished)
        token = replies[slots.numbers.clamp(min=0), step]
    return replies


def _read(model: Any, inputs: dict[str, Any], group: int) -> _Slots:
    """Computes the keys and values of the prompts without their last tokens."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    if "image_grid_thw" in inputs:
        positions, _ = model.model.get_rope_index(
            ids,
            image_grid_thw=inputs["image_grid_thw"],
            attention_mask=mask,
            mm_token_type_ids=inputs["mm_token_type_ids"],
        )
    else:
        positions = (mask.cumsum(-1) - 1).clamp(min=0).expand(3, -1, -1)
    images = {key: inputs[key] for key in ("pixel_values", "image_grid_thw") if key in inputs}
    cache = model.model(
        input_ids=ids[:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=positions[:, :, :-1],
        use_cache=True,
        **images,
    ).past_key_values
    n, length = ids.shape
    return _Slots(
        cache=cache,
        numbers=torch.arange(n * group, device=ids.device).view(n, group),
        last_position=positions[:, :, -1:],
        allowed=mask[:, None, None, :-1].bool().expand(n, 1, group, -1),
        n_prompt_keys=length - 1,
    )


def _next_scores(model: Any, slots: _Slots, token: Any) -> Any:
    """Returns the scores of the next tokens, of shape (prompts * slots, vocabulary), and adds a step."""
    n, width = slots.numbers.shape
    # A step adds a key for each slot of a row; a reply attends only to its diagonal key among them.
    diagonal = torch.eye(width, dtype=torch.bool, device=token.device).expand(n, 1, width, width)
    slots.allowed = torch.cat([slots.allowed, diagonal], dim=3)
    hidden = model.model(
        input_ids=token,
        attention_mask=attention_mask(slots.allowed, model.config),
        position_ids=(slots.last_position + slots.steps).expand(3, n, width),
        past_key_values=slots.cache,
        use_cache=True,
    ).last_hidden_state
    slots.steps += 1
    return model.lm_head(hidden).view(n * width, -1).float()
