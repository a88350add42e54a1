"""Configures glibc's allocator to keep freed memory."""

from __future__ import annotations

import ctypes
import os
import platform

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Parameters of mallopt, from malloc.h."""


def keep_freed_memory() -> bool:
    """Makes this process reuse freed memory instead of returning it to the system page by page.

    A step of a small model on a CPU allocates and frees gigabytes in large blocks. By default glibc maps each
    block anew, and clearing its pages takes the kernel as long as the arithmetic (docs/performance.md). With
    this setting, the memory of the process never shrinks.

    Returns:
        Whether the setting was applied. It is not applied without glibc, or if MALLOC_* variables are set.
    """
    user_settings = [name for name in os.environ if name.startswith("MALLOC_") and name.endswith("_")]
    if user_settings or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    largest = 2**31 - 1  # an int; pieces above 2 GiB are still mapped
    settings = ((_MMAP_THRESHOLD, largest), (_TRIM_THRESHOLD, largest), (_TOP_PAD, 64 << 20))
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings)
