"""Corrects Qwen2.5-VL's position ids of videos and of the text after them in transformers 5.3 to 5.24.

These versions start the text after a video at position `start + max(height, width)`, even if the video's
positions in time go beyond, and those up to 5.17 round the seconds between two steps down to an integer
(huggingface/transformers issues 45381 and 48669). In the model's training and in vLLM, text continues after
the greatest position so far, and a step in time is at `floor(step * seconds * tokens_per_second)`. Images are
not affected.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

_VIDEO = 2
"""The value for videos in `mm_token_type_ids`; text is 0 and images are 1."""


def repair_positions(network: Any) -> None:
    """Corrects `get_rope_index` of a loaded Qwen2.5-VL. Other models and correct positions do not change."""
    if network.config.model_type != "qwen2_5_vl":
        return
    inner = network.model
    original = inner.get_rope_index
    rate = float(inner.config.vision_config.tokens_per_second)

    def get_rope_index(
        input_ids: Any,
        mm_token_type_ids: Any,
        image_grid_thw: Any = None,
        video_grid_thw: Any = None,
        second_per_grid_ts: Any = None,
        attention_mask: Any = None,
        **more: Any,
    ) -> tuple[Any, Any]:
        positions, deltas = original(
            input_ids,
            mm_token_type_ids,
            image_grid_thw=image_grid_thw,
            video_grid_thw=video_grid_thw,
            second_per_grid_ts=second_per_grid_ts,
            attention_mask=attention_mask,
            **more,
        )
        if video_grid_thw is not None:
            steps = [int(grid[0]) for grid in video_grid_thw]
            seconds = (
                [1.0] * len(steps) if second_per_grid_ts is None else [float(s) for s in second_per_grid_ts]
            )
            videos = iter(zip(steps, seconds, strict=True))
            for row, kinds in enumerate(mm_token_type_ids):
                mask = kinds >= 0 if attention_mask is None else attention_mask[row].bool()
                end = _chain(positions[:, row], mask, kinds, videos, rate)
                deltas[row] = end - int(mask.sum())
        return positions, deltas

    inner.get_rope_index = get_rope_index


def _chain(positions: Any, mask: Any, kinds: Any, videos: Any, rate: float) -> int:
    """Shifts each run of tokens of one kind, in place, to start where the previous run ends.

    Args:
        positions: the positions of one row, of shape (3, tokens): time, height, width.
        mask: true for tokens that are not padding.
        kinds: `mm_token_type_ids` of the row.
        videos: an iterator over the remaining videos: the number of steps in time, and seconds between steps.
        rate: positions per second.

    Returns:
        The position after the last run.
    """
    import torch

    tokens = mask.nonzero().flatten()
    start = 0
    for kind, run in groupby(tokens.tolist(), key=lambda token: int(kinds[token])):
        indices = torch.tensor(list(run), device=positions.device)
        positions[:, indices] += start - positions[:, indices].min()
        if kind == _VIDEO:
            n_steps, seconds = next(videos)
            times = (torch.arange(n_steps, device=positions.device) * (seconds * rate)).long()
            positions[0, indices] = start + times.repeat_interleave(len(indices) // n_steps)
        start = int(positions[:, indices].max()) + 1
    return start
