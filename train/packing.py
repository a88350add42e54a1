"""Divides the replies of a micro-batch into rows and forward passes so that little is computed in vain.

A row holds a prompt and one or more of its replies (`shared_prompts.pack`). A row with all replies of a group
computes the prompt once, but its attention is quadratic in the length of the row; a row per reply computes the
prompt once per reply. A forward pass pads its rows to the longest. `plan` compares the cost of some divisions,
from a row per group to a row per reply, and returns the cheapest:

    cost of a pass = rows * (token * L + pair * L^2) + token * PASS_TOKENS,  plus patch * patches for each row

where L is the length of the longest row, and `Cost` computes the three factors from the shape of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssl4rl_bench.train.planning.shapes import ModelShape

SCORE_FLOPS = 128
"""Cost of an attention score besides the products of matrices (mask, exponential, normalization), as the FLOPs of
a product of matrices that take as long. Updates of tiny-base on a CPU, with 4 to 32 rows of 275 to 2,187 tokens,
fit values of 80 to 180. On an H100, an exponential takes as long as 256 FLOPs of its tensor cores (Shah et al.
2024, arXiv 2407.08608, section 3.2)."""
PASS_TOKENS = 256
"""Cost of a forward pass besides that of its tokens, in tokens: it starts kernels and reads all weights, which
takes an H100 about as long as computing 300 tokens in bfloat16 (989 TFLOP/s and 3.35 TB/s). A pass of tiny-base
on a CPU costs as much as 130 tokens."""
_LADDER = 1.2
"""Ratio of successive maximum lengths that `plan` tries."""


@dataclass(frozen=True)
class Cost:
    """FLOPs of a forward pass. A backward pass costs twice as much, which does not change comparisons."""

    token: float
    """Per token of a row: 2 per weight of the decoder layers."""
    pair: float
    """Per pair of tokens of a row, since a mask does not save work: in each layer, 4 per hidden unit (Kaplan et
    al. 2020, arXiv 2001.08361, table 1, without its average over causal positions), and `SCORE_FLOPS` per head."""
    patch: float
    """Per patch of a row's images: 2 per weight of the vision tower."""

    @classmethod
    def of(cls, shape: ModelShape) -> Cost:
        """Computes the factors for a model."""
        pair = 4 * shape.queries + SCORE_FLOPS * shape.num_attention_heads
        return cls(2 * shape.parts()["layers"], shape.num_hidden_layers * pair, 2 * shape.seeing)


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt and its replies."""

    prompt: int
    """Number of tokens of the prompt."""
    patches: int
    """Patches of its images."""
    replies: tuple[int, ...]
    """Number of tokens of each reply."""


@dataclass(frozen=True, slots=True)
class PackedRow:
    """Some replies to one prompt."""

    group: int
    """Index of the group."""
    replies: tuple[int, ...]
    """Indices of the replies within the group."""
    length: int
    """Tokens of the row: the prompt without its last token, and one more than its tokens for each reply."""


Pass = tuple[PackedRow, ...]
"""The rows of a forward pass."""


def plan(groups: Sequence[Group], cost: Cost, *, share: bool, max_passes: int | None = None) -> list[Pass]:
    """Returns the cheapest of the divisions that are compared.

    Args:
        share: whether a row may hold several replies.
        max_passes: 1, or None for any number.
    """
    best: tuple[float, list[Pass]] | None = None
    seen = set()
    for longest in _limits(groups) if share else [0]:
        rows = tuple(row for i, group in enumerate(groups) for row in _rows(i, group, longest))
        if rows in seen:
            continue
        seen.add(rows)
        spent, passes = _passes(rows, cost, max_passes)
        spent += cost.patch * sum(groups[row.group].patches for row in rows)
        if best is None or spent < best[0]:
            best = spent, passes
    assert best is not None
    return best[1]


def with_passes(passes: Sequence[Pass], n: int) -> tuple[list[Pass], list[Pass]]:
    """Divides passes until there are `n`, as many as on the process that needs most.

    Returns:
        The passes, and passes that repeat a row, if there are fewer than `n` rows.
    """
    out = list(passes)
    while len(out) < n:
        i = max(range(len(out)), key=lambda i: len(out[i]))
        half = len(out[i]) // 2
        if not half:
            break
        out[i : i + 1] = [out[i][:half], out[i][half:]]
    shortest = min((row for rows in out for row in rows), key=lambda row: row.length)
    return out, [(shortest,)] * (n - len(out))


def _limits(groups: Sequence[Group]) -> Iterator[int]:
    """Yields maximum lengths of rows: those of whole groups, and a ladder down to a row per reply."""
    shared = sorted({_length(group, group.replies) for group in groups}, reverse=True)
    yield from shared[:: max(1, len(shared) // 8)]
    longest, shortest = float(shared[0]), min(g.prompt + min(g.replies) for g in groups)
    while longest > shortest:
        longest /= _LADDER
        yield int(longest)
    yield 0


def _rows(index: int, group: Group, longest: int) -> list[PackedRow]:
    """Divides a group into rows of at most `longest` tokens, where one reply may be longer (first fit)."""
    bins: list[list[int]] = []
    rooms: list[int] = []
    for reply in sorted(range(len(group.replies)), key=lambda i: (-group.replies[i], i)):
        needed = group.replies[reply] + 1
        fitting = next((i for i, room in enumerate(rooms) if needed <= room), None)
        if fitting is None:
            bins.append([])
            rooms.append(longest - group.prompt + 1)
            fitting = len(bins) - 1
        bins[fitting].append(reply)
        rooms[fitting] -= needed
    return [PackedRow(index, tuple(sorted(b)), _length(group, [group.replies[i] for i in b])) for b in bins]


def _length(group: Group, replies: Sequence[int]) -> int:
    return group.prompt - 1 + sum(replies) + len(replies)


def _passes(rows: Sequence[PackedRow], cost: Cost, max_passes: int | None) -> tuple[float, list[Pass]]:
    """Divides rows, sorted by length, into passes with the lowest sum of costs, and returns both."""
    ordered = sorted(rows, key=lambda row: -row.length)
    starts = [i for i, row in enumerate(ordered) if i == 0 or row.length != ordered[i - 1].length]
    ends = [*starts[1:], len(ordered)]
    if max_passes == 1:
        starts, ends = [0], [len(ordered)]
    # cheapest[k]: the lowest cost of the rows up to ends[k - 1], and where the last of their passes starts.
    cheapest = [(0.0, 0)]
    for end in ends:
        options = [
            (cheapest[k][0] + _cost(ordered[starts[k]].length, end - starts[k], cost), k)
            for k in range(len(cheapest))
        ]
        cheapest.append(min(options))
    passes, k = [], len(ends)
    while k:
        first = cheapest[k][1]
        passes.append(tuple(ordered[starts[first] : ends[k - 1]]))
        k = first
    return cheapest[-1][0], passes[::-1]


def _cost(length: int, rows: int, cost: Cost) -> float:
    return rows * (cost.token * length + cost.pair * length**2) + cost.token * PASS_TOKENS
