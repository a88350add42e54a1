"""Parsing of untrusted JSON, TOML and YAML. A bad file raises only ValueError and cannot make parsing slow.

Every reader of a file calls this module. The standard parsers raise other errors for some files (a
`RecursionError` for deep nesting, an `AttributeError` for a bad date), accept values that no reader expects
(NaN, a duplicate key), and let a small file expand to a huge value (aliases, compression).
"""

from __future__ import annotations

import codecs
import json
import math
import re
import tomllib
import zlib
from functools import cache
from typing import Any

MAX_DEPTH = 64
"""Maximum nesting of lists and objects. No file of this project or of a checkpoint has ten levels."""
MAX_TEXT = 256 << 10
"""Maximum size in bytes of a file that people write (TOML, YAML)."""
MAX_UNPACKED = 256 << 20
"""Maximum size in bytes of a decompressed file."""
_LONG_KEY = re.compile(rf"(?<![\w.-])(?:(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}")
_MAX_DIGITS = 30
"""Maximum digits of an integer: more than any count or size has, and few enough to convert to a float."""
_DIGITS_TO_ZERO = bytes(ord("0") if ord("0") <= byte <= ord("9") else ord(" ") for byte in range(256))


def decode_text(data: bytes) -> str:
    """Decodes UTF-8 text with or without a byte order mark.

    Raises:
        ValueError: the data are not UTF-8.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is UTF-16 text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from None


def parse_json(data: bytes | str, *, nan_is_null: bool = False) -> Any:
    """Parses a JSON text in UTF-8, with or without a byte order mark, or in UTF-16 or UTF-32.

    Args:
        nan_is_null: read NaN, which pandas and `json.dumps` write for a missing value, as None.

    Raises:
        ValueError: it is not JSON, contains NaN (unless `nan_is_null`), Infinity, a number that is too large or
            an object with a duplicate key, or is nested too deeply.
    """
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    try:
        value = json.loads(
            data,
            object_pairs_hook=_object,
            # A call for each integer takes most of the time.
            parse_int=_integer if _may_have_long_integers(raw) else None,
            parse_float=_number,
            parse_constant=_nan_as_none if nan_is_null else _no_constant,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parses a TOML file and returns its tables.

    Raises:
        ValueError: it is not TOML, too large, or nested too deeply.
    """
    text = _short_text(data)
    if _LONG_KEY.search(text):  # tomllib takes quadratic time
        raise ValueError("a key has too many parts")
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(value)
    return value


def parse_yaml(data: bytes, scalars: tuple[str, Any] | None = None) -> Any:
    """Parses a YAML file that contains plain data only.

    Args:
        scalars: a tag such as "!function", and the function that converts the text after it.

    Raises:
        ValueError: it is not YAML, is too large or nested too deeply, or contains an alias (`*name`) or a
            duplicate key.
    """
    import yaml

    text = _short_text(data)
    try:
        value = _yaml_loader(scalars)(text).get_single_data()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (AttributeError, LookupError, TypeError, ArithmeticError) as error:
        # PyYAML's constructors raise these for a value that does not fit its tag, such as "!!timestamp x".
        raise ValueError(f"a value does not fit its type ({error})") from None
    _check_depth(value)
    return value


def gunzip(data: bytes) -> bytes:
    """Decompresses a gzip file.

    Raises:
        ValueError: it is damaged, or its content is larger than `MAX_UNPACKED`.
    """
    out = b""
    while data:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            out += unpacker.decompress(data, MAX_UNPACKED - len(out) + 1)
        except zlib.error as error:
            raise ValueError(f"it is not a gzip file ({error})") from None
        if len(out) > MAX_UNPACKED:
            raise ValueError(f"it is larger than {MAX_UNPACKED >> 20} MiB when it is decompressed")
        if not unpacker.eof:
            raise ValueError("it is cut off")
        data = unpacker.unused_data.lstrip(b"\0")
    return out


def number(value: object) -> float | None:
    """Returns a finite number as a float, and None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond any float
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {next(key for key in keys if keys.count(key) > 1)!r} appears twice in an object"
        )
    return value


def _may_have_long_integers(data: bytes) -> bool:
    """Whether a JSON text has many digits in a row, or an encoding with zero bytes between the digits."""
    return b"0" * _MAX_DIGITS in data.translate(_DIGITS_TO_ZERO) or b"\0" in data


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _nan_as_none(text: str) -> None:
    if text != "NaN":
        _no_constant(text)


def _short_text(data: bytes) -> str:
    if len(data) > MAX_TEXT:
        raise ValueError(f"it is larger than {MAX_TEXT >> 10} KiB")
    return decode_text(data)


def _check_depth(value: Any) -> None:
    """Raises ValueError for a value that is nested too deeply. The check does not recurse."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inside: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inside += item.values()
            elif isinstance(item, list | tuple | set):
                inside += item
        level = inside
        if not level:
            return
    raise ValueError("it is nested too deeply")


@cache
def _yaml_loader(scalars: tuple[str, Any] | None) -> Any:
    """Returns PyYAML's safe loader, changed to refuse aliases and duplicate keys."""
    import yaml
    from yaml.composer import ComposerError
    from yaml.constructor import ConstructorError

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                reader: Any = self
                place = reader.peek_event().start_mark
                raise ComposerError(None, None, "aliases (*name) are not read: write the value out", place)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            value = super().construct_mapping(node, deep=deep)
            if len(value) < len(node.value):
                raise ConstructorError(None, None, "a key appears twice in this mapping", node.start_mark)
            return value

    def number(loader: Any, node: Any) -> Any:
        if len(node.value) > _MAX_DIGITS:  # "1:1:1:..." takes quadratic time
            raise ConstructorError(None, None, "a number is too long", node.start_mark)
        return getattr(yaml.SafeLoader, f"construct_yaml_{node.tag.rpartition(':')[2]}")(loader, node)

    for name in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{name}", number)
    if scalars is not None:
        tag, make = scalars

        def scalar(loader: Any, node: Any) -> Any:
            return make(loader.construct_scalar(node))

        Loader.add_constructor(tag, scalar)
    return Loader
