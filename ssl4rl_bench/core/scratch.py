"""Temporary folders that do not stay behind: later processes remove those of processes that were killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

MIN_AGE_S = 3600.0
"""Seconds for which a folder is left alone, since its process may not have locked it yet."""


class ScratchFolder(tempfile.TemporaryDirectory[str]):
    """A temporary folder, which is removed at the end of a `with` block, with the object, or with the process.

    The process holds a lock on the folder. Older folders of the same name that nobody has locked are removed.
    """

    def __init__(self, name: str) -> None:
        """Makes a folder whose name begins with "ssl4rl-" and `name`."""
        super().__init__(prefix=f"ssl4rl-{name}-")
        self._lock = _locked(Path(self.name))
        with suppress(OSError):
            for folder in Path(self.name).parent.glob(f"ssl4rl-{name}-*"):
                _remove_abandoned(folder)

    def cleanup(self) -> None:
        """Removes the folder. Safe to call twice."""
        super().cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(folder: Path) -> int | None:
    """Returns a descriptor that holds the lock of a folder, or None if another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_abandoned(folder: Path) -> None:
    """Removes a folder of this user whose process has ended without doing so."""
    with suppress(OSError):
        status = folder.lstat()
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < MIN_AGE_S:
            return
        if (descriptor := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
