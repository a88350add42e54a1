"""A tiny random checkpoint and a folder of pictures for the tests with real engines, made once per session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A random Qwen2.5-VL in float32: 1,024 tokens of context, images of about 112 * 112 pixels."""
    pytest.importorskip("transformers")
    from tiny_model import build

    return resolve_model(str(build(tmp_path_factory.mktemp("checkpoint") / "tiny")))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve drawn pictures, which the tests of training only read."""
    from train_recipe import pictures

    return pictures(tmp_path_factory.mktemp("pictures"))
