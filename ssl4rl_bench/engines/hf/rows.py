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

_MOST_ENDED = 0.25
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


class Rows:
    """A batch of replies. A step chooses a token for each and computes the scores of the next ones."""

    def __init__(
        self, network: SharingNetwork, parts: Sequence[tuple[Part, list[tuple[Row, int]]]], sampling: Sampling
    ) -> None:
        self._network = network
        self._sampling = sampling
        self._warpers = draws.warpers(sampling)
        self._rows: list[Row] = []
        self._assemble(parts)

    @property
    def items(self) -> list[Item]:
        """The requests whose replies have not ended."""
        return [row.item for row in self._rows if not row.ended]

    def join(self, other: Rows) -> None:
        """Adds the rows of another batch, which must not be used afterwards."""
        import torch

        with torch.inference_mode():
            self._assemble([self._alive(), other._alive()])

    def step(self) -> list[tuple[Item, Completion]]:
        """Adds a token to each reply; removes and returns those that ended."""
        import torch

        with torch.inference_mode():
            return self._step()

    def _step(self) -> list[tuple[Item, Completion]]:
        ended = []
        for row, token in zip(self._rows, self._choose(), strict=True):
            if row.ended:
                continue
            row.tokens.append(token)
            if token in self._network.eos or len(row.tokens) == row.limit:
                row.ended = True
                latency = time.perf_counter() - row.began
                prompt = row.item[1]
                ended.append((row.item, self._network.completion(row.tokens, prompt.n_tokens, latency)))
        n_alive = sum(not row.ended for row in self._rows)
        if not n_alive:
            self._rows = []
            return ended
        if len(self._rows) - n_alive > _MOST_ENDED * len(self._rows):
            self._assemble([self._alive()])
        self._forward()
        return ended

    def _choose(self) -> list[int]:
        scores = self._part.scores.float()
        for warper in self._warpers:
            scores = warper(None, scores)
        if self._warpers:
            scores = draws.add_noise(scores, [None if row.ended else row.generator for row in self._rows])
        chosen: list[int] = scores.argmax(-1).tolist()
        return chosen

    def _forward(self) -> None:
        import torch

        part = self._part
        tokens = torch.tensor([[row.tokens[-1]] for row in self._rows], device=part.positions.device)
        width = part.kv.width + 1
        if part.bias.shape[3] < width:
            part.bias = torch.nn.functional.pad(part.bias, (0, _ROOM))
        part.scores = self._network.decode(tokens, part.positions, part.bias[..., :width], part.kv)
        part.positions = part.positions + 1

    def _alive(self) -> tuple[Part, list[tuple[Row, int]]]:
        return self._part, [(row, index) for index, row in enumerate(self._rows) if not row.ended]

    def _assemble(self, parts: Sequence[tuple[Part, list[tuple[Row, int]]]]) -> None:
        """Makes one batch of rows of several parts; each row comes with its index in its part."""
        import torch

        selections = [
            (part, [index for _, index in rows], min(part.kv.width, max(row.start + len(row.tokens) for row, _ in rows)))
            for part, rows in parts
            if rows
        ]
        self._rows = [row for _, rows in parts for row, _ in rows]
        first = selections[0][0]
        if len(selections) == 1 and selections[0][1] == list(range(len(first.positions))):
            self._part = first
            return
        width = max(columns for _, _, columns in selections)
        bias = first.bias.new_full((len(self._rows), 1, 1, width), torch.finfo(first.bias.dtype).min)
        start = 0
        for part, rows, columns in selections:
            end = part.kv.width
            bias[start : start + len(rows), ..., width - columns :] = part.bias[rows][..., end - columns : end]
            start += len(rows)
        self._part = Part(
            cache.merged([(part.kv, rows, columns) for part, rows, columns in selections], _ROOM),
            torch.nn.functional.pad(bias, (0, _ROOM)),
            torch.cat([part.positions[rows] for part, rows, _ in selections]),
            torch.cat([part.scores[rows] for part, rows, _ in selections]),
        )
