"""Starts programs that use vLLM on CPUs as forks of a process that has imported it.

A new interpreter takes some twelve seconds for these imports. `forked.Popen` says how a fork differs from it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any, AnyStr

import forked

MODULES = (
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
    "vllm",
    "vllm.entrypoints.llm",
    "vllm.entrypoints.openai.api_server",
    "vllm.model_executor.models.qwen2_5_vl",
    "vllm.v1.worker.cpu_worker",
    "lmms_eval.models",
    "lmms_eval.evaluator",
)
"""What a program with engine vllm imports, as far as it is installed, besides what `forked` imports."""


class Popen(forked.Popen[AnyStr]):
    """A program that uses vLLM."""

    preparation = __file__


def run(args: Any, **options: Any) -> Any:
    """Runs a program to its end, as `subprocess.run` does."""
    return forked.run(args, kind=Popen, **options)


def prepare() -> None:
    """Imports `MODULES` with the environment and the silence of engine vllm."""
    from ssl4rl_bench.engines.vllm.arguments import ENVIRONMENT, quiet

    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    with quiet():
        for name in MODULES:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


if __name__ == forked.PREPARATION:
    prepare()
