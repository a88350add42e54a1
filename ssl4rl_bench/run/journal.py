"""The journal: an append-only file of sample records, one line of JSON per record, with a checksum.

Guarantees:

- A line ends in `,"crc":"xxxxxxxx"}`: the CRC-32 of the line without that field. It is checked byte by
  byte, so every flipped bit is detected, also in the checksum and the punctuation. A line that fails the
  check is reported and never used.
- `append` passes the record to the operating system before it returns, so the record survives a crash of this
  process.
- After `flush` has returned, all records appended before it survive a power cut, too. `append` also flushes
  when `every` records or `interval_s` seconds have accumulated since the last flush. There is no thread, so
  records appended just before a long pause wait for the next `append` or `flush`.
- A crash can only leave a tail without a line feed. The next writer cuts it off, and a reader skips it.
- Lines are ASCII and split at the byte 0x0A only, so a text may contain anything: NUL, U+2028, or a lone
  surrogate. (A pair of surrogates is read back as the one character it stands for, as in all JSON.)
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ssl4rl_bench.core.atomic import reporting, store_error, sync_directory, write_all
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.types import SampleRecord

_FIELDS = SampleRecord.__slots__
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
CRC_SIZE = len(',"crc":"00000000"}')
"""The length of the checksum at the end of a line."""

Place = tuple[str, int]
"""The id of a sample and the index of the repeat, which identify the request that a record answers."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be trusted."""

    number: int
    """Counted from 1."""
    torn: bool
    """Whether it is the end of the file without a line feed: a writer died, and nothing was damaged."""


def crc_field(body: bytes) -> bytes:
    """Returns the end of a line with the checksum of its JSON object."""
    return b',"crc":"%08x"}' % zlib.crc32(body)


def encode_record(record: SampleRecord) -> bytes:
    """Returns the line of a record, including the line feed.

    Raises:
        ValueError: for a latency that is not a number.
    """
    fields = {name: getattr(record, name) for name in _FIELDS}
    if not record.reasoning:
        del fields["reasoning"]  # as in journals written before this field existed
    body = _ENCODE(fields).encode("ascii")
    return body[:-1] + crc_field(body) + b"\n"


def has_checksum(line: bytes) -> bool:
    """Whether a line without its line feed ends in its checksum, so that no bit of it is wrong."""
    return line[-CRC_SIZE:] == crc_field(line[:-CRC_SIZE] + b"}")


def decode_record(line: bytes) -> SampleRecord | None:
    """Returns the record of a line without its line feed; None if any bit of it is wrong."""
    if not has_checksum(line):
        return None
    try:
        return SampleRecord(**json.loads(line[:-CRC_SIZE] + b"}"))
    except (TypeError, ValueError, RecursionError):
        return None


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a file with their numbers from 1. A missing file counts as empty."""
    with reporting(path, "read"), suppress(FileNotFoundError), path.open("rb") as file:
        yield from enumerate(file, start=1)


def read_journal(path: Path) -> Iterator[SampleRecord | BadLine]:
    """Yields the records of a journal in order. A missing file counts as empty. Safe during writing.

    Raises:
        StoreError: the file cannot be read.
    """
    for number, line in numbered_lines(path):
        is_complete = line.endswith(b"\n")
        record = decode_record(line[:-1]) if is_complete else None
        yield BadLine(number, torn=not is_complete) if record is None else record


def damaged(path: Path) -> list[int]:
    """Returns the numbers, from 1, of lines with a wrong checksum. A torn last line is not one of them.

    This is faster than `read_journal`.

    Raises:
        StoreError: the file cannot be read.
    """
    return [
        number
        for number, line in numbered_lines(path)
        if line.endswith(b"\n") and not has_checksum(line[:-1])
    ]


@dataclass(slots=True)
class Answers:
    """The content of a journal for the requests of a run."""

    records: dict[Place, SampleRecord] = field(default_factory=dict)
    """The first reply to each request, or the latest error if there is no reply."""
    n_stale: int = 0
    """Number of ignored records: of another prompt, model or sampling, or of an unknown sample."""
    corrupt: list[int] = field(default_factory=list)
    """Numbers of damaged lines. The requests that they answered count as unanswered."""
    torn: bool = False
    """Whether the last line is incomplete."""


def answers(path: Path, keys: Mapping[Place, str]) -> Answers:
    """Reads a journal and keeps the records whose response key is the present one of their request.

    Raises:
        StoreError: the file cannot be read.
    """
    result = Answers()
    for line in read_journal(path):
        if isinstance(line, BadLine):
            if line.torn:
                result.torn = True
            else:
                result.corrupt.append(line.number)
            continue
        place = (line.id, line.repeat)
        if keys.get(place) != line.key:
            result.n_stale += 1
        elif place not in result.records or result.records[place].error is not None:
            result.records[place] = line
    return result


def copy_records(path: Path, keys: Mapping[Place, str], file: BinaryIO) -> set[Place]:
    """Appends the lines of a journal that answer these requests to a file, unchanged and one at a time.

    Damaged lines and records with another response key are left out.

    Returns:
        The requests that have a record.

    Raises:
        StoreError: the journal cannot be read.
        OSError: the file cannot be written.
    """
    places = set()
    for _, line in numbered_lines(path):
        record = decode_record(line[:-1]) if line.endswith(b"\n") else None
        if record is not None and keys.get(place := (record.id, record.repeat)) == record.key:
            file.write(line)
            places.add(place)
    return places


def lock(fd: int, what: str) -> None:
    """Makes this process the only writer until `fd` is closed or the process ends in any way.

    Raises:
        StoreError: another process is the writer.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StoreError(f"{what} is being written by another process; wait for it or stop it") from error


