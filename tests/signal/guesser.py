"""An engine without a model, whose likelihoods and replies follow from planted sight and a bias."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling
from ssl4rl_bench.task.ssl.probe import ProbeTask

FORM = "<think>{0}</think> <answer>{0}</answer>"


@dataclass
class Guesser:
    """Answers with the possible answers to a sample by their log-likelihoods."""

    task: ProbeTask
    sight: float = 0.0
    """What the target's log-likelihood has in addition, in nats."""
    bias: float = 0.0
    """What that of the first one has in addition."""
    unread: float = 0.0
    name: str = "hf"
    version: str = "0"

    def logits(self, request: Request) -> np.ndarray:
        """The log-likelihoods of the possible answers, up to a constant."""
        labels = self.task.candidates(request.sample)
        noise = np.random.default_rng(seed_of(request.sample.id)).normal(size=len(labels))
        target = np.array([label == request.sample.target for label in labels])
        return 0.2 * noise + self.sight * target + self.bias * (np.arange(len(target)) == 0)

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Draws replies."""
        for request in requests:
            rng = np.random.default_rng(request.seed)
            powers = np.exp(self.logits(request))
            label = rng.choice(self.task.candidates(request.sample), p=powers / powers.sum())
            text = "I cannot say" if rng.random() < self.unread else FORM.format(label)
            yield request, Completion(text, "stop", n_prompt_tokens=100, n_completion_tokens=10)

    def score_answers(
        self, asked: Iterable[tuple[Request, Sequence[str]]]
    ) -> Iterator[tuple[Request, list[float] | str]]:
        """Gives the log-likelihoods of texts in the form `FORM`."""
        for request, texts in asked:
            labels = self.task.candidates(request.sample)
            by_text = dict(zip(map(FORM.format, labels), self.logits(request), strict=True))
            yield request, [float(by_text[text]) for text in texts]

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Not used."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to free."""
