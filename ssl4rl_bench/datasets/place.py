"""Creates the output folder of a data set atomically."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl4rl_bench.core.atomic import contents, created_folder, reporting
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.versioned import check_schema
from ssl4rl_bench.datasets.manifest import FILE, KIND, SCHEMA


def check_destination(out: Path, force: bool) -> None:
    """Checks that the destination is empty or missing, or is an earlier build and `force` is set.

    Raises:
        StoreError: if that is not the case.
    """
    with reporting(out, "read"):
        if not out.exists() or (out.is_dir() and not contents(out)):
            if out.is_dir() and out.is_mount():
                raise StoreError(
                    f"{out} is a separate file system, which cannot be replaced: choose a folder in it"
                )
            return
    if not out.is_dir():
        raise StoreError(f"{out} is a file: choose a folder for --out")
    if not _ours(out):
        raise StoreError(
            f"{out} contains something other than a data set of `build`: choose an empty folder for --out"
        )
    if not force:
        raise StoreError(
            f"{out} already contains a data set: choose another --out, or replace it with --force"
        )


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Yields a new folder next to `out` that replaces `out` at the end; after an error it is removed.

    Raises:
        StoreError: if the folder cannot be created or moved.
    """
    if out.exists():  # otherwise the .old folder of a killed build may be the only copy
        for old in out.absolute().parent.glob(f".{glob.escape(out.name)}.*.old"):
            shutil.rmtree(old, ignore_errors=True)
    with created_folder(out, _replace) as scratch:
        yield scratch


def _replace(scratch: Path, out: Path) -> None:
    if not out.exists() or not any(out.iterdir()):
        scratch.rename(out)
        return
    old = scratch.with_suffix(".old")
    out.rename(old)
    try:
        scratch.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old)


def _ours(out: Path) -> bool:
    """Whether `out` holds a data set of `build`. Raises StoreError for a newer version, to protect it."""
    try:
        manifest = parse_json((out / FILE).read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        return False
    check_schema(manifest, out / FILE, SCHEMA)
    return True
