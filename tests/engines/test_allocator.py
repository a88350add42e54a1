from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import sys
from ssl4rl_bench.engines.allocator import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    b"x" * (40 << 20)  # more than the largest threshold that glibc sets itself, 32 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **more: str) -> tuple[str, int]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], env=env | more, capture_output=True, text=True, check=True
    )
    done, count = ran.stdout.split()
    return done, int(count)


@pytest.mark.skipif("glibc" not in os.confstr("CS_GNU_LIBC_VERSION"), reason="another C library")
@pytest.mark.slow
def test_freed_memory_is_used_again() -> None:
    done, kept = faults("keep")
    assert done == "True"
    # Every page once, not eight times.
    assert kept * 4 < faults("leave")[1]


@pytest.mark.slow
def test_what_the_environment_says_stays() -> None:
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
