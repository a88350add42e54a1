"""The version number of the scheme that computes the fingerprint of weights.

1: Used until November 2026. It accepted checkpoints whose tensors did not fit their config.json, and did not
   cover adapters, additional chat templates and some tokenizer files.
2: Only complete checkpoints have a fingerprint, and it covers all files that can change replies.
"""

from __future__ import annotations

SCHEME = 2
"""The scheme of the fingerprints that this version computes."""
WITHOUT_WEIGHTS = frozenset({"imported", "mock", "openai", "replay"})
"""Engines that see no weights. The stand-in for a fingerprint in their runs has no scheme."""
