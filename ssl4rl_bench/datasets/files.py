"""Data files that know their own hash when they are closed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFile:
    """A finished file of a data set."""

    name: str
    sha256: str
    n_bytes: int
    n_samples: int


class HashingFile:
    """A new binary file, written from start to end and hashed on the way (pyarrow takes it as a sink)."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self.n_bytes = 0

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._hash.update(view)
        self.n_bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self.n_bytes

    def flush(self) -> None:
        self._file.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed

    @property
    def sha256(self) -> str:
        """Of all that was written so far."""
        return self._hash.hexdigest()
