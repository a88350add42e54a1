"""Files that people write, read strictly: an unknown key is an error that names the nearest one."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from ssl4rl_bench.core.errors import UsageError, did_you_mean

T = TypeVar("T")


def fill(cls: type[T], values: Mapping[str, Any], file: str, where: str = "") -> T:
    """A dataclass from the tables of a file; a field's type says what its value must be.

    Types: str, int, float, bool, Literal, X | None, tuple[X, ...], Mapping[str, X], and dataclasses of these.

    Args:
        values: as `tomllib` reads them.
        file: what messages call the file.
        where: the table's name, for messages.

    Raises:
        UsageError: an unknown key, with the nearest one; a key that is missing; a value of another type.
    """
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in known:
            raise UsageError(
                f"{file}: unknown key {prefix}{key} (known here: {', '.join(known)}){did_you_mean(key, known)}"
            )
    for name, f in known.items():
        if name not in values and f.default is f.default_factory is dataclasses.MISSING:
            raise UsageError(f"{file}: {prefix}{name} is missing")
    return cls(**{key: _value(hints[key], value, file, f"{prefix}{key}") for key, value in values.items()})


def _value(hint: Any, value: Any, file: str, where: str) -> Any:
    """`value` as `hint` says, or a UsageError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _value(next(arg for arg in args if arg is not type(None)), value, file, where)
    if origin is Literal:
        if value not in args:
            raise UsageError(
                f"{file}: {where} = {value!r} is not one of {', '.join(map(str, args))}"
                f"{did_you_mean(str(value), map(str, args))}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{file}: {where} must be a list, not {value!r}")
        return tuple(_value(args[0], item, file, where) for item in value)
    if (isinstance(hint, type) and dataclasses.is_dataclass(hint)) or origin is Mapping:
        if not isinstance(value, Mapping):
            raise UsageError(f"{file}: {where} must be a table ([{where}])")
        if isinstance(hint, type):
            return fill(hint, value, file, where)
        return {key: _value(args[1], item, file, f"{where}.{key}") for key, item in value.items()}
    wanted = (int, float) if hint is float else hint
    if isinstance(value, bool) is not (hint is bool) or not isinstance(value, wanted):
        raise UsageError(f"{file}: {where} must be {_NAMES[hint]}, not {value!r}")
    return float(value) if hint is float else value


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
