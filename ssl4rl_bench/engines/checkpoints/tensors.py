"""Safetensors files by their headers: names, shapes and places of tensors, without reading the weights.

The format: 8 bytes with the header's length (little-endian), the header (JSON), the tensors' bytes. See
https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.parsing import parse_json

Shape = tuple[int, ...]
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Number formats of weights that are not quantized."""
_MAX_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8"), 8),
}
"""Bits of one number. Other formats (8-bit floats and smaller) are not checked for their size."""
_WHOLE = 1 << 28
"""Bytes up to which two tensors are compared completely."""
_BLOCK = 1 << 16
"""Bytes compared at a time."""
_BLOCKS = 256
"""Places at which larger tensors are compared."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as its file's header describes it."""

    path: Path
    """The file that holds it."""
    dtype: str
    """As the format spells it: "BF16"."""
    shape: Shape
    begin: int
    """First byte, counted from the start of the file."""
    end: int
    """The byte after the last one."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class TensorFile:
    """A safetensors file."""

    path: Path
    start: int
    """Where the header ends."""
    tensors: Mapping[str, Tensor]
    """By name."""


def read_header(path: Path) -> TensorFile:
    """The header of a safetensors file, compared with the file's size.

    Raises:
        ModelError: it is truncated, damaged, too long, or no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head == b"version ":
            raise ModelError(f"{path} is a git-lfs pointer, not weights; run `git lfs pull`")
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(size - 8, _MAX_HEADER):
            raise ModelError(f"{path} is truncated or no safetensors file; copy or download it again")
        text = file.read(length)
    start = 8 + length
    try:
        header = parse_json(text)
        tensors = {
            name: _tensor(path, entry, start) for name, entry in header.items() if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ModelError(f"{path} has a damaged header; copy or download it again") from None
    wanted = max((tensor.end for tensor in tensors.values()), default=start)
    if wanted != size:
        state = "truncated" if size < wanted else "too long"
        raise ModelError(
            f"{path} is {state}: {size} bytes, its header says {wanted}; copy or download it again"
        )
    return TensorFile(path, start, tensors)


def shown(names: Iterable[str], most: int = 3) -> str:
    """The first names, and how many follow. What is not printable in them stands as "?"."""
    names = list(names)
    first = ["".join(c if c.isprintable() else "?" for c in name)[:100] for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(first) + more


def same_values(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors have the same format, shape and bytes. Above 256 MiB, 256 places of 64 KiB are compared."""
    if (one.dtype, one.shape, one.size) != (two.dtype, two.shape, two.size):
        return False
    step = _BLOCK if one.size <= _WHOLE else (one.size - _BLOCK) // (_BLOCKS - 1)
    with one.path.open("rb") as left, two.path.open("rb") as right:
        return all(
            _read(left, one, offset) == _read(right, two, offset) for offset in range(0, one.size, step)
        )


def _read(file: BinaryIO, tensor: Tensor, offset: int) -> bytes:
    file.seek(tensor.begin + offset)
    return file.read(min(_BLOCK, tensor.size - offset))


def _tensor(path: Path, entry: Mapping[str, Any], start: int) -> Tensor:
    """Raises ValueError, TypeError or KeyError for an entry that contradicts itself."""
    begin, end = (int(offset) for offset in entry["data_offsets"])
    shape = tuple(int(length) for length in entry["shape"])
    dtype = str(entry["dtype"])
    bits = _BITS.get(dtype)
    if not 0 <= begin <= end or any(length < 0 for length in shape):
        raise ValueError(entry)
    if bits is not None and math.prod(shape) * bits != 8 * (end - begin):
        raise ValueError(entry)
    return Tensor(path, dtype, shape, start + begin, start + end)
