"""Strict parsing of options in files and on the command line into dataclasses.

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union

from ssl4rl_bench.core.errors import UsageError, did_you_mean

T = TypeVar("T")


class Must(NamedTuple):
    """A constraint on a field's value in addition to its type.

    Example: `Annotated[int, Must("at least 1", lambda n: n >= 1)]`.
    """

    be: str
    holds: Callable[[Any], bool]


def fill(cls: type[T], values: Mapping[str, Any], file: str, where: str = "") -> T:
    """Creates a dataclass from the tables of a file and checks each value against the type of its field.

    Supported types: str, int, float, bool, Path, Literal, X | None, tuple[X, ...], Mapping[str, X], and
    dataclasses of these.

    Args:
        values: the tables as `tomllib` returns them.
        file: the name of the file in messages.
        where: the name of the table in messages.

    Raises:
        UsageError: an unknown key (names the nearest one), a missing key, or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # any dataclass
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


def changed(base: T, texts: Mapping[str, str], source: str) -> T:
    """Returns a copy of a dataclass with some fields set from the command line.

    Commas separate the items of a tuple; "none" sets an optional field to None.

    Args:
        base: a dataclass all of whose fields have defaults.
        texts: the new values by field name, as text.
        source: the name of the texts in messages.

    Raises:
        UsageError: as `fill`.
    """
    hints = typing.get_type_hints(type(base))
    made = fill(type(base), {key: _of_text(hints.get(key), text) for key, text in texts.items()}, source)
    return dataclasses.replace(base, **{key: getattr(made, key) for key in texts})  # type: ignore[type-var]  # a dataclass


def check_constraints(options: object) -> None:
    """Raises UsageError if the value of a field violates its constraint (`Must`)."""
    for name, hint in typing.get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        for must in getattr(_required(hint), "__metadata__", ()):
            if value is not None and not must.holds(value):
                raise UsageError(f"{name} must be {must.be}, not {value}")


def _required(hint: Any) -> Any:
    """Returns the X of `X | None`, and any other type unchanged."""
    arguments = typing.get_args(hint)
    return next(arg for arg in arguments if arg is not type(None)) if type(None) in arguments else hint


def _of_text(hint: Any, text: str) -> Any:
    """Converts a text to a value as a file would contain it; returns the text if it cannot be converted."""
    if type(None) in typing.get_args(hint) and text.lower() == "none":
        return None
    kind = _required(hint)
    if typing.get_origin(kind) is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return kind(text) if kind in (int, float) else text
    except ValueError:
        return text


def _value(hint: Any, value: Any, file: str, where: str) -> Any:
    """Returns `value` converted to the type `hint`, or raises UsageError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _value(_required(hint), value, file, where)
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
    wanted: Any = {float: (int, float), Path: str}.get(hint, hint)
    if isinstance(value, bool) is not (hint is bool) or not isinstance(value, wanted):
        raise UsageError(f"{file}: {where} must be {_NAMES[hint]}, not {value!r}")
    return hint(value) if hint in (float, Path) else value


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
