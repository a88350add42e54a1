"""Texts made visible, thumbnails, SVG for the page, and the rows of the table."""

from __future__ import annotations

import base64
import threading
import unicodedata
import warnings
from io import BytesIO
from unittest import mock
from xml.etree import ElementTree

import pytest
from html_runs import Parsed
from hypothesis import given
from hypothesis import strategies as st
from mmbench_data import picture
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.reports.figures.palette import PAPER, SERIES
from ssl4rl_bench.reports.figures.sheet import Sheet
from ssl4rl_bench.reports.html.text import shortened, visible
from ssl4rl_bench.reports.html.thumbnails import SMALLEST, Thumbnails


@given(st.text(alphabet=st.characters(categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "L", "P", "S"))))
def test_nothing_invisible_is_left(text: str) -> None:
    kept = "\n\t\u200c\u200d"
    shown = visible(text)
    assert all(char in kept or unicodedata.category(char)[0] != "C" for char in shown)
    assert not set(shown) & {"\u2028", "\u2029"}


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs"))))
def test_what_shows_stays(text: str) -> None:
    assert visible(text) == text


def test_controls_are_shown_as_their_pictures() -> None:
    assert visible("a\x1b[31mb\x00\x7f\u202e\ud800\r\nc\n") == "a␛[31mb␀␡⟨202E⟩\ufffd\nc\n"
    assert visible("日本語 é 👨\u200d👩") == "日本語 é 👨\u200d👩"


@given(st.text(max_size=400), st.integers(10, 200))
def test_shortened_keeps_both_ends(text: str, most: int) -> None:
    short = shortened(text, most)
    if len(text) <= most:
        assert short == text
    else:
        assert short.startswith(text[: most * 3 // 5]) and short.endswith(text[-(most - most * 3 // 5) :])
        assert f"{len(text) - most:,} characters left out" in short
        assert len(short) <= most + 60


def noisy(side: int, seed: int) -> images.EncodedImage:
    from random import Random

    out = BytesIO()
    Image.frombytes("RGB", (side, side), Random(seed).randbytes(side * side * 3)).save(out, format="PNG")
    return images.from_bytes(out.getvalue())


@pytest.mark.parametrize("size", [(400, 100), (100, 400), (8, 6), (640, 640)])
def test_thumbnail_is_a_small_webp_of_the_same_shape(size: tuple[int, int]) -> None:
    source = images.from_pil(Image.new("RGB", size, (200, 30, 30)))
    small = images.decode(images.from_bytes(images.thumbnail(source, 96)))
    assert max(small.size) == min(96, max(size))
    assert abs(small.width / small.height - size[0] / size[1]) < 0.2
    assert all(abs(a - b) < 25 for a, b in zip(small.getpixel((0, 0)), (200, 30, 30), strict=True))


def test_thumbnail_refuses_what_is_no_image() -> None:
    with pytest.raises(images.ImageError):
        images.thumbnail(images.EncodedImage(b"nothing", "0" * 64), 96)


def test_thumbnails_stop_at_their_budget_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl4rl_bench.reports.html.thumbnails.BUDGET", 20_000)
    made = Thumbnails([noisy(SMALLEST, seed) for seed in range(12)])
    n_left_out = int(made.notes[0].split()[0])
    assert 0 < n_left_out < 12
    damaged = Thumbnails([images.EncodedImage(b"nothing", "0" * 64), images.from_bytes(picture())])
    assert damaged.notes == ("1 image cannot be decoded and is not shown.",)


def test_thumbnails_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [noisy(SMALLEST + seed, seed) for seed in range(20)]
    samples = [mock.Mock(images=[one]) for one in pictures]
    made = []
    for n_threads in (1, 3):
        monkeypatch.setattr("ssl4rl_bench.reports.html.thumbnails._THREADS", n_threads)
        monkeypatch.setattr("ssl4rl_bench.reports.html.thumbnails._BATCH", 4 * n_threads)
        with Thumbnails(pictures) as thumbnails:
            made.append((thumbnails.of(samples), thumbnails.notes))
    assert made[0] == made[1]
    assert made[0][0] == tuple(
        base64.b64encode(images.thumbnail(one, thumbnails.side)).decode() for one in pictures
    )


def test_thumbnails_that_nobody_waits_for_end_with_their_context(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    free = threading.Event()

    def slow(image: images.EncodedImage, side: int) -> bytes:
        started.append(side)
        free.wait(10)
        return b"webp"

    monkeypatch.setattr(images, "thumbnail", slow)
    monkeypatch.setattr("ssl4rl_bench.reports.html.thumbnails._BATCH", 2)
    with pytest.raises(KeyError), Thumbnails([noisy(8, seed) for seed in range(50)]) as thumbnails:
        thumbnails._stopped.set()
        free.set()
        raise KeyError
    assert len(started) <= 4


def test_an_error_of_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "thumbnail", mock.Mock(side_effect=MemoryError))
    with Thumbnails([noisy(8, 1)]) as thumbnails, pytest.raises(MemoryError):
        thumbnails.of([])


def test_threads_leave_the_filters_of_warnings_as_they_are() -> None:
    before = list(warnings.filters)
    pictures = [noisy(SMALLEST, seed) for seed in range(30)]
    with Thumbnails(pictures) as thumbnails:
        thumbnails.of([])
    assert warnings.filters == before


def test_svg_has_no_style_and_names_its_colours() -> None:
    sheet = Sheet(100, 50)
    sheet.marks([(10, 10), (20, 20)], "o", SERIES[0])
    sheet.box(1, 1, 30, 9, PAPER, edge=SERIES[-1])
    sheet.text(5, 5, "$x^2$ <b> & \x1b[31m\u202e")
    made = sheet.svg('a "label" <x>')
    ElementTree.fromstring(made)
    parsed = Parsed(made)
    assert not any(name == "style" or name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert parsed.names == ["svg", "path", "path", "text"]
    assert "".join(parsed.text).strip() == "$x^2$ <b> & \\u001b[31m\\u202e"
    assert parsed.tags[0][1]["aria-label"] == 'a "label" <x>'
    classes = [attrs.get("class") for _, attrs in parsed.tags]
    assert classes == ["figure", "f-better", "f-paper s-s8", "f-ink"]
