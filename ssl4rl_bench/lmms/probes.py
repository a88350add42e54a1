"""`ssl4rl_bench.interop.lmms.probes` under the name that older task files have for it."""

from ssl4rl_bench.interop.lmms.probes import (
    accuracy,
    chance_corrected,
    doc_to_target,
    doc_to_text,
    doc_to_visual,
    process_docs,
    process_results,
)

__all__ = [
    "accuracy",
    "chance_corrected",
    "doc_to_target",
    "doc_to_text",
    "doc_to_visual",
    "process_docs",
    "process_results",
]
