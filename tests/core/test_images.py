"""Images: what is let in, and what comes out of it."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import picture
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.types import EncodedImage

FORMATS = ("PNG", "JPEG", "WEBP")


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, format=format, **options)
    return out.getvalue()


def pixel(data: bytes, at: tuple[int, int] = (0, 0)) -> Any:
    return images.decode(images.from_bytes(data)).getpixel(at)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_are_kept_and_hashed(format: str) -> None:
    data = picture(1, format)
    image = images.from_bytes(data)
    assert image.data is data
    assert image.sha256 == sha256_hex(data)
    assert images.size(image) == images.decode(image).size == (8, 6)
    assert images.mime(image) == f"image/{format.lower()}"


@pytest.mark.parametrize("format", FORMATS)
def test_an_image_cut_off_anywhere_is_refused(format: str) -> None:
    data = picture(1, format)
    for end in range(len(data)):
        with pytest.raises(images.ImageError):
            images.from_bytes(data[:end])


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif\0\0"}]
)
def test_the_three_kinds_of_webp_give_their_size(options: dict[str, Any]) -> None:
    data = encode(Image.new("RGB", (37, 21)), "WEBP", **options)
    assert images.size(images.from_bytes(data)) == (37, 21)


def test_a_thumbnail_end_is_not_the_end() -> None:
    """A JPEG cut off in its picture still holds the end marker of the thumbnail in its EXIF data."""
    exif = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00" + picture(2, "JPEG")
    whole = encode(Image.new("RGB", (64, 64), "red"), "JPEG", exif=exif)
    assert images.from_bytes(whole).data == whole
    with pytest.raises(images.ImageError, match="cut off"):
        images.from_bytes(whole[:-2])


def test_bytes_after_the_end_do_no_harm() -> None:
    for format in FORMATS:
        assert images.decode(images.from_bytes(picture(3, format) + b"\0" * 9)).size == (8, 6)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(40), "not PNG, JPEG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not PNG, JPEG or WebP"),
        (png_of_size(8000, 5001), "40 million pixels"),
        (png_of_size(0, 5), "no size"),
        (b"\x89PNG\r\n\x1a\n" + bytes(images.MAX_BYTES), "20 MiB"),
    ],
)
def test_what_is_refused_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(images.ImageError, match=reason):
        images.from_bytes(data)


def test_a_header_that_fits_does_not_hide_a_broken_picture() -> None:
    broken = images.from_bytes(png_of_size(8, 8))
    with pytest.raises(images.ImageError):
        images.decode(broken)


@given(st.sampled_from(FORMATS), st.data())
@settings(max_examples=examples(150), deadline=None)
def test_damage_is_an_image_error_and_nothing_else(format: str, data: st.DataObject) -> None:
    damaged = bytearray(picture(4, format))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = EncodedImage(bytes(damaged), "")
    try:
        decoded = images.decode(image)
        assert decoded.size == images.size(image)
    except images.ImageError as error:
        assert str(error)


@given(st.binary(max_size=200))
@settings(max_examples=examples(100), deadline=None)
def test_base64_gives_the_same_bytes_back(tail: bytes) -> None:
    image = images.from_bytes(picture(5) + tail)
    text = base64.b64encode(image.data).decode()
    assert images.from_base64(text) == images.from_base64(images.data_url(image)) == image
    assert images.from_base64("\n".join(text[at : at + 76] for at in range(0, len(text), 76))) == image


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc/passwd",
        "https://example.org/cat.png",
        "data:image/png,abc",
        "data:text/plain;base64,aGVsbG8=",
        "é",
    ],
)
def test_text_that_is_no_image_is_refused_and_not_followed(text: str) -> None:
    with pytest.raises(images.ImageError):
        images.from_base64(text)


JPEG = picture(5, "JPEG")


def wrapped(text: str, width: int, end: str) -> str:
    return end.join(text[at : at + width] for at in range(0, len(text), width))


@pytest.mark.parametrize("width", [4, 60, 64, 76, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n ", " \r\n\t"])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "DATA:IMAGE/PNG;BASE64,"])
def test_base64_with_the_line_breaks_of_encoders(width: int, end: str, prefix: str) -> None:
    data = picture(7)
    text = wrapped(base64.b64encode(data).decode(), width, end)
    for around in ("", end, "\n\n"):
        assert images.from_base64(f"{prefix}{around}{text}{around}").data == data


PNG_BASE64 = base64.b64encode(picture(7) + b"\xff\xef").decode()  # with a +, a / and padding


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"['{PNG_BASE64}', '{PNG_BASE64}']", "'['"),
        (f'["{PNG_BASE64}"]', "'['"),
        (f"{PNG_BASE64},{PNG_BASE64}", "','"),
        (f"{PNG_BASE64};{PNG_BASE64}", "';'"),
        (f"{PNG_BASE64}|{PNG_BASE64}", "'|'"),
        (f"{PNG_BASE64}\n{PNG_BASE64}", "several images"),
        (PNG_BASE64 + PNG_BASE64, "padding"),
        (PNG_BASE64 + "AAAA", "padding"),
        (PNG_BASE64.rstrip("="), "padding"),
        (PNG_BASE64 + "=", "padding"),
        (PNG_BASE64[:-5], "padding"),
        ("=" + PNG_BASE64, "padding"),
        (PNG_BASE64[:40] + "=" + PNG_BASE64[40:], "padding"),
        (PNG_BASE64.replace("+", " "), "' '"),
        (PNG_BASE64.replace("+", "-").replace("/", "_"), "URL-safe"),
        (PNG_BASE64.replace("+", "-"), "'-'"),
        (PNG_BASE64.replace("=", "%3D"), "'%'"),
        (PNG_BASE64.replace("+", "%2B"), "'%'"),
        (PNG_BASE64[:40] + "\\n" + PNG_BASE64[40:], r"'\\'"),
        (PNG_BASE64[:40] + "\0" + PNG_BASE64[40:], "x00"),
        (PNG_BASE64[:40] + "\u00e9" + PNG_BASE64[40:], "xe9"),
        (PNG_BASE64[:40] + "\u200b" + PNG_BASE64[40:], "u200b"),
        (f"b'{PNG_BASE64}'", '"\'"'),
        (f'"{PNG_BASE64}"', "'\"'"),
        (PNG_BASE64 + "...", "'.'"),
        ("iVBORw0KGgo...", "'.'"),
    ],
)
def test_what_is_not_wholly_base64_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(images.ImageError) as error:
        images.from_base64(text)
    assert words in str(error.value)
    assert str(error.value).isprintable() and str(error.value).isascii()


@given(st.integers(0, len(PNG_BASE64) - 1), st.characters(exclude_categories=["Cs"]))
@settings(max_examples=examples(200), deadline=None)
def test_no_character_of_base64_is_dropped(at: int, other: str) -> None:
    """A changed text gives other bytes or an error; only line breaks with blanks around them may be added."""
    text = PNG_BASE64[:at] + other + PNG_BASE64[at:]
    try:
        found = images.from_base64(text).data
    except images.ImageError:
        return
    joined = "".join(line.strip(" \t") for line in re.split("[\r\n]", text.strip()))
    assert found == base64.b64decode(joined, validate=True)


@pytest.mark.parametrize("data", [picture(7), JPEG, picture(7, "WEBP")])
def test_two_images_on_two_lines_are_not_the_first(data: bytes) -> None:
    whole = data + bytes(-len(data) % 3)  # no padding, so that the two texts are base64 as one
    line = base64.b64encode(whole).decode()
    with pytest.raises(images.ImageError, match="several images"):
        images.from_base64(f"{line}\n{line}")


def test_base64_over_the_limit_is_not_even_decoded() -> None:
    with pytest.raises(images.ImageError, match="20 MiB"):
        images.from_base64("A" * (images.MAX_BASE64_CHARS + 1))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb_of_the_same_colour(mode: str) -> None:
    grey = Image.new("L", (4, 4), 255)
    image = Image.new("I;16", (4, 4), 65535) if mode == "I;16" else grey.convert("RGB").convert(mode)
    data = encode(image, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    decoded = images.decode(images.from_bytes(data))
    assert decoded.mode == "RGB"
    assert min(decoded.tobytes()) >= 254


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257 * 100, 100), (65535, 255)])
def test_sixteen_bits_are_scaled_and_not_clipped(value: int, expected: int) -> None:
    assert pixel(encode(Image.new("I;16", (4, 4), value))) == (expected,) * 3


def test_transparent_is_white_whatever_colour_lies_under_it() -> None:
    assert pixel(encode(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))) == (255, 255, 255)
    assert pixel(encode(Image.new("LA", (2, 2), (0, 0)))) == (255, 255, 255)
    assert pixel(encode(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))) == (127, 127, 127)
    assert pixel(encode(Image.new("RGB", (2, 2), (9, 9, 9)), transparency=(9, 9, 9))) == (255, 255, 255)
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.putdata([0, 1])
    data = encode(palette, transparency=0)
    assert (pixel(data, (0, 0)), pixel(data, (1, 0))) == ((255, 255, 255), (0, 200, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", FORMATS)
def test_exif_rotation_is_undone(format: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste("black", (0, 0, 24, 16))
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = images.from_bytes(encode(stored, format, exif=exif))
    assert images.size(image) == (48, 32)
    decoded = images.decode(image)
    assert [
        decoded.convert("L").getpixel(at) == pytest.approx(0, abs=60)
        for at in ((6, 6), (42, 6), (6, 26), (42, 26))
    ] == [True] + [False] * 3


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(format: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    assert pixel(data) == (255, 0, 0) or pixel(data) == (254, 0, 0)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_from_pil_is_lossless(format: str) -> None:
    picture_of_noise = images.decode(images.from_bytes(picture(6)))
    again = images.decode(images.from_pil(picture_of_noise, format))
    assert again.tobytes() == picture_of_noise.tobytes()


def test_from_pil_takes_jpeg_and_refuses_the_rest() -> None:
    assert images.mime(images.from_pil(Image.new("RGBA", (5, 5)), "jpeg")) == "image/jpeg"
    with pytest.raises(images.ImageError, match="GIF"):
        images.from_pil(Image.new("RGB", (5, 5)), "GIF")


def tall_jpeg(*sizes: tuple[int, int]) -> bytes:
    """A JPEG with a header of each size before its picture."""
    data = encode(Image.new("RGB", (8, 6)), "JPEG")
    at = data.index(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", data, at + 2)
    header = data[at : at + 2 + length]
    more = b"".join(header[:5] + struct.pack(">HH", height, width) + header[9:] for width, height in sizes)
    return data[:at] + more + data[at:]


def lying_webp(canvas: tuple[int, int], *, lossless: bool) -> bytes:
    """A WebP whose canvas has another size than its picture."""
    data = bytearray(
        encode(
            Image.new("RGB", (8, 6)), "WEBP", lossless=lossless, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
        )
    )
    assert data[12:16] == b"VP8X"
    data[24:30] = b"".join((side - 1).to_bytes(3, "little") for side in canvas)
    return bytes(data)


def two_headers(first: tuple[int, int], second: tuple[int, int]) -> bytes:
    """A PNG with two IHDR chunks; the picture is of the second size."""
    whole = encode(Image.new("RGB", second), compress_level=1)
    header = struct.pack(">IIBBBBB", *first, 8, 2, 0, 0, 0)
    return whole[:8] + png_chunk(b"IHDR", header) + whole[8:]


CONTRADICTIONS = {
    "png small first": partial(two_headers, (8, 6), (7000, 6000)),
    "png large first": partial(two_headers, (60, 60), (8, 6)),
    "png same": partial(two_headers, (8, 6), (8, 6)),
    "jpeg small first": partial(tall_jpeg, (9, 9)),
    "jpeg many": partial(tall_jpeg, (60000, 60000), (9, 9), (9, 9)),
    **{
        f"webp {canvas} {lossless}": partial(lying_webp, canvas, lossless=lossless)
        for canvas in ((1, 1), (9, 6), (16383, 16383), (6000, 6000))
        for lossless in (True, False)
    },
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_an_image_with_two_sizes_is_refused_wherever_it_is_opened(name: str) -> None:
    data = CONTRADICTIONS[name]()
    image = EncodedImage(data, "")
    for read in (images.decode, images.decode_and_report, images.size, lambda one: images.thumbnail(one, 9)):
        with pytest.raises(images.ImageError):
            read(image)
    with pytest.raises(images.ImageError):
        images.from_bytes(data)


def test_what_pillow_opens_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the header's reader here misses: the limit holds for what is decoded."""
    large = EncodedImage(encode(Image.new("L", (7000, 6000)), compress_level=1), "")
    monkeypatch.setattr(images, "stored_size", lambda data: (8, 6))
    for read in (images.decode, images.decode_and_report, images.size, lambda one: images.thumbnail(one, 9)):
        with pytest.raises(images.ImageError, match="40 million pixels"):
            read(large)
    with pytest.raises(images.ImageError, match="two sizes"):
        images.decode(EncodedImage(encode(Image.new("RGB", (9, 9))), ""))


def test_an_animation_and_a_thumbnail_are_no_contradiction() -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    for format in ("PNG", "WEBP"):
        data = encode(frames[0], format, save_all=True, append_images=frames[1:])
        assert images.decode(images.from_bytes(data)).size == (16, 16)
