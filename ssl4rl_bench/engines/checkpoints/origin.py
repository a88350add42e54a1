"""A checkpoint's ssl4rl.json: what it was trained from, on what, and how. Written by `train`, read by all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.versioned import parse_object

FILE = "ssl4rl.json"
SCHEMA = 1


def read_origin(folder: Path) -> dict[str, Any]:
    """The file's content; empty for a checkpoint that was not trained here.

    Raises:
        ModelError: the file cannot be read, is damaged, or is of a newer version.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ModelError(f"cannot read {path}: {(error.strerror or 'unreadable').lower()}") from None
    return parse_object(data, path, SCHEMA, fix="copy the checkpoint again", absent=1, error=ModelError)
