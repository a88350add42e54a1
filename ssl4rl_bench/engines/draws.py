"""Sampling for the engine `hf`: each request has its own random generator, whatever else is in its batch."""

from __future__ import annotations

from typing import Any

from ssl4rl_bench.core.types import Sampling


def draws(sampling: Sampling, seeds: list[int]) -> list[Any]:
    """Returns logits processors after which the argmax is the sampled token; none for temperature 0."""
    if sampling.temperature == 0:
        return []
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    chain: list[Any] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k > 0:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    return [*chain, _Gumbel(seeds)]


class _Gumbel:
    """Adds Gumbel noise, one generator per row; the argmax is then a draw from the softmax (Gumbel 1954)."""

    def __init__(self, seeds: list[int]) -> None:
        self._seeds = seeds
        self._generators: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        if not self._generators:
            self._generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self._seeds]
        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise.log()
