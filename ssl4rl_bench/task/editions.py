"""Compares a file with the published one that the task file names (`datasource.DataSource`)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Thread

from ssl4rl_bench.task.datasource import DataSource

_PIECE = 16 << 20
"""Bytes per call. With small ones, a thread waits for Python's lock most of the time."""


def md5_of(path: Path) -> str:
    """Computes the MD5 of a file in lower-case hex; about 0.5 GB per second."""
    digest = hashlib.md5(usedforsecurity=False)
    piece = memoryview(bytearray(min(_PIECE, max(1, path.stat().st_size))))
    with path.open("rb") as file:
        while n_bytes := file.readinto(piece):
            digest.update(piece[:n_bytes])
    return digest.hexdigest()


class SourceCheck:
    """Compares data with the published file. Its MD5 is computed in a thread, while the caller reads the data."""

    def __init__(self, source: DataSource | None, path: Path | None) -> None:
        """Starts the thread, if the file can be compared.

        Args:
            path: the file, or None for a folder or a hub data set.
        """
        self.source, self.path = source or DataSource(), path
        self._md5: str | OSError = ""
        self._thread: Thread | None = None
        published = self.source.file
        if self.source.md5 and published and path is not None and path.suffix == Path(published).suffix:
            self._thread = Thread(target=self._compute, args=(path,), daemon=True)
            self._thread.start()

    def _compute(self, path: Path) -> None:
        try:
            self._md5 = md5_of(path)
        except OSError as error:
            self._md5 = error

    def warning(self, n_rows: int) -> str | None:
        """Returns a sentence if the data are not the published file, or None if nothing speaks against it.

        Files in other formats than the published one, folders and hub data sets are compared by their number of
        rows only.

        Args:
            n_rows: the number of rows of the data that belong to the task.

        Raises:
            OSError: the file cannot be read.
        """
        source, path = self.source, self.path
        expected = source.questions
        counts = None if expected is None or n_rows == expected else f"{n_rows} rows instead of {expected}"
        if self._thread is None or path is None:
            title = source.file or "the task"
            return None if counts is None else f"These are not the questions of {title}: {counts}."
        self._thread.join()
        digest = self._md5
        if isinstance(digest, OSError):
            raise digest
        if digest == source.md5:
            return None
        if digest in source.editions:
            return f"{path.name} is another edition of {source.file}: {source.editions[digest]}."
        if counts is None:
            what = "an unverified number of rows" if expected is None else f"the expected {expected} rows"
            counts = f"it has {what}, and their content may differ"
        return f"{path.name} is not the published {source.file} (MD5 {digest} instead of {source.md5}): {counts}."
