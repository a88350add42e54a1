"""Reads the sizes of images from their headers and checks that their data is complete, without decoding."""

from __future__ import annotations

import struct

from ssl4rl_bench.core.errors import DataError

MAX_PIXELS = 40_000_000
MAX_BYTES = 20 * 1024 * 1024

PNG = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG."""
_PNG_HEADER_END = len(PNG) + 25
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments that hold a JPEG's width and height (SOF0 to SOF15)."""
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers that are not followed by a length."""


class ImageError(DataError):
    """An image that cannot be used; the message is a short reason without a full stop."""


def stored_size(data: bytes) -> tuple[int, int]:
    """Returns the stored width and height in pixels of a complete PNG, JPEG or WebP within the limits.

    Raises:
        ImageError: for anything else.
    """
    if len(data) > MAX_BYTES:
        raise ImageError(f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        if data.startswith(PNG):
            width, height = _png(data)
        elif data.startswith(b"\xff\xd8\xff"):
            width, height = _jpeg(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            width, height = _webp(data)
        else:
            raise ImageError("it is not PNG, JPEG or WebP" if data else "it is empty")
    except (IndexError, struct.error):
        raise ImageError("it is cut off") from None
    check_size(width, height)
    return width, height


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ImageError("its header is damaged" if len(data) > 16 else "it is cut off")
    offset = _PNG_HEADER_END
    while (kind := data[offset + 4 : offset + 8]) != b"IEND":
        if kind == b"IHDR":  # Pillow uses the last header, other readers the first
            raise ImageError("it has two headers")
        (length,) = struct.unpack_from(">I", data, offset)
        offset += 12 + length
    if len(data) < offset + 12:
        raise ImageError("it is cut off")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    offset, width, height = 2, 0, 0
    while True:
        if data[offset] != 0xFF:
            raise ImageError("its header is damaged")
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker in _JPEG_BARE:
            offset += 2
            continue
        (length,) = struct.unpack_from(">H", data, offset + 2)
        if marker in _JPEG_SIZES:
            if width or height:
                raise ImageError("it has two headers")
            height, width = struct.unpack_from(">HH", data, offset + 5)
        offset += 2 + length
        if marker == 0xDA:  # the pixel data start here; an end marker before this belongs to a thumbnail
            if data.rfind(b"\xff\xd9", offset) < 0:
                raise ImageError("it is cut off")
            return width, height


def _webp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + length:
        raise ImageError("it is cut off")
    if data[12:16] != b"VP8X":
        return _webp_frame(data, 12)
    canvas = 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    offset = 30
    while (
        offset < 8 + length and data[offset : offset + 4] != b"ANMF"
    ):  # frames of an animation may be smaller than it
        if data[offset : offset + 4] in (b"VP8 ", b"VP8L"):
            if _webp_frame(data, offset) != canvas:
                raise ImageError("it declares two sizes")
            break
        (size,) = struct.unpack_from("<I", data, offset + 4)
        offset += 8 + size + size % 2
    return canvas


def _webp_frame(data: bytes, offset: int) -> tuple[int, int]:
    """Reads the width and height from the chunk of a still image."""
    if data[offset : offset + 4] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, offset + 9)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[offset : offset + 4] == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, offset + 14)
        return width & 0x3FFF, height & 0x3FFF
    raise ImageError("its header is damaged")


def check_size(width: int, height: int) -> None:
    """Raises ImageError for an image that is empty or exceeds `MAX_PIXELS`."""
    if width == 0 or height == 0:
        raise ImageError("its header gives no size")
    if width * height > MAX_PIXELS:
        raise ImageError(f"it has more than {MAX_PIXELS // 1_000_000} million pixels")
