"""This file makes pytest add its folder to the import path, for helpers such as `mmbench_data`."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Takes the collected tests out of the garbage collector's sight, which would walk over them again and again."""
    gc.collect()
    gc.freeze()
