"""Replies in progress: each row of a batch is the reply to one request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.types import Completion, Sampling
from ssl4rl_bench.engines.hf import cache
from ssl4rl_bench.engines.hf import sampling as draws
from ssl4rl_bench.engines.hf.cache import KeyValues

if TYPE_CHECKING:
    from ssl4rl_bench.engines.hf.network import Item
    from ssl4rl_bench.engines.hf.sharing import SharingNetwork

_MOST_ENDED = 0.5
"""The share of rows that may have ended before they are removed: removing rows copies the others."""
_ROOM = 64
"""The number of free columns of a new buffer."""


@dataclass
class Row:
    """One reply."""

    item: Item
    start: int
    """The number of columns from the first used one to the end of the prompt."""
    generator: Any
    limit: int
    """The most tokens of the reply."""
    began: float
    tokens: list[int] = field(default_factory=list)
    ended: bool = False


@dataclass
class Part:
    """The state of some rows: what was computed of their tokens."""

    kv: KeyValues
    bias: Any
    """Array of shape (rows, 1, 1, columns), added to the scores of attention: 0 for a token, very negative for
    padding. There may be more columns than tokens."""
    positions: Any
    """The positions of the next tokens, of shape (rows,)."""
    scores: Any
    """The scores of the next tokens, of shape (rows, vocabulary)."""


Selection = tuple[Part, list[tuple[Row, int]]]
"""RowBatch, each with its index in the part."""


class RowBatch:
    """A batch of replies. A step chooses a token for each and computes the scores of the next ones.

    Args:
        parts: the rows of the batch; each part is joined with the others before the first step.
    """

    def __init__(self, network: SharingNetwork, parts: Sequence[Selection], sampling: Sampling) -> None:
        self._network = network
        self._warpers = draws.warpers(sampling)
        self._parts = list(parts)

    @property
    def items(self) -> list[Item]:
        """The requests whose replies have not ended."""
        return [row.item for _, rows in self._parts for row, _ in rows if not row.ended]

    def join(self, other: RowBatch) -> None:
        """Adds the rows of another batch, which must not be used afterwards."""
        self._parts += other._parts

    def step(self) -> list[tuple[Item, Completion]]:
        """Adds a token to each reply; removes and returns those that ended."""
        import torch

        with torch.inference_mode():
            part, rows = self._joined()
            ended = []
            for row, token in zip(rows, self._choose(part, rows), strict=True):
                if not row.ended:
                    row.tokens.append(token)
                    if token in self._network.eos or len(row.tokens) == row.limit:
                        row.ended = True
                        latency = time.perf_counter() - row.began
                        n_tokens = row.item[1].n_tokens
                        ended.append((row.item, self._network.completion(row.tokens, n_tokens, latency)))
            if self.items:
                self._forward(part, rows)
            return ended

    def _joined(self) -> tuple[Part, list[Row]]:
        """Makes one part of all, and removes rows that ended if they are many."""
        parts = [(part, [(row, i) for row, i in rows if not row.ended]) for part, rows in self._parts]
        n_rows = sum(len(rows) for _, rows in self._parts)
        n_alive = sum(len(rows) for _, rows in parts)
        first, rows = self._parts[0]
        in_order = [i for _, i in rows] == list(range(len(first.scores)))
        if len(parts) > 1 or n_rows - n_alive > _MOST_ENDED * n_rows or not in_order:
            self._parts = [_join([selection for selection in parts if selection[1]])]
            first, rows = self._parts[0]
        return first, [row for row, _ in rows]

    def _choose(self, part: Part, rows: Sequence[Row]) -> list[int]:
        scores = part.scores.float()
        for warper in self._warpers:
            scores = warper(None, scores)
        if self._warpers:
            scores = draws.add_noise(scores, [None if row.ended else row.generator for row in rows])
        chosen: list[int] = scores.argmax(-1).tolist()
        return chosen

    def _forward(self, part: Part, rows: Sequence[Row]) -> None:
        import torch

        tokens = torch.tensor([[row.tokens[-1]] for row in rows], device=part.positions.device)
        width = part.kv.width + 1
        if part.bias.shape[3] < width:
            part.bias = torch.nn.functional.pad(part.bias, (0, _ROOM))
        part.scores = self._network.decode(tokens, part.positions, part.bias[..., :width], part.kv)
        part.positions = part.positions + 1


def _join(parts: Sequence[Selection]) -> Selection:
    """Copies rows of several parts into one. The parts must not be used afterwards."""
    import torch

    selected = []
    for part, rows in parts:
        columns = max(row.start + len(row.tokens) for row, _ in rows)
        selected.append((part, [index for _, index in rows], columns))
    width = max(columns for _, _, columns in selected)
    bias = selected[0][0].bias
    biases = []
    for part, indices, columns in selected:
        of_part = part.bias[indices][..., part.kv.width - columns : part.kv.width]
        biases.append(
            torch.nn.functional.pad(of_part, (width - columns, 0), value=torch.finfo(bias.dtype).min)
        )
    joined = Part(
        cache.merged([(part.kv, indices, columns) for part, indices, columns in selected], _ROOM),
        torch.nn.functional.pad(torch.cat(biases), (0, _ROOM)),
        torch.cat([part.positions[indices] for part, indices, _ in selected]),
        torch.cat([part.scores[indices] for part, indices, _ in selected]),
    )
    return joined, [(row, index) for index, row in enumerate(row for _, rows in parts for row, _ in rows)]
