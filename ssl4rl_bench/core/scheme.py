"""The number of the scheme by which weights are fingerprinted.

1: until November 2026. Checkpoints whose tensors did not fit their config.json were evaluated; adapters, additional
   chat templates and some tokenizer files were not covered.
2: Only whole checkpoints have a fingerprint, and all files that can change replies are covered.
"""

from __future__ import annotations

SCHEME = 2
"""Of the fingerprints that this version makes."""
WITHOUT_WEIGHTS = frozenset({"mock", "openai", "replay"})
"""Engines that see no weights: what stands for a fingerprint in their runs has no scheme."""
