"""Where a model looks: the attention of a prompt's last token to the tokens of its image, by layer.

The attention of all tokens would take gigabytes for a long prompt. Only the row of the last token is computed in
addition to the usual attention, from the same queries and keys, and only its mean over heads is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.engines.hf import attention

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ssl4rl_bench.engines.hf.prompts import VisualPrompt

_NAME = "ssl4rl_last_row"


class LastRows:
    """Collects the last row of the attention of each layer, in order, while a model runs."""

    def __init__(self) -> None:
        self.layers: list[Any] = []
        """Per layer, an array of shape (rows, keys), the mean over heads."""

    def __call__(
        self, module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **more: Any
    ) -> tuple[Any, None]:
        """Computes attention as `attention.attend` does, and keeps its last row."""
        self.layers.append(last_row(query, key, attention_mask, more.get("scaling")))
        return attention.attend(module, query, key, value, attention_mask, **more)


def last_row(query: Any, key: Any, mask: Any, scale: float | None) -> Any:
    """Returns the attention of the last query, of shape (rows, keys), as the mean over heads.

    Args:
        query: array of shape (rows, heads, queries, head size).
        key: array of shape (rows, heads of keys, keys, head size); several heads share one head of keys.
        mask: added to the scores, or boolean; its shape can be broadcast to (rows, 1, queries, keys). None if all
            keys are allowed, as they are for the last query.
        scale: the factor of the scores; None for head size ** -0.5.
    """
    import torch

    rows, heads, _, size = query.shape
    last = query[:, :, -1].reshape(rows, key.shape[1], heads // key.shape[1], size).float()
    scores = last @ key.float().transpose(-1, -2) * (size**-0.5 if scale is None else scale)
    if mask is not None:
        final = mask[:, :, -1:]
        if final.dtype == torch.bool:
            scores = scores.masked_fill(~final, torch.finfo(scores.dtype).min)
        else:
            scores = scores + final.float()
    return scores.softmax(-1).mean(dim=(1, 2))


@contextmanager
def recording(text_config: Any) -> Iterator[LastRows]:
    """Makes a language model record last rows inside the block.

    Args:
        text_config: its configuration, which names the attention in use.
    """
    from transformers import AttentionInterface

    rows, before = LastRows(), text_config._attn_implementation
    AttentionInterface.register(_NAME, rows)
    text_config._attn_implementation = _NAME
    try:
        yield rows
    finally:
        text_config._attn_implementation = before


def image_maps(
    prompts: Sequence[VisualPrompt], layers: Sequence[Any], merge: int
) -> list[NDArray[np.float64] | str]:
    """Returns for each prompt the attention to its image, of shape (layers, rows, columns of image tokens).

    A prompt without exactly one image gets a message instead.

    Args:
        layers: as `LastRows.layers`; the keys of each prompt are aligned on the right.
        merge: the number of patches per side of an image token.
    """
    import torch

    stacked = torch.stack(list(layers)).cpu().double()
    out: list[NDArray[np.float64] | str] = []
    for row, prompt in enumerate(prompts):
        if len(prompt.visuals) != 1 or prompt.visuals[0].grid[0] != 1:
            out.append("attention by layer needs a prompt with exactly one image")
            continue
        _, high, wide = prompt.visuals[0].grid
        to_image = stacked[:, row, -prompt.n_tokens :][:, prompt.is_visual]
        out.append(to_image.reshape(len(layers), high // merge, wide // merge).numpy())
    return out
