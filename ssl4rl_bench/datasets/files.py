"""Writers of data files, which are written sequentially and then hashed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.datasets.work import Record


@dataclass(frozen=True, slots=True)
class DataFile:
    """A finished file of a data set."""

    name: str
    sha256: str
    n_bytes: int
    n_samples: int

    @classmethod
    def of(cls, path: Path, n_samples: int) -> DataFile:
        """Reads and hashes a file."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, sha256, path.stat().st_size, n_samples)


class Writer(ABC):
    """Writes one split to a new file in a folder."""

    suffix: str

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / f"{split}.{self.suffix}"
        self.file = self.path.open("xb")
        self.n_samples = 0

    @abstractmethod
    def add(self, record: Record) -> None:
        """Adds a sample and counts it."""

    def close(self) -> DataFile:
        """Closes the file and returns its description."""
        self.file.close()
        return DataFile.of(self.path, self.n_samples)
