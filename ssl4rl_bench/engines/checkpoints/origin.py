"""Reads a checkpoint's ssl4rl.json, in which `train` records what it was trained from, on what, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.versioned import parse_object

FILE = "ssl4rl.json"
SCHEMA = 1


def read_origin(folder: Path) -> dict[str, Any]:
    """Returns the file's content; empty for a checkpoint that was not trained with this project.

    Raises:
        ModelError: if the file is unreadable, damaged, or of a newer version.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ModelError(f"cannot read {path}: {(error.strerror or 'unreadable').lower()}") from None
    return parse_object(data, path, SCHEMA, fix="copy the checkpoint again", absent=1, error=ModelError)
