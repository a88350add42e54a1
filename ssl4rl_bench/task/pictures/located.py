"""Images as places in files, so that a worker process can read an image without being sent its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.types import HubSource


@dataclass(frozen=True, slots=True)
class ImageLocation:
    """The place of one image's bytes in a file."""

    name: str
    """For people and for the manifest: the path below the folder, or the row. Never a full path."""
    path: str
    offset: int
    length: int
    """Bytes."""

    def read(self) -> bytes:
        """Returns the bytes, fewer than `length` if the file has become shorter.

        Raises:
            OSError: as raised by the system.
        """
        with Path(self.path).open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True, slots=True)
class Dropped:
    """An image that is left out, with the reason."""

    name: str
    kind: str
    """unreadable, too_small, exact_duplicate, near_duplicate, or unusable (by the task)."""
    reason: str
    """A clause without a full stop."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """All images of a source, in arbitrary order."""

    name: str
    """The recorded name: the name of a file or folder without its path, a hub id, a task's name, "scenes"."""
    images: tuple[ImageLocation, ...]
    bad: tuple[Dropped, ...] = ()
    """Rows from which no image can be extracted."""
    hub: HubSource | None = None
    """The hub data set that the images came from."""
