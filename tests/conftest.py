"""This file makes pytest add its folder to the import path, for helpers such as `mmbench_data`."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest

ENGINES = Path(__file__).with_name("e2e")


def pytest_configure(config: pytest.Config) -> None:
    """Starts one server of `forked` for all workers, and makes `os.fsync` do nothing."""
    forked.no_fsync()
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        forked.share()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out tests of engines, whose modules import them, where they are not asked for."""
    return True if collection_path == ENGINES and "not engine" in config.option.markexpr else None
