"""Starts programs that train as forks of a process that has imported torch, transformers and TRL.

A new interpreter takes some ten seconds for these imports. `forked.Popen` says how a fork differs from it.
"""

from __future__ import annotations

import importlib
from typing import Any, AnyStr

import forked

MODULES = (
    "torchvision",
    "datasets",
    "peft",
    "transformers.trainer",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
    "trl.trainer.grpo_trainer",
    "ssl4rl_bench.train.trainer",
    "ssl4rl_bench.train.grpo.run",
)
"""What a training process imports, besides what `forked` imports for every program."""


class Popen(forked.Popen[AnyStr]):
    """A program that trains."""

    preparation = __file__


def run(args: Any, **options: Any) -> Any:
    """Runs a program to its end, as `subprocess.run` does."""
    return forked.run(args, kind=Popen, **options)


def prepare() -> None:
    """Imports `MODULES`, without vLLM, as a training process without vLLM does."""
    from ssl4rl_bench.train.grpo import process

    process._quiet(vllm=False)
    for name in MODULES:
        importlib.import_module(name)


if __name__ == forked.PREPARATION:
    prepare()
