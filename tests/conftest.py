"""This file makes pytest add its folder to the import path, for helpers such as `mmbench_data`."""

from __future__ import annotations

import forked
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Starts one server of `forked` for all workers."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        forked.share()
