"""Images as places in files: what a worker process needs to read one, without its pixels being sent to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.types import HubSource


@dataclass(frozen=True, slots=True)
class Located:
    """One image's bytes in a file."""

    name: str
    """For people and for the manifest: the path below the folder, or the row. No part of the machine's paths."""
    path: str
    offset: int
    length: int
    """Bytes."""

    def read(self) -> bytes:
        """The bytes, fewer than `length` if the file has become shorter.

        Raises:
            OSError: as the system gives it.
        """
        with Path(self.path).open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True, slots=True)
class Dropped:
    """An image that is left out, and why."""

    name: str
    kind: str
    """unreadable, too_small, exact_duplicate, near_duplicate, or unusable (by the task)."""
    reason: str
    """A clause without a full stop."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """All images that a source names, in no order that means anything."""

    name: str
    """For the record: a file's or folder's own name, a hub id, a task's name, "scenes"."""
    images: tuple[Located, ...]
    bad: tuple[Dropped, ...] = ()
    """Rows whose image cannot even be taken out of them."""
    hub: HubSource | None = None
    """Where the images came from on the hub."""
