"""Parsing of JSON files with a schema number. Files of an unsupported version are refused with a message.

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
    """Checks and returns the schema number of a file's content.

    Args:
        where: the file, for messages.
        newest: the highest schema number that the caller supports.
        absent: the number to assume for a file without one; None if every file must have one.
        error: the class of the error to raise.

    Raises:
        BenchError: an `error`, for a newer or an invalid schema number.
    """
    number = value.get("schema", absent)
    if type(number) is not int or number < 1:
        what = "no schema" if "schema" not in value else f"schema {number!r}"
        raise error(
            f"{where} is damaged: it has {what}, and this version of ssl4rl-bench reads 1 to {newest}; restore it or "
            "create it again"
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
    """Parses a file's content as a JSON object and checks its schema number.

    Arguments and errors are as in `check_schema`.

    Args:
        fix: the advice about a damaged file in messages.
    """
    try:
        value = parse_json(data)
    except ValueError as reason:
        raise error(f"{where} is damaged: it is not a JSON object ({reason}); {fix}") from None
    if not isinstance(value, dict):
        raise error(f"{where} is damaged: it is not a JSON object; {fix}")
    check_schema(value, where, newest, absent=absent, error=error)
    return value
