"""Compares a file with the published one that the task file names (`datasource.DataSource`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ssl4rl_bench.task.datasource import DataSource

_PIECE = 1 << 20


def md5_of(path: Path) -> str:
    """Computes the MD5 of a file in lower-case hex; about 0.5 GB per second."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def source_warning(source: DataSource, path: Path | None, n_rows: int) -> str | None:
    """Returns a sentence if the data are not the published file, or None if nothing speaks against it.

    Files in other formats than the published one, folders and hub data sets are compared by their number of
    rows only.

    Args:
        path: the file, or None for a folder or a hub data set.
        n_rows: the number of rows of the data that belong to the task.
    """
    expected = source.questions
    counts = None if expected is None or n_rows == expected else f"{n_rows} rows instead of {expected}"
    comparable = path is not None and source.file is not None and path.suffix == Path(source.file).suffix
    if source.md5 is None or path is None or not comparable:
        return (
            None
            if counts is None
            else f"These are not the questions of {source.file or 'the task'}: {counts}."
        )
    digest = md5_of(path)
    if digest == source.md5:
        return None
    if digest in source.editions:
        return f"{path.name} is another edition of {source.file}: {source.editions[digest]}."
    if counts is None:
        what = "an unverified number of rows" if expected is None else f"the expected {expected} rows"
        counts = f"it has {what}, and their content may differ"
    return f"{path.name} is not the published {source.file} (MD5 {digest} instead of {source.md5}): {counts}."
