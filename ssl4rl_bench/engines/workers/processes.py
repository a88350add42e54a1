"""Ends the processes of a Ray that this process started: Ray itself leaves some if its start is interrupted."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_POLL_S = 0.05


def processes_of(folder: Path) -> dict[int, str]:
    """Returns the processes below this one whose command line names a folder, and all below those.

    Returns:
        Their process ids, with the times at which they started: process ids are used again.
    """
    parents: dict[int, int] = {}
    starts: dict[int, str] = {}
    named: set[int] = set()
    for path in _PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it has ended
            pid = int(path.name)
            # The second field is the name in parentheses, which may contain spaces.
            fields = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parents[pid], starts[pid] = int(fields[1]), fields[19]
            if os.fsencode(folder) in (path / "cmdline").read_bytes():
                named.add(pid)
    roots = named & _below({os.getpid()}, parents)
    return {pid: starts[pid] for pid in roots | _below(roots, parents)}


def _below(roots: set[int], parents: dict[int, int]) -> set[int]:
    """Returns the processes that the roots started, and those that these started, and so on."""
    below: set[int] = set()
    layer = roots
    while layer := {pid for pid, parent in parents.items() if parent in layer} - below:
        below |= layer
    return below


def end(processes: dict[int, str], wait_s: float) -> None:
    """Waits until processes have ended, and kills those that have not after `wait_s` seconds."""
    until = time.monotonic() + wait_s
    while (
        left := [pid for pid, start in processes.items() if _runs(pid, start)]
    ) and time.monotonic() < until:
        time.sleep(_POLL_S)
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _runs(pid: int, start: str) -> bool:
    """Returns whether this process still runs. A process that has ended is not always removed at once."""
    with suppress(OSError, IndexError):
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0] not in ("Z", "X") and fields[19] == start
    return False
