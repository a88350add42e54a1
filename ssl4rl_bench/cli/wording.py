"""Texts that the help of several commands shares."""

READERS = (
    "default, strict, vlmevalkit (VLMEvalKit's rules of September 2025, vlmevalkit-2025-09) or vlmevalkit-2026-06 "
    "(its newest)."
)
"""The extractors. A test compares it with `extract.EXTRACTORS`."""
