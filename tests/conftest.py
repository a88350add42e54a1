"""This file makes pytest add its folder to the import path, for helpers such as `mmbench_data`."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import forked
import pytest
import training_process
import vllm_process
from examples import examples
from hypothesis import settings
from marked import can_select

from ssl4rl_bench.core.scratch import ScratchFolder

CACHE = "SSL4RL_CACHE_DIR"
DATA = "SSL4RL_DATA"
"""Names a folder that does not exist, so that no test reads a benchmark that the user downloaded."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for _name in THREADS:  # there is a test process per core already: more threads wait for each other
    os.environ.setdefault(_name, "1")
MEMORY = Path("/dev/shm")
MEMORY_FREE = 4 << 30
"""Bytes that must be free in memory before temporary files are kept there; containers often have 64 MB."""
PREPARATIONS = (training_process.__file__, vllm_process.__file__)
"""What prepares the processes that tests with engines fork."""
_temporary: list[ScratchFolder] = []

settings.register_profile(
    "ours",
    max_examples=examples(100),
    deadline=None,  # no test fails because the machine is busy
    parent=settings.get_profile(settings._current_profile),
)
settings.load_profile("ours")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Starts one server of `forked` for all workers, makes `os.fsync` do nothing, and names temporary folders."""
    forked.no_fsync()
    if not hasattr(config, "workerinput"):
        _keep_files_in_memory(config)
        os.environ[CACHE] = tempfile.mkdtemp(prefix="ssl4rl-cache-")
        os.environ[DATA] = str(Path(os.environ[CACHE]) / "data")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        forked.share(*() if _without_engines(config) else PREPARATIONS)


def _keep_files_in_memory(config: pytest.Config) -> None:
    """Moves the folder for temporary files into memory, unless TMPDIR names one or there is not enough room.

    The tests make and remove tens of thousands of files, and a disk takes up to a millisecond to remove one.
    """
    with suppress(OSError):
        if "TMPDIR" not in os.environ and shutil.disk_usage(MEMORY).free >= MEMORY_FREE:
            tempfile.tempdir = str(MEMORY)
            _temporary.append(ScratchFolder("tests"))
            os.environ["TMPDIR"] = _temporary[0].name
            config.option.basetemp = config.option.basetemp or f"{_temporary[0].name}/t"
    tempfile.tempdir = None  # determined again at the next use


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the temporary folders of this session."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(CACHE), ignore_errors=True)
        for folder in _temporary:
            folder.cleanup()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out tests/e2e where no engine is asked for, and modules without a test that `-m` selects.

    The modules of tests/e2e import torch and vLLM. Importing all others takes some eight seconds per process.
    """
    if collection_path.name == "e2e":
        return True if _without_engines(config) else None
    if not (collection_path.name.startswith("test_") and collection_path.suffix == ".py"):
        return None
    return None if can_select(config.getoption("markexpr"), collection_path) else True


def _without_engines(config: pytest.Config) -> bool:
    """Returns whether the tests with real engines and trainers are left out."""
    return "not engine" in config.getoption("markexpr")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests with a real Ray at the end, since its threads and memory stay in their process."""
    items.sort(key=lambda item: item.path.name == "test_ray.py")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keeps the garbage collector from walking over all collected tests and loaded modules again and again."""
    gc.collect()
    gc.freeze()
    if _without_engines(session.config):  # tensors of engines must not wait for it
        gc.set_threshold(100_000, 20, 50)
