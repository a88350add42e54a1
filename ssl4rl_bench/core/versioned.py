"""JSON files with a schema number: read as an object of a version that this program knows, or refused by name.

Every reader of a persisted file calls this module: run directories, outcomes, baseline files, series, watch
histories, published tables, manifests and a checkpoint's ssl4rl.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import BenchError, StoreError
from ssl4rl_bench.core.parsing import parse_json


def check_schema(
    value: Mapping[str, Any],
    where: Path | str,
    newest: int,
    *,
    absent: int | None = None,
    error: type[BenchError] = StoreError,
) -> int:
    """The schema number of a file's content.

    Args:
        where: the file, for messages.
        newest: the highest number that the caller reads.
        absent: the number of a file without one; None where every file has one.
        error: what to raise.

    Raises:
        BenchError: `error`, for a newer number, or for what is no schema number.
    """
    number = value.get("schema", absent)
    if type(number) is not int or number < 1:
        what = "no schema" if "schema" not in value else f"schema {number!r}"
        raise error(
            f"{where} is damaged: it has {what}, and this version of ssl4rl-bench reads 1 to {newest}; restore it or "
            "make it again"
        )
    if number > newest:
        raise error(
            f"{where} was written by a newer ssl4rl-bench (schema {number}; this one reads up to {newest}): upgrade"
        )
    return number


def parse_object(
    data: bytes,
    where: Path | str,
    newest: int,
    *,
    fix: str = "restore it",
    absent: int | None = None,
    error: type[BenchError] = StoreError,
) -> dict[str, Any]:
    """A file's content as a JSON object whose schema number is known. Arguments and errors as `check_schema`.

    Args:
        fix: what to do about a damaged file, for messages.
    """
    try:
        value = parse_json(data)
    except ValueError as reason:
        raise error(f"{where} is damaged: it is not a JSON object ({reason}); {fix}") from None
    if not isinstance(value, dict):
        raise error(f"{where} is damaged: it is not a JSON object; {fix}")
    check_schema(value, where, newest, absent=absent, error=error)
    return value