class Journal:
    """The only writer of a journal file."""

    torn_bytes: int
    """Length of the incomplete tail that was cut off when the journal was opened; 0 without one."""

    def __init__(self, path: Path, *, every: int = 256, interval_s: float = 0.5) -> None:
        """Opens or creates the file, locks it and cuts off a torn tail.

        Args:
            every, interval_s: the number of records or seconds after which `append` flushes.

        Raises:
            StoreError: no permission, full disk, or another process writes this run.
        """
        self._path, self._every, self._interval_s = path, every, interval_s
        with reporting(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            lock(self._fd, f"run {path.parent.parent}")
            with reporting(path):
                size = os.lseek(self._fd, 0, os.SEEK_END)
                self._size = _end_of_last_line(self._fd, size)
                self.torn_bytes = size - self._size
                os.ftruncate(self._fd, self._size)
                os.lseek(self._fd, self._size, os.SEEK_SET)
                os.fsync(self._fd)
                sync_directory(path.parent)
        except BaseException:
            os.close(self._fd)
            raise
        self._unsynced, self._synced_at = 0, time.monotonic()

    def append(self, record: SampleRecord) -> None:
        """Appends a record, with the guarantees in the module's docstring.

        Raises:
            StoreError: full disk. Earlier records are intact, and nothing of this record is left in the file.
        """
        self.append_line(encode_record(record))

    def append_line(self, line: bytes) -> None:
        """Appends a line with its checksum and line feed, with the same guarantees as `append`. Raises as it does."""
        try:
            write_all(self._fd, line)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
                os.lseek(self._fd, self._size, os.SEEK_SET)
            raise store_error(self._path, error) from error
        self._size += len(line)
        self._unsynced += 1
        if self._unsynced >= self._every or time.monotonic() - self._synced_at >= self._interval_s:
            self.flush()

    def flush(self) -> None:
        """Waits until all appended records are on the disk.

        Raises:
            StoreError: the disk refused; records appended since the last flush may be lost.
        """
        if self._unsynced:
            with reporting(self._path):
                os.fdatasync(self._fd)
        self._unsynced, self._synced_at = 0, time.monotonic()

    def close(self) -> None:
        """Flushes and releases the lock. Safe to call twice.

        Raises:
            StoreError: as `flush`.
        """
        if self._fd < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end_of_last_line(fd: int, size: int, block: int = 1 << 16) -> int:
    """Returns the offset just after the last line feed before `size`; 0 if there is none."""
    end = size
    while end > 0:
        start = max(0, end - block)
        index = os.pread(fd, end - start, start).rfind(b"\n")
        if index >= 0:
            return start + index + 1
        end = start
    return 0
