"""Encoding and decoding of images. No other module opens an image.

Images are checked by their headers when they come in, and decoded when they are sent. Only bytes are read: a
string is never taken as the name of a file or as a URL to fetch.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.image_headers import MAX_BYTES as MAX_BYTES
from ssl4rl_bench.core.image_headers import MAX_PIXELS as MAX_PIXELS
from ssl4rl_bench.core.image_headers import PNG, check_size, stored_size
from ssl4rl_bench.core.image_headers import ImageError as ImageError
from ssl4rl_bench.core.types import EncodedImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_BASE64_CHARS = MAX_BYTES * 4 // 3 + 1024
"""Maximum length of a base64 text: that of an image of `MAX_BYTES`, with some reserve."""

MIME_LINE = 76
"""Maximum length of a line of base64 if the encoder inserts line breaks (RFC 2045)."""
_BASE64_STARTS = ("iVBORw0KGgo", "/9j/", "UklGR")
"""The first characters of a PNG, a JPEG and a WebP in base64."""
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_URL_SAFE = re.compile(r"(?=.*[-_])[A-Za-z0-9_-]+=*")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=]")

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 95, "subsampling": 0},
}
_EXIF_ORIENTATION = 0x0112


def from_bytes(data: bytes) -> EncodedImage:
    """Creates an image from encoded data after checking its header and its end. Pixels are not decoded.

    Raises:
        ImageError: if `data` is not a PNG, JPEG or WebP, is cut off, or exceeds `MAX_PIXELS` or `MAX_BYTES`.
    """
    stored_size(data)
    return EncodedImage(data=data, sha256=sha256_hex(data))


def from_base64(text: str) -> EncodedImage:
    """Creates an image from base64 with or without a `data:image/...;base64,` prefix, as `from_bytes` does.

    Base64 is decoded strictly: the standard alphabet, complete padding, nothing after it. Only line breaks,
    with blanks around them, are allowed inside, as MIME encoders insert them. A lenient decoder drops unknown
    characters and so shows the first image of a list, or an image shifted by a lost "+".

    Raises:
        ImageError: as `from_bytes`, or if `text` is not base64.
    """
    if len(text) > MAX_BASE64_CHARS:
        raise ImageError(f"it is larger than {MAX_BYTES >> 20} MiB")
    if text[:5].lower() == "data:":
        prefix, _, text = text.partition(",")
        if not prefix.lower().endswith(";base64"):
            raise ImageError("its data: URL is not base64")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        lines = [line.strip(" \t") for line in _LINE_BREAK.split(text.strip())]
        if len(lines[0]) > MIME_LINE and any(line.startswith(_BASE64_STARTS) for line in lines[1:]):
            raise ImageError("it contains several images, one per line") from None
        joined = "".join(lines)
        try:
            data = binascii.a2b_base64(joined, strict_mode=True)
        except ValueError:
            raise ImageError(_not_base64(joined)) from None
    return from_bytes(data)


def is_base64_of(text: str, image: EncodedImage) -> bool:
    """Whether a text is the base64 of an image in one line, as most writers encode it."""
    return binascii.b2a_base64(image.data, newline=False) == text.encode("utf-8", "surrogatepass")


def _not_base64(text: str) -> str:
    """Returns the reason why a text is not base64, as a clause."""
    if _URL_SAFE.fullmatch(text):
        return "it is in base64's URL-safe alphabet: write + for - and / for _, and keep the padding"
    if foreign := _FOREIGN.search(text):
        return f"it is not base64: it has {foreign[0]!a} as character {foreign.start() + 1}"
    return "it is not base64: its padding is wrong, so it may be cut off"


def from_pil(image: Image.Image, format: str = "PNG") -> EncodedImage:
    """Encodes a decoded image as 8-bit RGB, upright.

    PNG and WebP are lossless; JPEG has quality 95 and full colour resolution.

    Raises:
        ImageError: for another format, or if the image exceeds `MAX_PIXELS` or `MAX_BYTES`.
    """
    if format.upper() not in _SAVE_OPTIONS:
        raise ImageError(f"{format} is not PNG, JPEG or WebP")
    check_size(*image.size)
    out = BytesIO()
    _to_rgb(image).save(out, format=format.upper(), **_SAVE_OPTIONS[format.upper()])
    return from_bytes(out.getvalue())


def lossless(image: Image.Image) -> EncodedImage:
    """Encodes a decoded RGB image as PNG, several times as fast as `from_pil`; the result is a little larger.

    Each row is stored as its difference from the row above and compressed with run lengths and Huffman codes
    only. An image without colour becomes 8-bit grey, which is the same to every reader that converts to RGB.

    Raises:
        ImageError: if the image has another mode or exceeds `MAX_PIXELS` or `MAX_BYTES`.
    """
    import numpy as np

    if image.mode != "RGB":
        raise ImageError(f"it is {image.mode} and not RGB")
    check_size(*image.size)
    pixels = np.asarray(image)
    grey = _is_grey(pixels[::16]) and _is_grey(pixels)
    rows = pixels[:, :, 0] if grey else pixels.reshape(image.height, 3 * image.width)
    filtered = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # PNG's filter "Up"
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_RLE)
    packed = packer.compress(filtered.data) + packer.flush()
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 0 if grey else 2, 0, 0, 0)
    return from_bytes(b"".join((PNG, _chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))))


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Checks whether all three values of each pixel are equal; pixels have the shape (height, width, 3)."""
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    return bool((red == green).all() and (green == blue).all())


