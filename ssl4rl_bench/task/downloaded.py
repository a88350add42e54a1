"""The folder of files that `datasets.fetching` downloads, in which tasks find their data."""

from __future__ import annotations

import os
from pathlib import Path

from ssl4rl_bench.task.datasource import DataSource

FOLDER = "SSL4RL_DATA"
"""The environment variable that names another folder than ~/.cache/ssl4rl-bench/data ($XDG_CACHE_HOME)."""


def data_folder() -> Path:
    """Returns the folder of downloaded files. It does not have to exist.

    Raises:
        RuntimeError: the user has no home.
    """
    if named := os.environ.get(FOLDER):
        return Path(named).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "ssl4rl-bench" / "data"


def downloaded_file(source: DataSource | None) -> Path | None:
    """Returns the path of the downloaded file of a source, or None if there is none."""
    if source is None or source.file is None:
        return None
    try:
        path = data_folder() / source.file
    except RuntimeError:
        return None
    return path if path.is_file() else None
