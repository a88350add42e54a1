"""How many requests to start in each step of a model on a GPU."""

from __future__ import annotations

import math

_PRIOR_TOKENS = 64
"""The mean length of replies that is assumed at first, unless replies are limited to fewer tokens."""
_PRIOR_WEIGHT = 64
"""The assumed length counts as much as this many replies."""
_WINDOW = 1_024
"""The mean is over about this many of the latest replies."""
_ABOVE = 1.25
"""More than the necessary number may start, so that the model is full soon and stays so."""
_LEAST = 4


class Pace:
    """Spreads the starts of requests evenly over the model's steps.

    A prompt is work for the GPU; a step of many running requests is mostly work for vLLM's scheduler on the CPU.
    If all requests start at once, the GPU and the scheduler take turns, since replies of similar length also end
    at once and their successors start together. If as many start in each step as end in the long run, both are
    busy all the time.

    Args:
        n_running: the number of requests that run at a time.
        max_tokens: the limit on the length of replies.
    """

    def __init__(self, n_running: int, max_tokens: int) -> None:
        self._n_running = n_running
        self._mean = float(min(max_tokens, _PRIOR_TOKENS))
        self._n_seen = _PRIOR_WEIGHT

    def ended(self, n_tokens: int) -> None:
        """Takes the length of a reply into account."""
        self._n_seen = min(self._n_seen + 1, _WINDOW)
        self._mean += (n_tokens - self._mean) / self._n_seen

    @property
    def per_step(self) -> int:
        """The number of requests that may start in the next step."""
        return max(_LEAST, math.ceil(_ABOVE * self._n_running / max(self._mean, 1)))
