"""Replaces the weights of a loaded model, for checkpoints of one training run that differ in nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.checkpoints.weights import side_files
from ssl4rl_bench.engines.loading import load_network

_OF_THE_WRITER = ("transformers_version", "_name_or_path")
"""Keys of config.json that describe the program that wrote it."""


def same_kind(one: Path, two: Path) -> bool:
    """Whether two checkpoints differ only in their weights, and not in config, tokenizer, processor etc."""
    return _settings(one) == _settings(two)


def load_weights(network: Any, folder: Path) -> None:
    """Copies a checkpoint's weights into a transformers model, keeping its device and dtype.

    The new weights are also held in main memory for a short time.

    Raises:
        ModelError: if a tensor is missing or has the wrong shape; nothing was copied.
        RuntimeError: if the checkpoint has another architecture; some tensors may have been copied.
    """
    import torch

    fresh = load_network(folder, type(network), dtype=network.dtype)
    with torch.no_grad():
        network.load_state_dict(fresh.state_dict(), strict=True)


def _settings(folder: Path) -> dict[str, Any]:
    files: dict[str, Any] = dict(side_files(folder))
    config = parse_json(files["config.json"])
    files["config.json"] = {key: value for key, value in config.items() if key not in _OF_THE_WRITER}
    return files