def decode(image: EncodedImage) -> Image.Image:
    """Decodes the first frame to 8-bit RGB.

    The EXIF orientation is applied, and transparent parts are drawn over white.

    Raises:
        ImageError: if the data is damaged or exceeds the limits.
    """
    with _opened(image) as opened:
        _load(opened)
        return _to_rgb(opened)


def decode_and_report(image: EncodedImage) -> tuple[Image.Image, bool]:
    """Decodes as `decode`, and also returns whether the data is plain: 8-bit RGB, one frame, upright, opaque.

    Every reader gets the same pixels from plain data.

    Raises:
        ImageError: as `decode`.
    """
    with _opened(image) as opened:
        plain = (
            opened.mode == "RGB" and getattr(opened, "n_frames", 1) == 1 and "transparency" not in opened.info
        )
        _load(opened)
        if plain and opened.getexif().get(_EXIF_ORIENTATION, 1) in (0, 1):
            return opened, True
        return _to_rgb(opened), False


def reduced(image: EncodedImage, side: int) -> Image.Image:
    """Decodes like `decode`, but a JPEG as small as its decoder allows with at least `side` pixels per side.

    This takes about half the time of `decode`. The complete file is still read, so that damage is detected.

    Raises:
        ImageError: as `decode`.
    """
    with _opened(image) as opened:
        opened.draft("RGB", (side, side))
        _load(opened)
        return _to_rgb(opened)


def thumbnail(image: EncodedImage, side: int, quality: int = 50) -> bytes:
    """Returns a small WebP of the image, with at most `side` pixels on its longer side. It is never enlarged.

    Raises:
        ImageError: as `decode`.
    """
    from PIL import Image

    small = reduced(image, 2 * side)
    # `thumbnail` never enlarges. Its box filter before the last step takes half the time of Lanczos alone.
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = BytesIO()
    small.save(out, format="WEBP", quality=quality, method=2)
    return out.getvalue()


def size(image: EncodedImage) -> tuple[int, int]:
    """Returns the width and height in pixels that `decode` would give; only the header is read.

    Raises:
        ImageError: as `from_bytes`.
    """
    with _opened(image) as opened:
        width, height = opened.size
        turned = opened.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def mime(image: EncodedImage) -> str:
    """Returns `image/png`, `image/jpeg` or `image/webp`, depending on the first bytes of the data."""
    if image.data.startswith(PNG):
        return "image/png"
    return "image/jpeg" if image.data.startswith(b"\xff\xd8") else "image/webp"


def data_url(image: EncodedImage) -> str:
    """Returns the encoded bytes, unchanged, as a `data:` URL."""
    return f"data:{mime(image)};base64,{base64.b64encode(image.data).decode('ascii')}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a chunk of a PNG file."""
    return b"".join(
        (struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
    )


_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
)
"""Errors that Pillow raises on damaged data, depending on where the damage is."""


class _Opening:
    """Files are opened one at a time, as this changes the filters of warnings, which all threads share."""

    lock = Lock()

    @classmethod
    def renew(cls) -> None:
        """Replaces the lock in a process that was forked while another thread held it."""
        cls.lock = Lock()


os.register_at_fork(after_in_child=_Opening.renew)


@contextmanager
def _opened(image: EncodedImage) -> Iterator[Image.Image]:
    """Opens an image with Pillow. Errors of Pillow inside the block become ImageErrors.

    Pillow and `stored_size` may read different headers, so both must give the same size.
    """
    from PIL import Image, UnidentifiedImageError

    stored = stored_size(image.data)
    try:
        with _Opening.lock, warnings.catch_warnings():  # Pillow's limit for bombs is higher than MAX_PIXELS
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(BytesIO(image.data), formats=("PNG", "JPEG", "WEBP"))
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        reason = "its header is damaged" if isinstance(error, UnidentifiedImageError) else str(error)
        raise ImageError(f"it cannot be decoded ({reason})") from None
    check_size(*opened.size)
    if opened.size != stored:
        raise ImageError(f"it holds two sizes: {stored[0]}x{stored[1]} and {opened.width}x{opened.height}")
    try:
        yield opened
    except _DAMAGE as error:
        raise ImageError(f"it is damaged ({error})") from None


def _load(image: Image.Image) -> None:
    """Decodes the first frame. Its size must be the one that was checked, as a decoder may find another."""
    stored = image.size
    image.seek(0)
    image.load()
    if image.size != stored:
        raise ImageError(f"it holds two sizes: {stored[0]}x{stored[1]} and {image.width}x{image.height}")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts any mode to RGB. Pillow alone would clip 16-bit values to white and draw alpha over black."""
    from PIL import Image, ImageOps

    image.load()
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        import numpy as np

        image = Image.fromarray((np.asarray(image).astype(np.uint32).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")
