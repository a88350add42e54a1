"""Reads the headers of safetensors files: names, shapes and positions of tensors, without the weights.

The format is: 8 bytes with the length of the header (little-endian), the header (JSON), the bytes of the
tensors. See https://github.com/huggingface/safetensors#format.
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

TensorShape = tuple[int, ...]
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Number formats of weights that are not quantized."""
_MAX_HEADER = 100_000_000
"""The maximum size of a header in bytes, as in the safetensors library."""
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8"), 8),
}
"""Bits per number by dtype. The size of tensors of other dtypes (8-bit floats and smaller) is not checked."""
_COMPARED_COMPLETELY = 1 << 28
"""The size in bytes up to which two tensors are compared completely."""
_BLOCK = 1 << 16
"""The number of bytes to compare at a time."""
_BLOCKS = 256
"""The number of blocks that are compared of larger tensors."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as its file's header describes it."""

    path: Path
    """The file that holds it."""
    dtype: str
    """The dtype as the format spells it, such as "BF16"."""
    shape: TensorShape
    begin: int
    """The offset of the first byte from the start of the file."""
    end: int
    """The offset after the last byte."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class TensorFile:
    """The parsed header of a safetensors file."""

    path: Path
    start: int
    """The offset at which the header ends."""
    tensors: Mapping[str, Tensor]
    """The tensors by name."""


def read_header(path: Path) -> TensorFile:
    """Reads the header of a safetensors file and checks it against the file's size.

    Raises:
        ModelError: if the file is truncated, damaged, too long, or not a safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head == b"version ":
            raise ModelError(f"{path} is a git-lfs pointer, not weights; run `git lfs pull`")
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(size - 8, _MAX_HEADER):
            raise ModelError(f"{path} is truncated or not a safetensors file; copy or download it again")
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


def list_names(names: Iterable[str], most: int = 3) -> str:
    """Lists the first names and the number of further ones, with "?" for unprintable characters."""
    names = list(names)
    first = ["".join(c if c.isprintable() else "?" for c in name)[:100] for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(first) + more


def same_values(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors have the same dtype, shape and bytes.

    Of tensors above 256 MiB, only 256 evenly spaced blocks of 64 KiB are compared.
    """
    if (one.dtype, one.shape, one.size) != (two.dtype, two.shape, two.size):
        return False
    step = _BLOCK if one.size <= _COMPARED_COMPLETELY else (one.size - _BLOCK) // (_BLOCKS - 1)
    with one.path.open("rb") as left, two.path.open("rb") as right:
        return all(
            _read(left, one, offset) == _read(right, two, offset) for offset in range(0, one.size, step)
        )


def _read(file: BinaryIO, tensor: Tensor, offset: int) -> bytes:
    file.seek(tensor.begin + offset)
    return file.read(min(_BLOCK, tensor.size - offset))


def _tensor(path: Path, entry: Mapping[str, Any], start: int) -> Tensor:
    """Parses a header's entry. Raises ValueError, TypeError or KeyError if it is inconsistent."""
    begin, end = (int(offset) for offset in entry["data_offsets"])
    shape = tuple(int(length) for length in entry["shape"])
    dtype = str(entry["dtype"])
    bits = _BITS.get(dtype)
    if not 0 <= begin <= end or any(length < 0 for length in shape):
        raise ValueError(entry)
    if bits is not None and math.prod(shape) * bits != 8 * (end - begin):
        raise ValueError(entry)
    return Tensor(path, dtype, shape, start + begin, start + end)
