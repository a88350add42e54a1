"""Work for the processes of a pool, which import this file and not that of the tests."""

from __future__ import annotations

import os
import signal

from ssl4rl_bench.core.errors import DataError


def double(number: int) -> int:
    return 2 * number


def trouble(number: int) -> int:
    if number == 3:
        raise DataError("three is bad")
    return number


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number
