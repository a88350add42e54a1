"""The fast lossless encoder, and decoding only as much as is needed."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, picture
from PIL import Image

from ssl4rl_bench.core import image_headers, images
from ssl4rl_bench.core.identity import sha256_hex


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> images.EncodedImage:
    out = BytesIO()
    image.save(out, format=format, **options)
    return images.from_bytes(out.getvalue())


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([1, 4, 256]), st.booleans()
)
@settings(max_examples=examples(80), deadline=None)
def test_lossless_gives_every_pixel_back(width: int, height: int, seed: int, levels: int, grey: bool) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, levels, (height, width, 1 if grey else 3), dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy())
    made = images.lossless(image)
    assert made.sha256 == sha256_hex(made.data)
    assert images.from_bytes(made.data) == made
    assert images.decode(made).tobytes() == image.tobytes()
    with Image.open(BytesIO(made.data)) as opened:
        opened.verify()


def test_lossless_takes_rgb_within_the_limits_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(images.ImageError, match="not RGB"):
        images.lossless(Image.new("L", (30, 30)))
    monkeypatch.setattr(image_headers, "MAX_PIXELS", 800)
    with pytest.raises(images.ImageError, match="pixels"):
        images.lossless(Image.new("RGB", (30, 30)))
    monkeypatch.setattr(image_headers, "MAX_BYTES", 1000)
    with pytest.raises(images.ImageError, match="MiB"):
        images.lossless(picture(1, (28, 28)).effect_spread(20))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_reduced_looks_the_same_and_is_large_enough(format: str) -> None:
    image = images.from_bytes(encoded(3, format, (640, 400)))
    small, whole = images.reduced(image, 64), images.decode(image)
    assert min(small.size) >= 64
    assert (small.size < whole.size) == (format == "JPEG")
    near = np.asarray(small.resize((8, 8)), int) - np.asarray(whole.resize((8, 8)), int)
    assert np.abs(near).max() < 16


def test_reduced_is_upright_and_notices_damage() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(picture(4, (640, 400)), "JPEG", exif=exif)
    small = images.reduced(turned, 64)
    assert small.height > small.width
    torn = bytearray(encoded(32))
    torn[60:90] = bytes(30)
    with pytest.raises(images.ImageError):
        images.reduced(images.from_bytes(bytes(torn)), 64)


@pytest.mark.parametrize(
    ("image", "plain"),
    [
        (images.from_bytes(encoded(1)), True),
        (images.from_bytes(encoded(1, "JPEG")), True),
        (images.from_bytes(encoded(1, "WEBP")), True),
        (saved(picture(1).convert("L")), False),
        (saved(picture(1).convert("P")), False),
        (saved(picture(1).convert("RGBA")), False),
        (saved(picture(1), transparency=(1, 2, 3)), False),
        (saved(picture(1).convert("CMYK"), "JPEG"), False),
        (saved(picture(1), "WEBP", save_all=True, append_images=[picture(2)]), False),
    ],
)
def test_plain_data_is_what_any_reader_reads_alike(image: images.EncodedImage, plain: bool) -> None:
    pixels, told = images.decode_and_report(image)
    assert told is plain
    assert pixels.mode == "RGB"
    assert pixels.tobytes() == images.decode(image).tobytes()
    if plain:
        assert Image.open(BytesIO(image.data)).convert("RGB").tobytes() == pixels.tobytes()


def test_turned_data_is_not_plain() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    _, told = images.decode_and_report(saved(picture(1), "JPEG", exif=exif))
    assert not told
