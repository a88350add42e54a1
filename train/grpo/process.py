"""Sets up the training process, its device and libraries, and tells the main process from the others."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.engines.allocator import keep_freed_memory
from ssl4rl_bench.train.recipe import Recipe


def start(recipe: Recipe) -> Any:
    """Sets up this process for a recipe and returns accelerate's PartialState.

    Raises:
        UsageError: the recipe uses vLLM, and there is no GPU.
    """
    from accelerate import PartialState

    gpu, vllm = has_gpu(), recipe.rollout.engine != "transformers"
    if not gpu:
        keep_freed_memory()
    _quiet(vllm=vllm)
    if vllm and not gpu:
        raise UsageError(
            f"rollout.engine = {recipe.rollout.engine} needs a GPU, since vLLM for CPUs cannot load new weights: "
            "--set rollout.engine=transformers"
        )
    state = PartialState(cpu=not gpu)
    if recipe.hardware.threads and not gpu:
        import torch

        torch.set_num_threads(recipe.hardware.threads)
    return state


def is_main() -> bool:
    """Whether this is the main process, which writes files and output."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def has_gpu() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return bool(torch.cuda.is_available())


def installed(name: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return find_spec(name) is not None


def _quiet(vllm: bool) -> None:
    """Disables the libraries' warnings and progress bars, and the import of vLLM if it is not used."""
    import logging
    import warnings

    from datasets.utils import logging as datasets_logging
    from transformers.utils import logging as transformers_logging

    datasets_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if not vllm:
        # TRL imports vLLM whenever it is installed, which takes ten seconds and prints messages.
        imports: Any = importlib.import_module("trl.import_utils")
        imports.is_vllm_available = lambda min_version=None: False
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(trl|transformers|torch|peft)\b.*")
