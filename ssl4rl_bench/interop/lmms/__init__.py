"""The plugin for lmms-eval: this project's engines as its model `ssl4rl_vllm`, and this project's tasks.

Importing this package imports neither lmms-eval nor torch. lmms-eval finds `MANIFEST` through the entry-point
group `lmms_eval.models`; task files refer to the functions of `mmbench` through this package.
"""

from __future__ import annotations

from typing import Any

from ssl4rl_bench.interop.lmms.mmbench import (
    circular_micro,
    doc_to_target,
    doc_to_text,
    doc_to_visual,
    process_docs,
    process_results,
    row_micro,
    scenes_docs,
)

__all__ = [
    "MANIFEST",
    "circular_micro",
    "doc_to_target",
    "doc_to_text",
    "doc_to_visual",
    "process_docs",
    "process_results",
    "row_micro",
    "scenes_docs",
]


def __getattr__(name: str) -> Any:
    if name != "MANIFEST":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("ssl4rl_vllm", chat_class_path="ssl4rl_bench.interop.lmms.model.Ssl4rlVllm")
