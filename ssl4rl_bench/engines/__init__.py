"""The registry of engines. An engine's module is imported only when the engine is created."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, cast

from ssl4rl_bench.core.errors import MissingDependency, UsageError, did_you_mean
from ssl4rl_bench.core.types import Engine
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.replay import ReplayEngine, Replies

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model

ENGINES: dict[str, str] = {
    "auto": "vllm where there is a CUDA GPU and vLLM is installed, else hf",
    "vllm": "vLLM in this process, on GPUs or CPUs: continuous batching",
    "hf": "transformers in this process: the reference implementation",
    "openai": "any number of OpenAI-compatible servers, such as `vllm serve`",
    "replay": "replies from a file",
    "mock": "no model: generated replies, for trying things out",
}
"""Maps an engine's name to its one-line description."""

_CLASSES = {
    "vllm": ("vllm.engine", "VllmEngine"),
    "hf": ("hf.engine", "HfEngine"),
    "openai": ("openai", "OpenAIEngine"),
    "mock": ("mock", "MockEngine"),
}
_NEEDS = {
    "vllm": (("vllm", "torch", "transformers"), "cuda"),
    "hf": (("torch", "torchvision", "transformers"), "hf"),
    "openai": (("httpx",), "openai"),
}


def resolve_name(name: str) -> str:
    """Returns the engine to use: `name` itself, or the engine that "auto" selects on this machine.

    Raises:
        UsageError: for an unknown name.
    """
    if name not in ENGINES:
        raise UsageError(f"no engine {name!r} (known: {', '.join(ENGINES)}){did_you_mean(name, ENGINES)}")
    if name != "auto":
        return name
    if _installed("vllm") and _installed("torch"):
        import torch

        if torch.cuda.is_available():
            return "vllm"
    return "hf"


def create(name: str, model: Model | None, options: EngineOptions, replies: Replies | None = None) -> Engine:
    """Creates the engine of this name, or several of them in workers (`EngineOptions.workers`).

    This is cheap: the weights are loaded at the first request, and workers are started then.

    Args:
        replies: the content of `options.replies` (see `run.recorded.read_replies`); required for "replay".

    Raises:
        UsageError: for an unknown name, an engine that lacks its model, "replay" without replies, or workers for
            an engine that has none.
        MissingDependency: if a required package is not installed; the message has the command to install it.
    """
    name = resolve_name(name)
    packages, extra = _NEEDS.get(name, ((), ""))
    missing = [package for package in packages if not _installed(package)]
    if missing:
        note = "or [cpu] without a GPU" if extra == "cuda" else ""
        raise MissingDependency.of(f"engine {name} needs {' and '.join(missing)}", extra, note)
    if name in ("vllm", "hf") and model is None:
        raise UsageError(f"engine {name} needs a model: name a folder, a bundled checkpoint or a hub id")
    if name == "replay":
        if replies is None:
            raise UsageError("the replay engine needs recorded replies: set replies=FILE or replies=RUN")
        if options.workers > 1 or options.ray_address is not None:
            raise UsageError("engine replay has no workers: leave out --workers")
        return ReplayEngine(replies)
    module, cls = _CLASSES[name]
    made = cast(
        Engine, getattr(importlib.import_module(f"ssl4rl_bench.engines.{module}"), cls)(model, options)
    )
    if options.workers == 1 and options.ray_address is None:
        return made
    return _with_workers(made, model, options)


def _with_workers(engine: Engine, model: Model | None, options: EngineOptions) -> Engine:
    """Returns an engine that runs engines like this one in workers."""
    if engine.name == "openai":
        raise UsageError("engine openai has no workers: give --base-url for each of several servers instead")
    if not _installed("ray"):
        raise MissingDependency.of("--workers needs ray", "ray")
    from ssl4rl_bench.engines.workers.engine import WorkersEngine

    return WorkersEngine(engine, model, options)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


__all__ = ["ENGINES", "EngineOptions", "create", "resolve_name"]
