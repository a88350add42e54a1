"""Packs the replies of a group behind one copy of their prompt, which is then computed only once.

The replies follow one another in one row. Each attends to the prompt and to itself:

    prompt without its last token | last token, reply 1 | last token, reply 2 | ...

The last token of the prompt is repeated, because a different token follows it in each reply.
Log-probabilities equal those of separate rows up to rounding. The idea is from Prefix Grouper (Liu et al.
2025, arXiv 2506.05433).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Packed:
    """Prompts with the replies of their groups, one row per prompt."""

    input_ids: Any
    """Array of shape (prompts, length)."""
    labels: Any
    """Array of shape (prompts, length): the tokens of the replies, and -100 elsewhere."""
    allowed: Any
    """Boolean array of shape (prompts, 1, length, length): the positions (last axis) that each position
    attends to."""
    prompt_length: int
    group: int

    def per_reply(self, values: Any) -> Any:
        """Returns the values of the replies' tokens, of shape (replies, reply length), in the packed order.

        Args:
            values: array of shape (prompts, length - 1): a value for each token except the first.
        """
        segments = values[:, self.prompt_length - 2 :].reshape(values.shape[0] * self.group, -1)
        return segments[:, 1:]

    def positions(self, of_prompt: Any) -> Any:
        """Returns position ids of all tokens, of shape (3, prompts, length).

        Args:
            of_prompt: position ids of the prompts, of shape (3, prompts, prompt length).
        """
        segment = (self.input_ids.shape[1] - self.prompt_length + 1) // self.group
        steps = torch.arange(segment, device=of_prompt.device).repeat(self.group)
        return torch.cat([of_prompt[:, :, :-1], of_prompt[:, :, -1:] + steps], dim=2)


def pack(prompts: Any, prompt_mask: Any, replies: Any, reply_mask: Any) -> Packed:
    """Packs replies behind their prompts.

    Args:
        prompts: token ids of shape (prompts, P), padded on the left.
        prompt_mask: array of shape (prompts, P), 1 for a token and 0 for padding.
        replies: token ids of shape (replies, C), padded on the right; the replies to a prompt are adjacent.
        reply_mask: array of shape (replies, C), 1 for a token and 0 for padding.
    """
    n, before = prompts.shape
    group, length = replies.shape[0] // n, replies.shape[1]
    device = prompts.device
    last = prompts[:, -1:]
    segments = torch.cat([last.repeat_interleave(group, 0), replies], dim=1)
    seen = torch.cat([torch.ones_like(reply_mask[:, :1]), reply_mask], dim=1)
    labels = replies.masked_fill(reply_mask == 0, -100)
    labels = torch.cat([torch.full_like(last.repeat_interleave(group, 0), -100), labels], dim=1)
    row = torch.cat([prompts[:, :-1], segments.view(n, -1)], dim=1)
    is_token = torch.cat([prompt_mask[:, :-1], seen.view(n, -1)], dim=1).bool()
    total = row.shape[1]
    # Segment 0 is the prompt, to which all tokens attend.
    owner = torch.cat(
        [
            torch.zeros(before - 1, dtype=torch.long, device=device),
            torch.arange(1, group + 1, device=device).repeat_interleave(length + 1),
        ]
    )
    sees = ((owner[None, :] == 0) | (owner[None, :] == owner[:, None])).tril()
    allowed = sees[None] & is_token[:, None, :]
    # Padding attends to itself: the softmax of a fully masked row would be NaN.
    allowed = allowed | torch.eye(total, dtype=torch.bool, device=device)
    return Packed(
        input_ids=row,
        labels=torch.cat([torch.full_like(prompts[:, :-1], -100), labels.view(n, -1)], dim=1),
        allowed=allowed[:, None],
        prompt_length=before,
        group=group,
    )


def attention_mask(allowed: Any, attention: str) -> dict[str, Any]:
    """Returns the mask in the form that transformers' models use without changes."""
    if attention == "sdpa":
        return {"full_attention": allowed}
    mask = torch.zeros(allowed.shape, device=allowed.device)
    return {"full_attention": mask.masked_fill(~allowed, torch.finfo(mask.dtype).min)}


class GumbelNoise:
    """A logits processor that adds noise so that the argmax is a random draw, with a separate seed per reply.

    The argmax of log p_i - log E_i, where the E_i are exponential, is i with probability p_i (the Gumbel-max
    trick). With separate seeds, a reply depends neither on its batch nor on the number of processes.
    """

    def __init__(self, seeds: Sequence[int], device: Any) -> None:
        self.generators = [torch.Generator(device=device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Adds noise to the scores of the next tokens, of shape (replies, vocabulary)."""
        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise.log()


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed by mypy
def generate(model: Any, inputs: dict[str, Any], group: int, config: Any, processors: Any = None) -> Any:
    """Generates `group` replies to each prompt from one copy of the prompt's keys and values.

    Each step computes the next tokens of all replies to a prompt as one row, in which each reply attends to
    the prompt and to itself. The prompt's keys and values are thus read once, not `group` times.

    Args:
        model: a Qwen2_5_VLForConditionalGeneration, unwrapped.
        inputs: input_ids and attention_mask of shape (prompts, P), padded on the left, and the image inputs.
        config: a GenerationConfig; its max_new_tokens, eos_token_id, pad_token_id and suppress_tokens are
            used.
        processors: a LogitsProcessorList, applied before the most likely token is chosen. `GumbelNoise` among them
            makes the choice random.

    Returns:
        The generated tokens, of shape (prompts * group, at most config.max_new_tokens), padded after the end.
    """
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
    n, device = ids.shape[0], ids.device
    ends = torch.tensor(config.eos_token_id, device=device).view(-1)
    diagonal = torch.eye(group, dtype=torch.bool, device=device).expand(n, 1, group, group)
    allowed = mask[:, None, None, :-1].bool().expand(n, 1, group, -1)
    replies = torch.empty(n * group, 0, dtype=ids.dtype, device=device)
    done = torch.zeros(n * group, dtype=torch.bool, device=device)
    token = ids[:, -1:].expand(n, group)
    for step in range(config.max_new_tokens):
        # A step adds the group's new tokens to the keys; a reply attends only to its own token among them.
        allowed = torch.cat([allowed, diagonal], dim=3)
        hidden = model.model(
            input_ids=token,
            attention_mask=attention_mask(allowed, model.config._attn_implementation),
            position_ids=(positions[:, :, -1:] + step).expand(3, n, group),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        scores = model.lm_head(hidden).view(n * group, -1).float()
        if config.suppress_tokens:
            scores[:, config.suppress_tokens] = -torch.inf
        chosen = (processors(replies, scores) if processors else scores).argmax(-1)
        chosen = chosen.masked_fill(done, config.pad_token_id)
        replies = torch.cat([replies, chosen[:, None]], dim=1)
        done = done | torch.isin(chosen, ends)
        if bool(done.all()):
            break
        token = chosen.view(n, group)
    return replies
