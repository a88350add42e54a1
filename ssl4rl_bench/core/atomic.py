"""Atomic writing of files: a file is written to a temporary name in the same folder and then renamed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
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
    errno.ENOTEMPTY: "a folder of that name is in the way; choose another directory",
}


def store_error(path: Path, error: OSError, verb: str = "write") -> StoreError:
    """Returns an error with one sentence about the operation on `path` that the system refused."""
    reason = _REASONS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()
    return StoreError(f"cannot {verb} {path}: {reason}")


@contextmanager
def reporting(path: Path, verb: str = "write") -> Iterator[None]:
    """Converts an OSError inside the block into a StoreError about `path`."""
    try:
        yield
    except OSError as error:
        raise store_error(path, error, verb) from error


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`. A single `os.write` may write only a part of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Syncs a directory, so that the names in it survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


_SCRATCH = re.compile(r"\.(?P<name>.+)\.[0-9a-f]+\.tmp")
_OF_THE_SYSTEM = frozenset({"lost+found"})
"""Names that a new file system contains."""


def scratch_path(path: Path) -> Path:
    """Returns an unused temporary name in the folder of `path`. `sweep` recognizes such names."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def contents(folder: Path) -> list[Path]:
    """Lists a folder without the leftovers of killed writers and the entries of a new file system."""
    return [
        path
        for path in folder.iterdir()
        if not _SCRATCH.fullmatch(path.name) and path.name not in _OF_THE_SYSTEM
    ]


def sweep(folder: Path, name: str | None = None) -> None:
    """Removes leftovers of killed writers: files and folders with a `scratch_path` that no process locks.

    Args:
        name: remove only temporary versions of the file or folder with this name.
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
    """Locks a temporary file or folder, so that `sweep` leaves it alone.

    Raises:
        OSError: another process has locked it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


@contextmanager
def created_folder(out: Path, place: Callable[[Path, Path], object] = Path.rename) -> Iterator[Path]:
    """Yields a new folder next to `out` that becomes `out` at the end; after an error it is removed.

    Args:
        place: moves the new folder to `out`. The default fails if `out` exists and is not an empty folder.

    Raises:
        StoreError: the folder cannot be created or moved.
    """
    out = out.absolute()
    made = [folder for folder in out.parents if not folder.exists()]
    scratch = scratch_path(out)
    sweep(out.parent, out.name)
    try:
        with reporting(out):
            scratch.mkdir(parents=True)
        with ExitStack() as stack:
            with suppress(OSError):  # the file system may not support locks
                stack.enter_context(held(scratch))
            yield scratch
            with reporting(out):
                place(scratch, out)
                sync_directory(out.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        for folder in made:  # starting with the innermost
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _beside(path: Path, data: bytes, durable: bool) -> Iterator[Path]:
    """Writes `data` to a temporary file next to `path`, and removes it at the end if it still exists."""
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
    """Replaces a file atomically: a reader always sees either the old or the new bytes, even after a crash.

    Args:
        durable: also survive a power cut, at the cost of two fsyncs.

    Raises:
        StoreError: full disk, no permission.
    """
    with reporting(path):
        with _beside(path, data, durable) as scratch:
            scratch.replace(path)
        if durable:
            sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    r"""Writes text as UTF-8 with `write_bytes`. A lone surrogate becomes `\udXXX`, as in JSON."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def to_text(value: Any) -> str:
    """Formats JSON as in this project's files: indented, keys in the given order, a line feed at the end.

    Raises:
        TypeError, ValueError: for a value that JSON cannot represent, NaN included.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON in the form of `to_text`."""
    write_text(path, to_text(value))


def create_json(path: Path, value: Any) -> None:
    """Writes JSON like `write_json`, but only if `path` does not exist. Of concurrent processes, one writes.

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
