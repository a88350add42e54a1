"""This file makes pytest add its folder to the import path, for helpers such as `mmbench_data`."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path

import forked
import pytest
from examples import examples
from hypothesis import settings

CACHE = "SSL4RL_CACHE_DIR"
DATA = "SSL4RL_DATA"
"""Names a folder that does not exist, so that no test reads a benchmark that the user downloaded."""

settings.register_profile(
    "ours",
    max_examples=examples(100),
    deadline=None,  # no test fails because the machine is busy
    parent=settings.get_profile(settings._current_profile),
)
settings.load_profile("ours")


def pytest_configure(config: pytest.Config) -> None:
    """Starts one server of `forked` for all workers, makes `os.fsync` do nothing, and names a cache folder."""
    forked.no_fsync()
    if not hasattr(config, "workerinput"):
        os.environ[CACHE] = tempfile.mkdtemp(prefix="ssl4rl-cache-")
        os.environ[DATA] = str(Path(os.environ[CACHE]) / "data")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        forked.share()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the cache folder of this session."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(CACHE), ignore_errors=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out tests/e2e where no engine is asked for: its modules import torch and vLLM."""
    engines_are_out = "not engine" in config.getoption("markexpr")
    return True if engines_are_out and collection_path.name == "e2e" else None


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from walking over all collected tests again and again."""
    gc.collect()
    gc.freeze()
