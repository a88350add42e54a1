"""Percentile bootstrap over documents, for statistics that exist only for a whole corpus.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3. The resamples depend only on the
number of documents, so that two runs on the same documents have the same ones: the difference of their
resampled values is then a paired bootstrap of the difference.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
RESAMPLES = 1000
SEED = 0
_BLOCK = 50
"""Number of resamples computed at once."""
Statistic = Callable[[_Floats], _Floats]
"""Computes the values of resamples, shape (resamples,), from how often each document is in each of them, shape
(resamples, documents)."""


def resampled(statistic: Statistic, n: int) -> _Floats:
    """Computes a statistic of each resample of n documents, shape (RESAMPLES,)."""
    return np.concatenate([statistic(weights) for weights in _weights(n)])


def percentiles(values: _Floats) -> tuple[float, float]:
    """Returns the 2.5th and the 97.5th percentile: the 95% interval of a bootstrap."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def packed(values: _Floats) -> str:
    """Writes resampled values as text: little-endian float32 in base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def unpacked(text: str) -> _Floats:
    """Reads the output of `packed`. Raises ValueError for any other text."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64)


def _weights(n: int) -> Iterator[_Floats]:
    draw = np.random.default_rng(SEED)
    for _ in range(RESAMPLES // _BLOCK):
        yield draw.multinomial(n, np.full(n, 1.0 / n), size=_BLOCK).astype(np.float64)
