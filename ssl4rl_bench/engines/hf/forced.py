"""Log-likelihoods of given replies, which a model is forced to make instead of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ssl4rl_bench.engines.hf.grouping import Family
from ssl4rl_bench.engines.hf.prompts import VisualPrompt

_HEAD_TOKENS = 256
"""The number of tokens whose scores are computed at once: 150 MB for a vocabulary of 150,000 in float32."""


@dataclass(frozen=True, eq=False)
class ForcedReply:
    """A prompt with a reply."""

    owner: int
    """The index of the prompt among those of the call."""
    prompt: VisualPrompt
    """The prompt, followed by all tokens of the reply except the last one."""
    ids: Any
    """The token ids of the reply, of shape (tokens,)."""


def family(owner: int, prompt: VisualPrompt, replies: Iterable[Sequence[int]]) -> Family[ForcedReply]:
    """Returns the replies to one prompt as a family that shares all of the prompt's tokens except the last one.

    The last one is computed again with each reply: the likelihood of the reply's first token comes from its scores.
    """
    import torch

    made = []
    for reply in replies:
        ids = torch.tensor(reply)
        fed = ids[:-1]
        positions = prompt.positions.max() + 1 + torch.arange(len(fed))
        extended = replace(
            prompt,
            ids=torch.cat([prompt.ids, fed]),
            is_visual=torch.cat([prompt.is_visual, torch.zeros(len(fed), dtype=torch.bool)]),
            positions=torch.cat([prompt.positions, positions.expand(3, -1)], dim=1),
        )
        made.append(ForcedReply(owner, extended, ids))
    length = max(reply.prompt.n_tokens for reply in made)
    return Family(prompt.n_tokens - 1, [[reply] for reply in made], length)


def log_likelihoods(hidden: Any, replies: Sequence[Any], head: Callable[[Any], Any]) -> list[float]:
    """Returns the log-likelihood of each reply in nats, the sum over its tokens.

    Args:
        hidden: the states before each token of a reply, aligned on the right; shape (replies, tokens, size).
        replies: the token ids of each reply.
        head: the layer that turns hidden states into scores of tokens.
    """
    import torch

    states = torch.cat([row[-len(ids) :] for row, ids in zip(hidden, replies, strict=True)])
    targets = torch.cat(list(replies)).to(states.device)
    parts = []
    for some, wanted in zip(states.split(_HEAD_TOKENS), targets.split(_HEAD_TOKENS), strict=True):
        scores = head(some).float()
        right = scores.gather(1, wanted[:, None])[:, 0]
        parts.append((right - scores.logsumexp(dim=1)).double())
    return [float(part.sum()) for part in torch.cat(parts).split([len(ids) for ids in replies])]
