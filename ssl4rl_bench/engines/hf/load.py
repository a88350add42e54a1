"""Loads a checkpoint for engine `hf`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.engines.allocator import keep_freed_memory
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.hf.network import Network
from ssl4rl_bench.engines.hf.sharing import SharingNetwork, can_share
from ssl4rl_bench.engines.inputs import Prompter
from ssl4rl_bench.engines.loading import load_network

if TYPE_CHECKING:
    from ssl4rl_bench.engines.checkpoints.weights import Model


def load(model: Model, options: EngineOptions, share: bool = True) -> Network:
    """Loads a checkpoint onto the device that the options name: by default a GPU, if there is one.

    Args:
        share: whether to compute what prompts have in common once, if the model allows it.

    Raises:
        ModelError: if tensors are missing or have the wrong shape.
        Exception: any other exception of transformers.
    """
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # transformers 5.24 warns of this argument, which its older versions need.
    warnings.filterwarnings("ignore", r"`past_key_values` is deprecated", FutureWarning)
    on_cpu = options.device_map == "cpu" or not torch.cuda.is_available()
    if on_cpu:
        keep_freed_memory()
    dtype = "float32" if options.dtype == "auto" and on_cpu else options.dtype
    prompter = Prompter(model.path, options)
    loaded: Any = load_network(
        model.path, dtype=dtype, attn_implementation=options.attn, device_map=options.device_map
    ).eval()
    if options.device_map is None and not on_cpu:
        loaded.to("cuda")
    return (SharingNetwork if share and can_share(loaded) else Network)(loaded, prompter)
