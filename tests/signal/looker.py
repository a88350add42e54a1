"""An engine without a model, whose likelihoods depend on what a picture shows of the object asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling


@dataclass
class Looker:
    """Finds the right option likelier by `sight` nats, unless the object asked about or the picture is hidden."""

    sight: float = 0.0
    noise: float = 0.5
    """The standard deviation of each option's log-likelihood, which differs between pictures."""
    seed: int = 0
    name: str = "hf"
    version: str = "0"
    n_asked: int = 0
    fails: str = ""
    """Samples whose id contains this text fail."""
    layers: int = 3

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Thinks about the picture; about every fifth question without an answer."""
        for number, request in enumerate(requests):
            text = "I cannot say" if number % 5 == 4 else f"{request.sample.id}</think> <answer>A</answer>"
            yield request, Completion(text, "stop", n_prompt_tokens=100, n_completion_tokens=10)

    def score_answers(
        self, asked: Iterable[tuple[Request, Sequence[str]]]
    ) -> Iterator[tuple[Request, list[float] | str]]:
        """Gives log-likelihoods; the condition is at the end of the sample's id."""
        for request, texts in asked:
            self.n_asked += 1
            sample, condition = request.sample, request.sample.id.rpartition("|")[2]
            if self.fails and self.fails in sample.id:
                yield request, "out of memory"
                continue
            draw = np.random.default_rng(seed_of(self.seed, sample.id))
            is_blind = condition in ("asked", "blank", "shuffled")
            right = [letter == sample.target for letter in sample.choices]
            values = self.noise * draw.normal(size=len(texts)) + self.sight * np.array(right) * (not is_blind)
            yield request, values.tolist()

    def image_attention(self, requests: Iterable[Request]) -> Iterator[tuple[Request, np.ndarray | str]]:
        """Attention that is equal everywhere."""
        for request in requests:
            yield request, np.full((self.layers, 4, 4), 0.01)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Not used."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to free."""
