"""Makes small safetensors files."""

from __future__ import annotations

import json
import struct


def tensors(fill: int = 0, names: tuple[str, ...] = ("a", "b"), size: int = 10_000) -> bytes:
    """Returns the bytes of a safetensors file of float tensors in which each byte is `fill`."""
    header = {
        name: {"dtype": "U8", "shape": [size], "data_offsets": [i * size, (i + 1) * size]}
        for i, name in enumerate(names)
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + bytes([fill]) * size * len(names)
