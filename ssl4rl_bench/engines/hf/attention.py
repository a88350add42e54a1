"""Attention over the keys and values of earlier tokens, without a copy of these for each head.

In models with grouped queries, several heads share one head of keys and values. transformers repeats the keys and
values for each of them if there is a mask. If there are few queries, the queries of these heads can instead be
further queries of one head. Registered with transformers as `NAME`; masks are those of "sdpa".
"""

from __future__ import annotations

from typing import Any

NAME = "ssl4rl_grouped"


def register() -> str:
    """Registers the attention with transformers and returns its name."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **more: Any
) -> tuple[Any, None]:
    """Computes scaled dot-product attention; see transformers' attention interface.

    Args:
        query: array of shape (rows, heads, queries, head size).
        key, value: arrays of shape (rows, heads of keys, keys, head size).
        attention_mask: added to the scores, or boolean; its shape can be broadcast to (rows, 1, queries, keys).

    Returns:
        An array of shape (rows, queries, heads, head size), and None.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, queries, size = query.shape
    groups = heads // key.shape[1]
    # Copies either the mask or the keys and values for each head of a group, whichever are fewer numbers.
    if groups == 1 or attention_mask is None or queries > 2 * key.shape[1] * size:
        result: tuple[Any, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **more)
        return result
    mask = attention_mask
    if mask.shape[2] > 1:
        mask = mask[:, :, None].expand(-1, -1, groups, -1, -1).flatten(2, 3)
    out = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, key.shape[1], groups * queries, size),
        key,
        value,
        attn_mask=mask,
        scale=more.get("scaling"),
    )
    return out.reshape(rows, heads, queries, size).transpose(1, 2).contiguous(), None
