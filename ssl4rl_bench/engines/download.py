"""Downloads a large file into a partial file, and continues where an earlier download stopped.

`datasets.fetching` calls it with the address that a task file states. The partial file (`NAME.part`) has a
small file beside it (`NAME.part.from`) with the address and the version that the server named, so that parts of
different files are never joined.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ssl4rl_bench.core.atomic import reporting, write_all
from ssl4rl_bench.core.errors import DataError, StoreError
from ssl4rl_bench.engines.fetch import open_url, shown_url

MAX_BYTES = 64 << 30
"""The size of the largest file that is downloaded."""
CHUNK = 1 << 20
"""The number of bytes that are read at once."""

OnBytes: TypeAlias = Callable[[int, int | None], None]
"""Receives the number of bytes that are there, and of all bytes, or None if the server does not say it."""

_RANGE = re.compile(r"bytes (?:(?P<start>[0-9]{1,18})-[0-9]{1,18}|\*)/(?P<total>[0-9]{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Download:
    """A completely downloaded file."""

    size: int
    """Bytes."""
    md5: str
    """Lower-case hex."""
    n_received: int
    """The number of bytes that this call downloaded. The rest was there already."""


def download(
    url: str, part: Path, *, resume_unversioned: bool = False, on_progress: OnBytes | None = None
) -> Download:
    """Downloads a URL into `part`, whose folder must exist, or continues an earlier download of it.

    The bytes that were received stay in `part` if the download fails or is interrupted. If the server does not
    support ranges, or has another version of the file now, the download starts again.

    Args:
        resume_unversioned: whether to continue even if the server names no version of the file (ETag or
            Last-Modified). The caller must then check the digest.

    Raises:
        UsageError, DataError: as `fetch.open_url`, for a status other than 200 and 206, and for a file that ends
            early or is larger than `MAX_BYTES`.
        StoreError: if the file cannot be written, the disk has too little space, or another process writes it.
    """
    with _locked(part) as fd:
        writer = _Writer(fd, part, on_progress or (lambda done, total: None))
        version = _version_of(part, url)
        if version is None or not (version or resume_unversioned):
            writer.restart()
        else:
            writer.read_again()
        for _ in range(3):
            headers = {"Accept-Encoding": "identity"}
            if writer.size:
                headers["Range"] = f"bytes={writer.size}-"
                headers |= {"If-Range": version} if version else {}
            with open_url(url, headers) as (response, last):
                if _receive(response, last, url, writer):
                    return Download(writer.size, writer.digest.hexdigest(), writer.n_received)
        raise DataError(f"cannot download {shown_url(url)}: the server answers requests for a part wrongly")


class _Writer:
    """The partial file: its size, its digest, and the writing of what arrives."""

    def __init__(self, fd: int, path: Path, report: OnBytes) -> None:
        self.fd, self.path, self.report = fd, path, report
        self.size = 0
        self.n_received = 0
        self.digest = hashlib.md5(usedforsecurity=False)

    def restart(self) -> None:
        """Empties the file."""
        with reporting(self.path):
            os.ftruncate(self.fd, 0)
            os.lseek(self.fd, 0, os.SEEK_SET)
        self.size = self.n_received = 0
        self.digest = hashlib.md5(usedforsecurity=False)

    def read_again(self) -> None:
        """Computes the digest of what is in the file."""
        os.lseek(self.fd, 0, os.SEEK_SET)
        while data := os.read(self.fd, CHUNK):
            self.digest.update(data)
            self.size += len(data)

    def append(self, data: bytes, total: int | None) -> None:
        with reporting(self.path):
            write_all(self.fd, data)
        self.digest.update(data)
        self.size += len(data)
        self.n_received += len(data)
        self.report(self.size, total)


def _receive(response: http.client.HTTPResponse, last: str, url: str, writer: _Writer) -> bool:
    """Writes the body of a response; returns False if the request must be repeated from the start."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range") or "")
    total = int(match["total"]) if match and match["total"] != "*" else None
    if response.status == 416 and writer.size:
        if total == writer.size:
            return True
        writer.restart()
        return False
    if response.status == 206:
        if match is None or match["start"] is None or int(match["start"]) != writer.size:
            writer.restart()
            return False
    elif response.status == 200:
        writer.restart()
        length = response.headers.get("Content-Length") or ""
        total = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
        _remember(writer.path, url, response)
    else:
        raise DataError(f"cannot download {shown_url(last)}: HTTP {response.status}")
    if (response.headers.get("Content-Encoding") or "identity") != "identity":
        raise DataError(f"cannot download {shown_url(last)}: the server compresses it although it must not")
    _check_size(total, writer)
    writer.report(writer.size, total)
    while data := response.read1(CHUNK):
        writer.append(data, total)
        if writer.size > MAX_BYTES:
            _check_size(writer.size, writer)
    if total is not None and writer.size != total:
        raise DataError(f"{shown_url(last)} ended after {writer.size} of {total} bytes")
    return True


def _check_size(total: int | None, writer: _Writer) -> None:
    """Raises an error if a file of `total` bytes is too large, or larger than the space on the disk."""
    if total is None:
        return
    if total > MAX_BYTES:
        raise DataError(f"{writer.path.name} has {total} bytes, more than the limit of {MAX_BYTES >> 30} GiB")
    free = shutil.disk_usage(writer.path.parent).free
    if total - writer.size > free:
        needed = (total - writer.size) >> 20
        raise StoreError(
            f"{writer.path} needs {needed} MiB, and its disk has {free >> 20} MiB free: free some space or choose "
            "another folder"
        )


def _remember(part: Path, url: str, response: http.client.HTTPResponse) -> None:
    """Records the address and the version of a download that begins."""
    tag = response.headers.get("ETag") or ""
    version = tag if tag.startswith('"') else response.headers.get("Last-Modified") or ""
    version = version if version.isprintable() and len(version) < 256 else ""
    with reporting(part):
        source_file(part).write_text(f"{url}\n{version}\n", "utf-8")


def _version_of(part: Path, url: str) -> str | None:
    """Returns the version of the partial file, empty if the server named none; None for another file."""
    try:
        lines = source_file(part).read_text("utf-8").split("\n")
    except (OSError, ValueError):
        return None
    return lines[1] if len(lines) == 3 and lines[0] == url else None


def source_file(part: Path) -> Path:
    """Returns the path of the file that records where a partial file comes from."""
    return part.with_name(f"{part.name}.from")


@contextmanager
def _locked(part: Path) -> Iterator[int]:
    """Context manager: opens the partial file for this process only and gives its descriptor."""
    with reporting(part):
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise StoreError(f"cannot lock {part}: {error.strerror}") from error
            raise StoreError(f"{part} is being downloaded by another process: wait for it") from None
        yield fd
    finally:
        os.close(fd)
