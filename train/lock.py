"""Reserves the folder of a run for one training run at a time.

The lock is the file `.lock` in the folder, which names the host and the process. While the run lives it holds
flock on the file as well, so that on one host the lock of a process that was killed is known to be free. Other
hosts may not see flock (network file systems differ); there the name in the file decides.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ssl4rl_bench.core.atomic import reporting, scratch_path, write_all
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.parsing import parse_json

FILE = ".lock"
_TRIES = 100
"""How often to try again if the file is replaced by other processes while it is opened."""
_open_files: set[int] = set()
"""Descriptors of the locks that this process holds."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock."""

    host: str
    pid: int
    since: str
    """The time in UTC."""
    job: str = ""
    """The Slurm job; empty outside of Slurm."""
    restart: int = 0
    """How often Slurm has requeued the job, whose earlier starts have therefore ended."""

    @classmethod
    def current(cls) -> Holder:
        """Returns this process."""
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        job, restart = (os.environ.get(f"SLURM_{name}", "") for name in ("JOB_ID", "RESTART_COUNT"))
        return cls(socket.gethostname(), os.getpid(), now, job, int(restart) if restart.isdecimal() else 0)

    def is_earlier_start_of(self, other: Holder) -> bool:
        """Whether this is the same Slurm job before it was requeued."""
        return bool(self.job) and self.job == other.job and self.restart < other.restart

    def __str__(self) -> str:
        return f"host {self.host}, pid {self.pid}, since {self.since}"


class RunLock:
    """A lock that this process holds."""

    def __init__(self, path: Path, fd: int, note: str = "") -> None:
        self.path, self._fd = path, fd
        self.note = note
        """A sentence about the dead run whose lock was taken over; empty if there was none."""
        _open_files.add(fd)

    def release(self) -> None:
        """Removes the file. Safe to call twice."""
        if self._fd >= 0:
            if _is_file(self.path, self._fd):
                self.path.unlink(missing_ok=True)
            _open_files.discard(self._fd)
            os.close(self._fd)
            self._fd = -1


def acquire(out: Path) -> RunLock:
    """Locks the folder of a run, which is created if it does not exist.

    Raises:
        StoreError: another run holds the lock, or the folder cannot be written.
    """
    path = out / FILE
    with reporting(out):
        out.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            fd = _create(path)
            if fd is not None:
                return RunLock(path, fd)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # it was released just now
            try:
                note = _take_over(path, fd)
            except BaseException:
                os.close(fd)
                raise
            if note is not None:
                return RunLock(path, fd, note)
            os.close(fd)
    raise StoreError(f"{path} changes all the time: other runs use {out}, choose another --out")


def _create(path: Path) -> int | None:
    """Creates the file with its content and flock in one step, and returns its descriptor; None if it exists."""
    scratch = scratch_path(path)
    fd = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _flock(fd)
        _write(fd)
        os.link(scratch, path)
    except FileExistsError:
        os.close(fd)
        return None
    except OSError:  # a file system without hard links
        os.close(fd)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            return None
        _flock(fd)
        _write(fd)
    finally:
        scratch.unlink(missing_ok=True)
    return fd


def _take_over(path: Path, fd: int) -> str | None:
    """Takes over the lock of a dead run and returns a note about it; None if the file was replaced meanwhile.

    Raises:
        StoreError: the run may be alive.
    """
    free = _flock(fd)
    if not _is_file(path, fd):
        return None
    holder, me = _read(fd), Holder.current()
    if holder is not None and holder.host != me.host and not holder.is_earlier_start_of(me):
        raise StoreError(
            f"{path.parent} is in use by a training run on another host ({holder}): wait for it or stop it, or "
            f"delete {path} if that run has ended"
        )
    if free is False or (free is None and holder is not None and _is_alive(holder.pid)):
        raise StoreError(
            f"{path.parent} is in use by another training run ({holder or 'which has just started'}): wait for it "
            "or stop it, or choose another --out"
        )
    _write(fd)
    return f"took over {path.parent} from a run that has ended ({holder or 'unreadable lock'})"


def _flock(fd: int) -> bool | None:
    """Returns whether flock was acquired; None if the file system has no locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_file(path: Path, fd: int) -> bool:
    """Whether the descriptor is that of the file that now has this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # a process of another user
    return True


def _read(fd: int) -> Holder | None:
    try:
        value = parse_json(os.pread(fd, 4096, 0))
        job, restart = str(value.get("job", "")), int(value.get("restart", 0))
        return Holder(str(value["host"]), int(value["pid"]), str(value["since"]), job, restart)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _write(fd: int) -> None:
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    write_all(fd, (json.dumps(asdict(Holder.current())) + "\n").encode())
    os.fsync(fd)


def _close_in_child() -> None:
    """Closes the locks in a forked process, which could outlive this one and would still hold flock."""
    for fd in _open_files:
        os.close(fd)
    _open_files.clear()


os.register_at_fork(after_in_child=_close_in_child)
