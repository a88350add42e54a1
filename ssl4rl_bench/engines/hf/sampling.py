"""Draws the next token of each reply. The seed of a request alone determines the noise of its reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl4rl_bench.core.types import Sampling


def warpers(sampling: Sampling) -> list[Any]:
    """Returns transformers' processors for temperature, top-k and top-p; none for temperature 0."""
    if sampling.temperature == 0:
        return []
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    chain: list[Any] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k > 0:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    return chain


def processors(sampling: Sampling, seeds: Sequence[int]) -> list[Any]:
    """Returns logits processors after which the argmax is the sampled token; none for temperature 0."""
    return [*warpers(sampling), _Gumbel(seeds)] if sampling.temperature else []


def add_noise(scores: Any, generators: Sequence[Any]) -> Any:
    """Adds Gumbel noise, so that the argmax is a draw from the softmax (Gumbel 1954).

    Args:
        scores: array of shape (rows, vocabulary).
        generators: a generator per row; None for a row whose result is not used.
    """
    import torch

    noise = torch.ones_like(scores, dtype=torch.float32)
    for row, generator in zip(noise, generators, strict=True):
        if generator is not None:
            row.exponential_(generator=generator)
    return scores.float() - noise.log()


class _Gumbel:
    """Adds Gumbel noise, with one generator per row."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds = seeds
        self._generators: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        if not self._generators:
            self._generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self._seeds]
        return add_noise(scores, self._generators)
