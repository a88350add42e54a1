"""lmms-eval's view of this project: our engines as its model `ssl4rl_vllm`, our SSL tasks as its tasks.

Importing this package imports neither lmms-eval nor torch. lmms-eval finds `MANIFEST` through the entry-point
group `lmms_eval.models`.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "MANIFEST":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("ssl4rl_vllm", chat_class_path="ssl4rl_bench.interop.lmms.model.Ssl4rlVllm")
