"""Keys and values of the tokens so far, in buffers that a step extends in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_GROWTH = 64
"""The least number of columns by which a full buffer grows."""


class KeyValues:
    """The keys and values of each layer, as transformers' models update them.

    A buffer has shape (rows, heads, columns, head size); the first `width` columns are used. Rows are padded
    on the left with zeros.
    """

    def __init__(self) -> None:
        self.width = 0
        self.layers: list[list[Any]] = []
        """Per layer, the buffers of keys and values."""

    def update(self, keys: Any, values: Any, layer_idx: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Appends the keys and values of new tokens to a layer and returns those of all tokens."""
        end = self.width + keys.shape[2]
        if layer_idx == len(self.layers):
            self.layers.append([keys, values])
        buffers = self.layers[layer_idx]
        if buffers[0] is keys:
            return keys, values
        for index, new in enumerate((keys, values)):
            if buffers[index].shape[2] < end:
                buffers[index] = _widened(buffers[index], end + max(_GROWTH, end // 4), self.width)
            buffers[index][:, :, self.width : end] = new
        return buffers[0][:, :, :end], buffers[1][:, :, :end]

    def repeated(self, rows: Sequence[int], room: int) -> KeyValues:
        """Returns a copy with these rows, in this order, and space for `room` more columns."""
        return merged([(self, rows, self.width)], room)


def merged(parts: Sequence[tuple[KeyValues, Sequence[int], int]], room: int) -> KeyValues:
    """Returns rows of several caches as one, aligned on the right.

    Args:
        parts: per cache, the rows and the number of columns to keep, counted from the right. The caches lose
            their buffers as these are copied, unless there is only one.
        room: the number of free columns to add.
    """
    import torch

    made = KeyValues()
    made.width = max(width for _, _, width in parts)
    n_rows = sum(len(rows) for _, rows, _ in parts)
    for layer in range(len(parts[0][0].layers)):
        buffers = []
        for index in (0, 1):
            like = parts[0][0].layers[layer][index]
            buffer = like.new_empty(n_rows, like.shape[1], made.width + room, like.shape[3])
            start = 0
            for cache, rows, width in parts:
                source = cache.layers[layer][index][:, :, cache.width - width : cache.width]
                target = buffer[start : start + len(rows)]
                target[:, :, : made.width - width] = (
                    0  # a weight of 0 times a number that is not finite is not 0
                )
                chosen = torch.tensor(rows, device=source.device)
                target[:, :, made.width - width : made.width] = source[chosen]
                start += len(rows)
            buffers.append(buffer)
        made.layers.append(buffers)
        if len(parts) > 1:
            for cache, _, _ in parts:
                cache.layers[layer] = []
    return made


def _widened(buffer: Any, columns: int, width: int) -> Any:
    wider = buffer.new_empty(*buffer.shape[:2], columns, buffer.shape[3])
    wider[:, :, :width] = buffer[:, :, :width]
    return wider
