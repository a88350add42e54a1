"""Packs replies behind one copy of their prompt, which is then computed only once.

The replies follow one another in one row, without padding between them. Each attends to the prompt and to itself:

    prompt without its last token | last token, reply 1 | last token, reply 2 | ... | padding

The last token of the prompt is repeated, because a different token follows it in each reply.
Log-probabilities equal those of separate rows up to rounding. The idea is from Prefix Grouper (Liu et al.
2025, arXiv 2506.05433). `packing` decides which replies share a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

PADDING = -1
"""The segment of padding. Segment 0 is the prompt, and replies are segments 1, 2, and so on."""


@dataclass(frozen=True)
class TokenBatch:
    """The replies of a micro-batch with their prompts, where replies to the same prompt are adjacent."""

    input_ids: Any
    """Token ids of shape (replies, P + C): prompts padded on the left, then replies padded on the right."""
    prompt_width: int
    """P, the width of the longest prompt."""
    group: int
    """Replies per prompt."""
    prompts: Sequence[int]
    """Number of tokens of each prompt, one per group."""
    replies: Sequence[int]
    """Number of tokens of each reply."""

    def first(self, prompt: int) -> int:
        """Returns the first reply of a group."""
        return prompt * self.group


@dataclass(frozen=True)
class Packed:
    """Rows of prompts with some of their replies, padded on the right to the longest row."""

    input_ids: Any
    """Array of shape (rows, length)."""
    labels: Any
    """Array of shape (rows, length): the tokens of the replies, and -100 elsewhere."""
    allowed: Any
    """Boolean array of shape (rows, 1, length, length): the positions (last axis) that each position attends to."""
    numbers: list[int]
    """The replies in the order of `per_reply`, as indices into the micro-batch."""
    _positions: Any
    _offsets: Any
    _scores: Any
    _known: Any

    def per_reply(self, values: Any) -> Any:
        """Returns the values of the replies' tokens, of shape (replies of the rows, C), and 0 for padding.

        Args:
            values: array of shape (rows, length - 1): a value for each token except the first.
        """
        return values.reshape(-1)[self._scores].masked_fill(~self._known, 0)

    def positions(self, of_prompts: Any) -> Any:
        """Returns position ids of all tokens, of shape (3, rows, length).

        Args:
            of_prompts: position ids of the micro-batch's prompts, of shape (3, prompts, P).
        """
        return of_prompts.reshape(3, -1)[:, self._positions] + self._offsets


def pack(batch: TokenBatch, rows: Sequence[tuple[int, Sequence[int]]]) -> Packed:
    """Packs replies behind their prompts.

    Args:
        rows: a prompt and its replies for each row, as indices into `batch.prompts` and `batch.replies`.
    """
    n_columns, before = batch.input_ids.shape[1], batch.prompt_width
    lengths = [batch.prompts[p] - 1 + sum(batch.replies[i] + 1 for i in replies) for p, replies in rows]
    shape = len(rows), max(lengths)
    source, position, offset = (np.zeros(shape, np.int64) for _ in range(3))
    segment = np.full(shape, PADDING, np.int64)
    numbers = [i for _, replies in rows for i in replies]
    scores = np.zeros((len(numbers), n_columns - before), np.int64)
    known = np.zeros(scores.shape, bool)
    done = 0
    for r, (prompt, replies) in enumerate(rows):
        end = batch.prompts[prompt] - 1
        columns = np.arange(before - end - 1, before - 1)
        source[r, :end] = batch.first(prompt) * n_columns + columns
        position[r, :end] = prompt * before + columns
        segment[r, :end] = 0
        for k, i in enumerate(replies, start=1):
            n = batch.replies[i]
            steps, inside = np.arange(n + 1), slice(end, end + n + 1)
            source[r, inside] = i * n_columns + before - 1 + steps
            position[r, inside] = prompt * before + before - 1
            offset[r, inside] = steps
            segment[r, inside] = k
            scores[done, :n] = r * (shape[1] - 1) + end + steps[:-1]
            known[done, :n] = True
            end, done = end + n + 1, done + 1
    device = batch.input_ids.device
    of = [torch.from_numpy(array).to(device) for array in (source, position, offset, segment, scores, known)]
    ids = batch.input_ids.reshape(-1)[of[0]]
    return Packed(
        input_ids=ids,
        labels=ids.masked_fill(~((of[3] > 0) & (of[2] > 0)), -100),
        allowed=_allowed(of[3]),
        numbers=numbers,
        _positions=of[1],
        _offsets=of[2],
        _scores=of[4],
        _known=of[5],
    )


def _allowed(segment: Any) -> Any:
    """Returns which positions attend to which, from the segments of the positions, of shape (rows, length)."""
    keys, queries = segment[:, None, :], segment[:, :, None]
    sees = ((keys == 0) | ((keys == queries) & (keys != PADDING))).tril()
    # Padding attends to itself: the softmax of a fully masked row would be NaN.
    return (sees | torch.eye(segment.shape[1], dtype=torch.bool, device=segment.device))[:, None]


def attention_mask(allowed: Any, config: Any) -> Any:
    """Returns the mask in the form that transformers' models use without changes.

    Those are a tensor for Qwen3-VL, and one per kind of layer for Qwen2-VL and Qwen2.5-VL.

    Args:
        allowed: boolean array of shape (rows, 1, queries, keys): the keys that each query attends to.
        config: the model's config, with its family and kind of attention.
    """
    mask = allowed
    if config._attn_implementation != "sdpa":
        mask = torch.zeros(allowed.shape, device=allowed.device)
        mask = mask.masked_fill(~allowed, torch.finfo(mask.dtype).min)
    return mask if config.model_type == "qwen3_vl" else {"full_attention": mask}
