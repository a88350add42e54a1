"""Files that are whole or not there: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import StoreError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the file would be larger than this system allows (see `ulimit -f`)",
    errno.EACCES: "permission denied; choose a directory that you may write to",
    errno.EPERM: "permission denied; choose a directory that you may write to",
    errno.EROFS: "the file system is read-only; choose another directory",
    errno.ENOTDIR: "part of the path is a file; choose another directory",
    errno.EEXIST: "a file of that name is in the way; choose another directory",
}


def store_error(path: Path, error: OSError, verb: str = "write") -> StoreError:
    """One sentence for what the system refused to do with `path`."""
    reason = _REASONS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()
    return StoreError(f"cannot {verb} {path}: {reason}")


@contextmanager
def reporting(path: Path, verb: str = "write") -> Iterator[None]:
    """Turns the system's errors on `path` into a StoreError."""
    try:
        yield
    except OSError as error:
        raise store_error(path, error, verb) from error


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`; the system may take it in pieces."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Makes the names in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


_SCRATCH = re.compile(r"\.(?P<name>.+)\.[0-9a-f]+\.tmp")
_OF_THE_SYSTEM = frozenset({"lost+found"})
"""What a new file system holds."""


def scratch_path(path: Path) -> Path:
    """A free name beside `path`, under which it is written before it takes its place. `sweep` knows such names."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def contents(folder: Path) -> list[Path]:
    """What lies in a folder, without what a killed writer left and what a new file system holds."""
    return [
        path
        for path in folder.iterdir()
        if not _SCRATCH.fullmatch(path.name) and path.name not in _OF_THE_SYSTEM
    ]


def sweep(folder: Path, name: str | None = None) -> None:
    """Removes what killed writers left in a folder: files and folders with a `scratch_path` that no process holds.

    Args:
        name: only those that were to become this one.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            match = _SCRATCH.fullmatch(path.name)
            if match is None or name not in (None, match["name"]):
                continue
            with suppress(OSError), nullcontext() if path.is_symlink() else held(path):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds a scratch file or folder, so that `sweep` leaves it alone.

    Raises:
        OSError: another process holds it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


@contextmanager
def _beside(path: Path, data: bytes, durable: bool) -> Iterator[Path]:
    """A new file next to `path` that holds `data`; removed at the end if it is still there."""
    if durable:
        sweep(path.parent, path.name)
    scratch = scratch_path(path)
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_all(fd, data)
        if durable:
            os.fsync(fd)
        yield scratch
    finally:
        os.close(fd)
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replaces `path` as a whole: a reader, or a crash at any moment, finds the old bytes or the new ones.

    Args:
        durable: also outlive a power cut, at the price of two fsyncs.

    Raises:
        StoreError: full disk, no permission.
    """
    with reporting(path):
        with _beside(path, data, durable) as scratch:
            scratch.replace(path)
        if durable:
            sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    r"""`write_bytes` of UTF-8. A lone surrogate, which UTF-8 cannot hold, becomes `\udXXX`, as in JSON."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def to_text(value: Any) -> str:
    """JSON as this project's files hold it: indented, keys in the given order, a line feed at the end.

    Raises:
        TypeError, ValueError: for what JSON cannot hold, NaN included.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """`write_text` of `to_text`."""
    write_text(path, to_text(value))


def create_json(path: Path, value: Any) -> None:
    """Like `write_json`, but leaves `path` alone if it exists: of two processes at once, one writes.

    Raises:
        StoreError: full disk, no permission.
    """
    with reporting(path):
        with _beside(path, to_text(value).encode("utf-8", "backslashreplace"), durable=True) as scratch:
            try:
                os.link(scratch, path)
            except FileExistsError:
                pass
            except OSError:
                scratch.replace(path)  # a file system without hard links
        sync_directory(path.parent)
