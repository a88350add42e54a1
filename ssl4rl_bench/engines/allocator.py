"""glibc's allocator, told to keep what was freed."""

from __future__ import annotations

import ctypes
import os
import platform

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""mallopt's parameters (malloc.h)."""


def keep_freed_memory() -> bool:
    """Lets this process reuse freed memory instead of giving it back to the system page by page.

    A step of a small model on a CPU allocates and frees gigabytes in large pieces, each of which glibc would map
    anew, and clearing their pages takes the kernel as long as the arithmetic (docs/performance.md). The process
    stays as large as it ever was.

    Returns:
        Whether it was done: not outside glibc, nor where the environment sets the allocator (MALLOC_*).
    """
    own = [name for name in os.environ if name.startswith("MALLOC_") and name.endswith("_")]
    if own or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    largest = 2**31 - 1  # an int; pieces above 2 GiB are still mapped
    settings = ((_MMAP_THRESHOLD, largest), (_TRIM_THRESHOLD, largest), (_TOP_PAD, 64 << 20))
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings)
